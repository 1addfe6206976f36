"""Claims against runs of planted effects: one verdict each."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from spillover.core.config import RunConfig
from spillover.core.errors import ConfigError, RunError
from spillover.core.files import write_yaml
from spillover.core.runs import open_run
from spillover.stages.alternatives.result import Need
from spillover.stages.report.claims import Claim, Verdict, findings, read_claims
from tests.builders import random_evaluation, write_evaluation

BY_ARM = Claim(runs="arms", claim="It is translation", paper="none", first={"build.arm": "translate"})
BY_CELL = Claim(runs="sources", claim="Any source will do", paper="87 to 91 %")


def make_runs(folder, claim, cells, *, n=300, finished=True):
    """A run for each of (settings, skill after tuning); skill 1 is the base's."""
    for number, (settings, skill) in enumerate(cells):
        run = open_run(folder / f"{claim.runs}-{number}")
        config = RunConfig.model_validate(
            {"name": run.path.name, "build": settings.get("build", {}), "train": settings.get("train", {})}
            | {"fold": settings.get("fold"), "compare": {"draws": 50}}
        )
        write_yaml(run.path / "config.yaml", config.model_dump())
        build = config.build.model_dump(include={"arm", "sources"})
        stages = {
            "build": {"settings": build, "facts": {"languages": ["de"]}},
            "train": {"settings": {"seed": config.train.seed or 0}, "seconds": 60.0},
        }
        for name, own in (("base", 1.0), ("tuned", skill)):
            rng = np.random.default_rng(number if name == "tuned" else 1000)
            write_evaluation(
                run, name, _with_ids(random_evaluation(rng, ("en", "de", "th"), n, skill=own), config.fold)
            )
            state = "done" if finished else "started"
            stages[f"evaluate/{name}/sentiment"] = {"state": state, "settings": {"fold": config.fold or ""}}
        run.update(name=run.path.name, stages=stages)
    return folder


def _with_ids(side, fold):
    scores = {
        code: replace(own, example_ids=tuple(f"{fold}-{one}" for one in own.example_ids))
        for code, own in side.scores.items()
    }
    return replace(side, scores=scores)


def arms(translate, shuffled):
    return [({"build": {"arm": "translate"}}, translate), ({"build": {"arm": "shuffled"}}, shuffled)]


@pytest.mark.parametrize(
    ("translate", "shuffled", "verdict"),
    [(3.0, 1.0, Verdict.HOLDS), (0.3, 1.0, Verdict.FAILS), (3.0, 4.5, Verdict.FAILS)],
)
def test_a_claim_on_the_first_cell_holds_where_it_rises_and_beats_the_others(tmp_path, translate, shuffled, verdict):
    make_runs(tmp_path, BY_ARM, arms(translate, shuffled))
    (result,) = findings([tmp_path], [BY_ARM])
    assert result.verdict is verdict, result.why
    assert [cell.settings for cell in result.cells] == ["arm translate", "arm shuffled"]
    assert len(result.contrasts) == 1
    assert result.seconds == 120
    assert result.settle == ""


def test_a_result_shows_itself_in_a_notebook_and_in_one_line(tmp_path):
    hostile = BY_ARM.model_copy(update={"claim": "<b>It</b> is translation"})
    make_runs(tmp_path, hostile, arms(3.0, 1.0))
    (result,) = findings([tmp_path], [hostile])
    assert repr(result) == "<<b>It</b> is translation (sentiment): holds>"
    shown = result._repr_html_()
    assert "<b>" not in shown
    assert "arm translate</th>" in shown
    assert "translate beats shuffled" in shown
    assert "not run" in replace(result, cells=(), contrasts=(), verdict=Verdict.NOT_RUN)._repr_html_()


def test_a_claim_with_too_few_items_inconclusive_and_says_how_many_would_do(tmp_path):
    make_runs(tmp_path, BY_ARM, arms(1.1, 1.0), n=24)
    (result,) = findings([tmp_path], [BY_ARM])
    assert result.verdict is Verdict.INCONCLUSIVE
    items = int(re.match("about ([0-9]+) items a language would detect a change of 0.050", result.settle)[1])
    change = result.cells[0].change()
    assert items >= change.n * (change.detectable / 0.05) ** 2
    (later,) = findings([make_runs(tmp_path / "more", BY_ARM, arms(1.1, 1.0), n=2 * items)], [BY_ARM])
    assert later.verdict is not Verdict.INCONCLUSIVE


