"""Runs of different folds of the items as one cross-fitted run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spillover.core.errors import ConfigError, DataError
from spillover.stages.compare.joined_folds import with_joined_folds
from spillover.stages.compare.stage import compare, compare_arms
from tests.stages.compare.builders import CODES, QUICK, planted_sides, runs_of

BY_AUROC = QUICK.model_copy(update={"primary": "auroc"})


def part(side, rows):
    return replace(side, scores={code: own.take(rows) for code, own in side.scores.items()})


def halves(run, *, shift=0.0):
    """The run as two, of one half of the items each. shift: what the second model adds to every first label."""
    n = len(run.before.scores["en"].gold)
    first, second = (replace(run, name=f"{run.name}-{fold}", fold=fold, before=part(run.before, rows), after=part(run.after, rows))
                     for fold, rows in (("1/2", np.arange(n // 2)), ("2/2", np.arange(n // 2, n))))  # fmt: skip
    scores = {
        code: replace(own, logprobs=(own.logprobs + np.array([shift, 0])).astype(np.float32))
        for code, own in second.after.scores.items()
    }
    return [first, replace(second, after=replace(second.after, scores=scores))]


def test_two_halves_are_one_run_with_every_item():
    (run,) = runs_of(("translate", 0, 0.4))
    (joined,) = with_joined_folds(halves(run), QUICK)
    whole, again = compare_arms([run], config=QUICK), compare_arms([joined], config=QUICK)
    assert set(again.languages["n"]) == {200}
    columns = ["accuracy_before", "accuracy_after", "accuracy_delta", "accuracy_low", "accuracy_high", "mcnemar_mid_p"]
    assert again.languages[columns].equals(whole.languages[columns])
    assert "each scored by a model tuned on questions of the others" in str(again)


def test_ranks_and_means_are_within_a_fold_so_that_two_models_scales_do_not_mix():
    before, after = planted_sides((1.0, 1.6), (0, 0), n=400)
    (run,) = runs_of(("translate", 0, 0.0))
    run = replace(run, before=before, after=after)
    columns = ["auroc_before", "auroc_after", "auroc_delta", "auroc_low", "auroc_high", "calibrated_accuracy_after"]
    columns += ["auroc_boot_low", "auroc_boot_high", "calibrated_accuracy_boot_high"]
    apart, shifted = (
        compare_arms(with_joined_folds(halves(run, shift=shift), BY_AUROC), config=BY_AUROC).languages[columns]
        for shift in (0.0, 5.0)
    )
    np.testing.assert_allclose(shifted, apart, atol=1e-5)
    parts = [compare(half.before, half.after, config=BY_AUROC).languages["auroc_after"] for half in halves(run)]
    np.testing.assert_allclose(apart["auroc_after"], np.mean(parts, axis=0))
    inside = (apart["auroc_boot_low"] < apart["auroc_delta"]) & (apart["auroc_delta"] < apart["auroc_boot_high"])
    assert inside.all()


def test_the_error_of_the_mean_area_is_that_of_independent_halves():
    before, after = planted_sides((1.0, 1.6), (0, 0), n=400)
    (run,) = runs_of(("translate", 0, 0.0))
    run = replace(run, before=before, after=after)
    widths = [
        (table["auroc_high"] - table["auroc_low"]).to_numpy()
        for table in (
            compare_arms(with_joined_folds(halves(run), BY_AUROC), config=BY_AUROC).languages,
            *(compare(half.before, half.after, config=BY_AUROC).languages for half in halves(run)),
        )
    ]
    assert widths[0] == pytest.approx(np.sqrt(widths[1] ** 2 + widths[2] ** 2) / 2, rel=0.05)


def test_folds_are_joined_by_arm_and_seed_and_the_real_arm_meets_its_placebo():
    runs = runs_of(("translate", 0, 0.4), ("copy", 0, 0.0), ("translate", 1, 0.4))
    found = compare_arms(with_joined_folds([half for run in runs for half in halves(run)], QUICK), config=QUICK)
    assert set(found.contrasts["against"]) == {"copy"}
    assert set(found.contrasts["n"]) == {200}
    assert set(found.seeds["seeds"]) == {2}


def test_a_fold_twice_and_an_item_in_two_folds_are_refused():
    first, second = halves(runs_of(("translate", 0, 0.4))[0])
    with pytest.raises(DataError, match="folds 1/2, 1/2, 2/2 of one arm"):
        with_joined_folds([first, first, second], QUICK)
    with pytest.raises(DataError, match="an item is in folds 1/2 and 3/4"):
        with_joined_folds([first, replace(first, fold="3/4")], QUICK)


def test_a_calibration_by_one_models_scores_is_refused():
    runs = halves(runs_of(("translate", 0, 0.4))[0])
    with pytest.raises(ConfigError, match="pmi is by scores of one model"):
        with_joined_folds(runs, QUICK.model_copy(update={"calibration": "pmi"}))


def test_a_fold_without_a_label_leaves_the_measure_undefined():
    (run,) = runs_of(("translate", 0, 0.4))
    gold = run.before.scores["en"].gold
    rows = np.concatenate([np.flatnonzero(gold == 0), np.flatnonzero(gold == 1)])
    sorted_run = replace(run, before=part(run.before, rows), after=part(run.after, rows))
    found = compare_arms(with_joined_folds(halves(sorted_run), QUICK), config=QUICK)
    assert found.languages["auroc_delta"].isna().all()
    assert found.languages["reason"].str.contains("in one of the parts").all()
    assert len(found.languages) == len(CODES)
