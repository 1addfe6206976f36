from __future__ import annotations

import pytest

from spillover.stages.audit.content_checks import broken_markup, escaped_texts, lost_characters, mojibake
from tests.builders import small_data
from tests.stages.audit.builders import change, findings_by_check, language_rows


def test_encoding_faults_are_reported_separately():
    rows = language_rows("de", ["Gr\u00c3\u00b6\u00c3\u009fe", "x \ufffd y", "was????", "fein"])
    (damaged,), (lost,) = mojibake(rows), lost_characters(rows)
    assert damaged.example_ids == ["0"]
    assert lost.example_ids == ["1", "2"]


def test_markup_is_found_unless_the_reference_has_it():
    rows = ["Tom &amp; Jerry", r"caf\u00e9 \"x\"", "<b>fett", "a &lt; b", "AT&T <br> x"]
    english = ["Tom and Jerry", "cafe", "bold", "a &lt; b", "AT&T <br> x"]
    german = language_rows("de", rows, english)
    (escaped,), (broken,) = escaped_texts(german), broken_markup(german)
    assert (escaped.example_ids, broken.example_ids) == (["0", "1"], ["2"])
    assert {fault.severity for fault in (escaped, broken)} == {None}
    assert next(escaped_texts(language_rows("en", rows))).severity == "note"


def test_a_number_that_only_one_language_lost_is_noted(tmp_path):
    folder = small_data(tmp_path, ("en", "de", "es", "fr", "it"))
    for code in ("en", "de", "es", "fr", "it"):
        lost = "" if code == "de" else " 1987"
        change(folder, code, lambda rows: [rows[0] | {"review": rows[0]["review"] + lost}, *rows[1:]])  # noqa: B023
    assert findings_by_check(folder, "de")["lost-number"].example_ids == ("item-0",)
    assert "lost-number" not in findings_by_check(folder, "es")


LANGUAGES = ("en", "de", "es", "fr", "it")


def lengthy(folder, edits=()):
    """Twelve texts of 5 to 16 words in five languages, each with a mark at its end but where `edits` says so."""
    for code in LANGUAGES:
        words = [[f"{code}word{i}x{j}" for j in range(5 + i)] for i in range(12)]
        texts = [edits(code, i, " ".join(own) + ".") if edits else " ".join(own) + "." for i, own in enumerate(words)]
        change(folder, code, lambda rows: [row | {"review": text} for row, text in zip(rows, texts, strict=True)])  # noqa: B023
    return {code: findings_by_check(folder, code) for code in LANGUAGES}


@pytest.mark.parametrize(
    ("share", "mark", "named"), [(0.7, "", True), (0.7, ".", False), (0.95, "", False), (0.4, ".", True)]
)
def test_a_cut_is_seen_earlier_where_the_last_mark_is_gone(share, mark, named, tmp_path):
    folder = small_data(tmp_path, LANGUAGES, items=12)
    cut = lambda code, i, text: text[: int(share * len(text))] + mark if (code, i) == ("de", 9) else text  # noqa: E731
    checks = lengthy(folder, cut)
    assert ("truncated" in checks["de"]) == named
    assert not any("truncated" in checks[code] for code in LANGUAGES if code != "de")
    if named:
        assert checks["de"]["truncated"].example_ids == ("item-9",)
        assert checks["de"]["truncated"].evidence["no mark at the end"] == ([] if mark else ["item-9"])


def test_a_language_that_ends_without_marks_is_judged_by_its_lengths_alone(tmp_path):
    folder = small_data(tmp_path, LANGUAGES, items=12)
    bare = lambda code, i, text: text[: int(0.7 * len(text)) if i == 9 else -1] if code == "de" else text  # noqa: E731
    assert "truncated" not in lengthy(folder, bare)["de"]
