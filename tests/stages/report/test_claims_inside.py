"""Claims on hidden states against planted tables."""

from __future__ import annotations

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from spillover.core.config import RunConfig
from spillover.core.files import write_yaml
from spillover.core.runs import open_run
from spillover.stages.report.claims import Claim, Verdict, findings
from spillover.stages.report.claims_inside import inside_test, ranges
from spillover.stages.report.findings_page import findings_page

LAST = 4
LENS = Claim(runs="inside", claim="It passes through English", paper="figures", inside="lens")
ALIGNMENT = Claim(runs="inside", claim="States come together", paper="figures", inside="alignment")


def lens_rows(code, words, at):
    """Probabilities of .1, but at the layers in `at`: there .5. Intervals of .02; wrong words are at .1 and .3."""
    for layer in range(LAST + 1):
        right = 0.5 if layer in at else 0.1
        yield {
            "language": code, "words": words, "layer": layer, "answer_sequence": right,
            "answer_sequence_low": right - 0.01, "answer_sequence_high": right + 0.01,
            "wrong_sequence_high": 0.6 if code == "th" else 0.3, "answer_sequence_clears": right > 0.1,
        }  # fmt: skip


def lens_of(**through):
    """Languages by the layers at which the English word leads; their own word leads at the last."""
    rows = [*lens_rows("en", "reference", range(LAST + 1))]
    for code, at in through.items():
        rows += [*lens_rows(code, "reference", at), *lens_rows(code, "native", [LAST])]
    return pd.DataFrame(rows)


def make_run(folder, lens=None, changes=None, pairs=None, state="done", labels="native"):
    run = open_run(folder / "inside-0")
    write_yaml(run.path / "config.yaml", RunConfig.model_validate({"evaluate": {"labels": labels}}).model_dump())
    stages = {"build": {"facts": {"languages": ["de"]}}, "compare": {"state": state, "seconds": 2.0}}
    run.update(name="inside-0", stages=stages)
    for model in ("base", "tuned"):
        probe = run.path / "probe" / model
        probe.mkdir(parents=True)
        if lens is not None:
            lens.to_parquet(probe / "lens.parquet")
        if pairs is not None:
            pairs.assign(correlation=0.8 if model == "base" else 0.9).to_parquet(probe / "pca_pairs.parquet")
    if changes is not None:
        (run.path / "compare").mkdir()
        changes.to_parquet(run.path / "compare" / "alignment_changes.parquet")
    return run


@pytest.mark.parametrize(
    ("through", "verdict"),
    [
        ({"sw": [2], "zh": [1, 2, 3]}, Verdict.HOLDS),
        ({"sw": [2], "th": [2]}, Verdict.PARTLY),  # in Thai a wrong English word is as probable
        ({"sw": [], "zh": [LAST]}, Verdict.FAILS),  # at the last layer it is the answer, not on the way
        ({"sw": [0]}, Verdict.FAILS),  # nor is the embedding on the way
        ({}, Verdict.INCONCLUSIVE),
    ],
)
def test_the_right_english_word_must_lead_on_the_way(tmp_path, through, verdict):
    make_run(tmp_path, lens_of(**through))
    (result,) = findings([tmp_path], [LENS])
    assert result.verdict is verdict, result.why
    assert result.inside.of == len(through)


def test_with_english_label_words_the_lens_shows_the_answer_and_nothing_of_the_way(tmp_path):
    make_run(tmp_path, lens_of(zh=[1, 2, 3]), labels="english")
    (result,) = findings([tmp_path], [LENS])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the run asks with english label words" in result.why


def test_layers_are_listed_for_both_models_with_and_without_the_wrong_words(tmp_path):
    test = inside_test(make_run(tmp_path, lens_of(zh=[1, 2, 3], th=[2])), "lens")
    assert [row[0] for row in test.table.rows] == ["Chinese", "Thai"]
    assert [row[1:] for row in test.table.rows] == [("1–3",) * 4, ("2", "–", "2", "–")]
    assert test.table.header[1].startswith("base: English above own and random words")
    assert "in 1 of 2 languages" in test.why
    assert "in 2 it is" in test.why


def changes_of(**moved):
    """Languages by the changes of their layers 1 and 2; of those that are not 0, q is .01."""
    rows = [
        {
            "language": code, "other": "en", "pooling": "weighted", "layer": layer, "measure": "margin",
            "before": 0.5, "change": change, "bh_q": 0.01 if change else 0.5,
        }
        for code, changes in moved.items()
        for layer, change in enumerate(changes, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("moved", "verdict"),
    [
        ({"sw": [0.1, 0.0], "zh": [0.1, 0.2]}, Verdict.HOLDS),
        ({"sw": [0.1, -0.1], "zh": [0.1, 0.2]}, Verdict.PARTLY),
        ({"sw": [0.0, 0.0], "zh": [0.0, -0.2]}, Verdict.FAILS),
        ({"de": [0.1, 0.1]}, Verdict.INCONCLUSIVE),  # trained on
    ],
)
def test_translations_come_together_where_they_rise_and_nowhere_part(tmp_path, moved, verdict):
    make_run(tmp_path, changes=changes_of(**moved))
    (result,) = findings([tmp_path], [ALIGNMENT])
    assert result.verdict is verdict, result.why


def test_the_largest_change_is_a_share_of_what_was_there(tmp_path):
    test = inside_test(make_run(tmp_path, changes=changes_of(sw=[0.05, 0.1, -0.1], th=[0.0, 0.0, 0.0])), "alignment")
    assert [row[1:] for row in test.table.rows] == [("1–2", "+20 % at layer 2", "3", "-20 % at layer 3"), ("–",) * 4]
    assert "in 0 of 2 languages" in test.why
    assert "in 1 they come nearer at some layer, in 1 they part at some" in test.why


def test_the_papers_correlation_stands_beside_that_of_text_length(tmp_path):
    pairs = pd.DataFrame({"pooling": ["all", "all", "mean"], "layer": [1, 2, 1], "length": [0.98, 0.98, 0.1]})
    test = inside_test(make_run(tmp_path, changes=changes_of(sw=[0.1, 0.1]), pairs=pairs), "alignment")
    assert test.why.endswith("is 0.80 before and 0.90 after, where text length alone gives 0.98")


def test_what_was_not_probed_or_not_compared_is_not_run(tmp_path):
    make_run(tmp_path / "not probed")
    make_run(tmp_path / "not compared", lens_of(sw=[2]), state="started")
    for folder in tmp_path.iterdir():
        assert {result.verdict for result in findings([folder], [LENS, ALIGNMENT])} == {Verdict.NOT_RUN}


def test_the_page_has_a_row_for_each_language(tmp_path):
    make_run(tmp_path, lens_of(zh=[1, 2], sw=[]), changes_of(sw=[0.1, 0.0]))
    text = findings_page(findings([tmp_path], [LENS, ALIGNMENT]))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<td>Chinese</td>\n<td>1–2</td>" in html
    assert "<h2>States come together: holds</h2>" in html
    assert html.count("<table>") == 3


def test_ranges():
    assert [ranges(numbers) for numbers in ([], [3], [1, 2, 3, 7, 9, 10])] == ["–", "3", "1–3, 7, 9–10"]
