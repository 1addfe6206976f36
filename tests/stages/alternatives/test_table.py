from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import rankdata

from spillover.core.config import CompareConfig
from spillover.core.errors import DataError
from spillover.core.types import Evaluation, ModelRef
from spillover.stages.alternatives.result import Need
from spillover.stages.alternatives.rows import Row, RowKind
from spillover.stages.alternatives.table import ScoredRow, alternatives_of, in_reference_language
from spillover.stages.compare.stage import compare
from spillover.stages.steer.held_out import held_out_ids
from spillover.stats.calibration import normalised
from spillover.stats.significance import corrected
from spillover.stats.summary import auroc, calibrated_hits
from tests.builders import evaluation, random_hits, table
from tests.stages.alternatives.builders import FREE, moved, scored_rows


@pytest.fixture(scope="module")
def scored():
    return scored_rows(np.random.default_rng(0), bias=1.5, vector=0.1, vector_null=0.0, shots=0.6, tuned=1.2)


@pytest.fixture(scope="module")
def result(scored):
    return alternatives_of(scored, seen=["es"])


def cell(result, row, group="all"):
    table = result.of_group(group)
    return table[table["row"] == row].iloc[0]


def test_changes_are_against_the_calibrated_base_in_accuracy_and_against_the_base_in_auroc(scored, result):
    base, shots = (next(one for one in scored if one.row.name == name).evaluation for name in ("base", "shots"))
    ours = cell(result, "shots")
    per_language = [
        shots.scores[code].hits().mean() - calibrated_hits(base.scores[code]).mean() for code in base.scores
    ]
    assert ours["accuracy_delta"] == pytest.approx(np.mean(per_language))
    compared = compare(base, shots, config=CompareConfig(draws=20)).group_change("all", "auroc")
    assert [ours[f"auroc_{end}"] for end in ("delta", "low", "high")] == pytest.approx(
        [compared.delta, compared.low, compared.high]
    )
    assert ours["p"] == pytest.approx(compared.p)


def test_calibration_raises_the_accuracy_of_a_biased_base_and_leaves_its_auroc(result):
    base, calibrated = cell(result, "base"), cell(result, "calibrated")
    assert calibrated["accuracy"] > base["accuracy"] + 0.04
    assert calibrated["accuracy"] == calibrated["calibrated_accuracy"] == base["calibrated_accuracy"]
    assert calibrated["auroc"] == base["auroc"]
    assert base["accuracy_delta"] == pytest.approx(base["accuracy"] - calibrated["accuracy"])
    assert math.isnan(calibrated["accuracy_delta"])


def test_holm_corrects_over_free_and_trained_rows_and_over_no_null(result):
    for group in ("all", "seen", "unseen"):
        table = result.of_group(group)
        tested = table[table["kind"].isin(["free", "trained"])]
        assert list(tested["row"]) == ["vector", "shots", "tuned"]
        assert list(tested["holm_p"]) == pytest.approx(list(corrected(tested["p"].to_numpy(), "holm")))
        assert table[~table["kind"].isin(["free", "trained"])]["holm_p"].isna().all()


def test_each_row_is_held_against_its_nulls_and_tuned_against_all_that_is_free(result):
    pairs = result.contrasts[["row", "against", "kind"]].drop_duplicates()
    assert {tuple(pair) for pair in pairs.itertuples(index=False)} == {
        ("vector", "vector_null", "null"), ("tuned", "base", "free"), ("tuned", "calibrated", "free"),
        ("tuned", "vector", "free"), ("tuned", "shots", "free"),
    }  # fmt: skip
    own = result.contrasts[(result.contrasts["metric"] == "accuracy") & (result.contrasts["group"] == "all")]
    deltas = dict(zip(own["against"], own["delta"], strict=True))
    assert deltas["calibrated"] == pytest.approx(cell(result, "tuned")["accuracy_delta"])
    assert deltas["shots"] == pytest.approx(cell(result, "tuned")["accuracy"] - cell(result, "shots")["accuracy"])


def test_the_verdict_is_about_unseen_languages_where_it_is_known_which_these_are(scored, result):
    assert (result.group, result.answer) == ("unseen", Need.BEATS_EVERY)
    unknown = alternatives_of(scored)
    assert unknown.group == "all"
    assert any("not known" in note for note in unknown.notes)


def test_held_out_items_are_scored_in_no_row(scored):
    ids = scored[0].evaluation.scores["en"].example_ids[:50]
    result = alternatives_of(scored, held_out=ids)
    assert set(result.rows["n"]) == {150}
    assert result.held_out == 50
    # A row that was evaluated without them, as steered ones are, has the items of the others.
    steered = replace(scored[2], evaluation=moved(scored[0].evaluation, np.random.default_rng(1), 0.0))
    kept = {
        code: alternatives_side(own, [name for name in own.example_ids if name not in ids])
        for code, own in steered.evaluation.scores.items()
    }
    steered = replace(steered, evaluation=replace(steered.evaluation, scores=kept))
    assert set(alternatives_of([*scored[:2], steered], held_out=ids).rows["n"]) == {150}
    with pytest.raises(DataError, match="50 items only"):
        alternatives_of([*scored[:2], steered])


def alternatives_side(scores, ids):
    rows = [scores.example_ids.index(name) for name in ids]
    names = ("gold", "logprobs", "tokens", "label_tokens")
    return replace(scores, example_ids=tuple(ids), **{name: getattr(scores, name)[rows] for name in names})