def test_a_rise_without_another_cell_is_no_evidence(tmp_path):
    make_runs(tmp_path, BY_ARM, arms(3.0, 1.0)[:1])
    (result,) = findings([tmp_path], [BY_ARM])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no other cell" in result.why
    make_runs(tmp_path / "sources", BY_CELL, [({"build": {"sources": ["de"]}}, 3.0)])
    (result,) = findings([tmp_path / "sources"], [BY_CELL])
    assert (result.verdict, result.why) == (Verdict.INCONCLUSIVE, "no other cell is finished")
    make_runs(tmp_path / "placebo", BY_ARM, arms(3.0, 1.0)[1:])
    (result,) = findings([tmp_path / "placebo"], [BY_ARM])
    assert "build.arm translate is not" in result.why


@pytest.mark.parametrize(
    ("skills", "verdict", "why"),
    [
        ((3.0, 3.0), Verdict.HOLDS, "2 of 2 cells rise"),
        ((3.0, 0.3), Verdict.PARTLY, "1 of 2 cells rise after Holm's correction over them, 1 fall"),
        ((0.3, 0.3), Verdict.FAILS, "0 of 2 cells rise"),
    ],
)
def test_a_claim_on_all_cells_is_tested_in_each(tmp_path, skills, verdict, why):
    make_runs(
        tmp_path,
        BY_CELL,
        [({"build": {"sources": [code]}}, skill) for code, skill in zip(("de", "es"), skills, strict=True)],
    )
    (result,) = findings([tmp_path], [BY_CELL])
    assert result.verdict is verdict
    assert result.why.startswith(why)
    assert {cell.settings for cell in result.cells} == {"sources de", "sources es"}


def test_seeds_are_pooled(tmp_path):
    cells = [
        ({"build": {"arm": arm}, "train": {"seed": seed}}, skill)
        for seed in (0, 1)
        for arm, skill in (("translate", 3.0), ("shuffled", 1.0))
    ]
    make_runs(tmp_path / "seeds", BY_ARM, cells)
    (result,) = findings([tmp_path / "seeds"], [BY_ARM])
    assert [cell.change().seeds for cell in result.cells] == [2, 2]
    assert result.verdict is Verdict.HOLDS


def test_an_arm_that_lacks_a_fold_waits_for_it(tmp_path):
    build = {"build": {"arm": "translate"}}
    placebo = {"build": {"arm": "shuffled"}, "fold": "1/2"}
    make_runs(tmp_path, BY_ARM, [(build | {"fold": "1/2"}, 3.0), (build | {"fold": "2/2"}, 3.0), (placebo, 1.0)])
    (result,) = findings([tmp_path], [BY_ARM])
    assert [cell.change().n for cell in result.cells] == [600]
    assert [path.name for path in result.unfinished] == ["arms-2"]
    assert result.verdict is Verdict.INCONCLUSIVE


def test_runs_that_are_not_finished_are_named_and_not_read(tmp_path):
    make_runs(tmp_path, BY_ARM, arms(3.0, 1.0), finished=False)
    (result,) = findings([tmp_path], [BY_ARM])
    assert result.verdict is Verdict.NOT_RUN
    assert [path.name for path in result.unfinished] == ["arms-0", "arms-1"]


def test_the_table_of_alternatives_answers_its_claim(tmp_path, monkeypatch):
    claim = Claim(runs="free", claim="Tuning gives more", paper="none", alternatives=True)
    make_runs(tmp_path, claim, arms(3.0, 1.0)[:1])

    class Table:
        task, verdict, answer = "sentiment", "Tuning beats every free alternative by .1.", Need.BEATS_EVERY

    monkeypatch.setattr("spillover.stages.report.claims.read_alternatives", lambda folder: [Table])
    (result,) = findings([tmp_path], [claim])
    assert (result.verdict, result.why) == (Verdict.HOLDS, "Tuning beats every free alternative by .1")


def test_bad_input_is_one_line_with_the_cure(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        findings([tmp_path], [BY_ARM])
    make_runs(tmp_path, BY_ARM, arms(3.0, 1.0))
    with pytest.raises(ConfigError, match="no claim is tested by runs named arms-0") as error:
        findings([tmp_path], [BY_CELL])
    assert error.value.hint == "claims are tested by sources"
    (tmp_path / "arms-0" / "config.yaml").unlink()
    with pytest.raises(RunError, match=r"arms-0: no config\.yaml"):
        findings([tmp_path], [BY_ARM])
    path = tmp_path / "claims.yaml"
    path.write_text("claims: [{runs: a, claim: b}]\n")
    with pytest.raises(ConfigError, match=r"claims\.0\.paper: Field required"):
        read_claims(path)
