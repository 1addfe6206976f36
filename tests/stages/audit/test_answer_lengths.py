from __future__ import annotations

import numpy as np
import pytest

from spillover.stages.audit.answer_lengths import length_table
from spillover.stages.audit.findings import read_findings, write_findings
from tests.builders import small_data
from tests.stages.audit.builders import audit_folder, choice_folder, choice_items
from tests.stages.audit.choice_faults import plant_choices


def lengthened(rows):
    data = choice_items("copa", 2)
    return plant_choices("long right answers", data, "de", "en", 1.0, np.random.default_rng(0))[0]


def test_an_answer_that_its_length_gives_away_in_one_language_is_found(tmp_path):
    findings = audit_folder(choice_folder(tmp_path, "copa", 2, {"de": lengthened}), "copa")
    (finding,) = [f for f in findings if f.check == "answer-length" and f.severity == "warning"]
    assert finding.language == "de"
    assert "is the right one in 100.0 % of the items" in finding.message
    assert len(finding.example_ids) > 6


def test_the_table_of_accuracies_survives_its_file(tmp_path):
    languages = ("en", "de", "th")
    folder = choice_folder(tmp_path, "copa", 2, {"de": lengthened}, languages=languages)
    write_findings(tmp_path / "findings.json", audit_folder(folder, "copa"))
    rows = {row.language: row for row in length_table(read_findings(tmp_path / "findings.json"))}
    assert set(rows) == set(languages)
    assert rows["de"].longest[0] == 1
    assert rows["de"].longest[1] < 1
    assert rows["de"].shortest[0] == 0
    assert {row.items for row in rows.values()} == {24}
    assert {row.chance for row in rows.values()} == {0.5}


def test_a_tie_counts_by_its_share(tmp_path):
    alike = lambda rows: [row | {"choices": ["abc", "a", "xyz", "de"], "label": 0} for row in rows]  # noqa: E731
    folder = choice_folder(tmp_path, "reading", 4, {"en": alike}, languages=["en"])
    (row,) = length_table(audit_folder(folder, "reading"))
    assert row.longest[0] == pytest.approx(0.5)
    assert row.shortest[0] == 0


def test_bytes_and_characters_are_told_apart(tmp_path):
    umlauts = lambda rows: [row | {"choices": ["äöü", "abcd"], "label": 0} for row in rows]  # noqa: E731
    folder = choice_folder(tmp_path, "copa", 2, {"en": umlauts}, languages=["en"])
    (row,) = length_table(audit_folder(folder, "copa"))
    assert (row.longest[0], row.longest_bytes[0]) == (0, 1)


def test_tasks_of_label_words_have_no_table(tmp_path):
    assert length_table(audit_folder(small_data(tmp_path))) == []