def test_the_bound_is_the_reference_languages_score_in_every_language(scored):
    base = scored[0].evaluation
    bound = in_reference_language(base)
    assert bound.scores["de"].language == "de"
    assert (bound.scores["de"].logprobs == base.scores["en"].logprobs).all()
    rows = [*scored[:2], ScoredRow(Row("bound", RowKind.BOUND, "base"), bound)]
    line = cell(alternatives_of(rows), "bound")
    assert line["auroc"] == pytest.approx(auroc(base.scores["en"]))
    assert math.isnan(line["holm_p"])


def test_where_calibration_is_undefined_changes_are_against_the_base():
    rng = np.random.default_rng(0)
    sides = [evaluation({code: random_hits(rng, share) for code in ("en", "de")}) for share in (0.5, 0.9)]
    sides = [
        replace(side, scores={code: replace(own, kind="choices") for code, own in side.scores.items()})
        for side in sides
    ]
    rows = [ScoredRow(Row(name, RowKind.REFERENCE, "base"), sides[0]) for name in ("base", "calibrated")]
    result = alternatives_of([*rows, ScoredRow(Row("shots", FREE, "shots"), sides[1])])
    assert (result.reference, result.primary) == ("base", "accuracy")
    assert list(result.of_group("all")["row"]) == ["base", "shots"]
    assert cell(result, "shots")["accuracy_delta"] == pytest.approx(0.4, abs=0.1)
    assert any("not calibrated" in note for note in result.notes)


class Useless:
    """A base whose scores are normal around each label's mean, and settings that are as good as it is, and agree with it
    to 0.9: their changes in AUROC are nearly independent, with a mean of 0."""

    def __init__(self, rng, n, agreement=0.9):
        self.rng, self.agreement = rng, agreement
        self.gold = np.arange(n) % 2
        self.means = 0.6 * (2 * self.gold - 1)
        self.deviations = rng.normal(size=n)

    def settings(self, count):
        """[count, items] log-odds."""
        noise = np.sqrt(1 - self.agreement**2) * self.rng.normal(size=(count, len(self.gold)))
        return self.means + self.agreement * self.deviations + noise

    def evaluation(self, odds):
        scores = table(normalised(np.stack([-odds / 2, odds / 2], axis=1)), self.gold)
        return Evaluation(ModelRef("m", None, None, "k"), "sentiment", "english", "k", {"en": scores})

    def rows(self, **settings):
        base = self.evaluation(self.means + self.deviations)
        rows = [ScoredRow(Row(name, RowKind.REFERENCE, "base"), base) for name in ("base", "calibrated")]
        kinds = {"tuned": RowKind.TRAINED}
        return rows + [
            ScoredRow(Row(name, kinds.get(name, FREE), name), self.evaluation(odds)) for name, odds in settings.items()
        ]

    def best(self, settings, items):
        """The setting with the best AUROC on these items: Mann and Whitney's statistic."""
        ranks = rankdata(settings[:, items], axis=1)
        return settings[
            np.argmax(ranks[:, self.gold[items] == 1].mean(axis=1) - ranks[:, self.gold[items] == 0].mean(axis=1))
        ]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "expected"), [(48, 2.2), (96, 2.5)])
def test_the_best_useless_setting_beats_the_base_on_the_items_that_chose_it_and_not_on_others(count, expected):
    """Expected: the mean of the largest of so many independent standard normal values."""
    rng = np.random.default_rng(0)
    # A mean in standard errors has one of 0.1 after 100 runs; a share of .025, which may be .05, one of .008 after 400.
    runs, n = {"scored": 100, "held-out": 400}, 300
    benchmark = SimpleNamespace(
        examples=lambda: {"en": [SimpleNamespace(id=f"i{i}") for i in range(n)]}, task=SimpleNamespace(name="t")
    )
    held = held_out_ids(benchmark, 0.3)
    held_rows = np.array([int(name[1:]) for name in held])
    inflation, beats = {"scored": [], "held-out": []}, {"scored": 0, "held-out": 0}
    for run in range(max(runs.values())):
        useless = Useless(rng, n)
        settings = useless.settings(count)
        for name, items in (("scored", np.setdiff1d(np.arange(n), held_rows)), ("held-out", held_rows)):
            if run >= runs[name]:
                continue
            rows = useless.rows(best=useless.best(settings, items))
            line = cell(alternatives_of(rows, held_out=held), "best")
            error = (line["auroc_high"] - line["auroc_low"]) / (2 * 1.96)
            inflation[name].append(line["auroc_delta"] / error)
            beats[name] += line["verdict"] == "improved"
    print(count, {name: (round(np.mean(values), 2), beats[name] / runs[name]) for name, values in inflation.items()})
    assert abs(np.mean(inflation["scored"]) - expected) < 0.35
    assert abs(np.mean(inflation["held-out"])) < 0.2
    assert beats["scored"] / runs["scored"] > 0.5
    assert beats["held-out"] / runs["held-out"] <= 0.05


@pytest.mark.slow
def test_tuning_that_does_nothing_is_not_said_to_beat_every_free_alternative():
    rng = np.random.default_rng(0)
    runs = 400
    answers = []
    for _ in range(runs):
        useless = Useless(rng, 200)
        first, second, tuned = useless.settings(3)
        answers.append(alternatives_of(useless.rows(shots=first, vector=second, tuned=tuned)).answer)
    print({answer.value: answers.count(answer) / runs for answer in set(answers)})
    assert answers.count(Need.BEATS_EVERY) / runs <= 0.05
    assert answers.count(Need.FREE_IS_BETTER) / runs <= 0.06
