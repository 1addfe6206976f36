"""The planner: from numbers, from a run, and the paper's published table read as counts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spillover.cli import main
from spillover.core.config import CompareConfig
from spillover.core.declared_measure import declare_measure
from spillover.core.errors import ConfigError, DataError, RunError
from spillover.core.runs import open_run
from spillover.core.tables import check_columns
from spillover.stages.compare import compare
from spillover.stages.compare.measures import MEASURES
from spillover.stages.compare.planning import (
    PUBLISHED_COLUMNS,
    deviation_of,
    discordance_of,
    plan,
    plan_area,
    plan_like,
    read_published,
)
from spillover.stats.power import area_deviation, independent_discordance
from tests.builders import evaluation, write_evaluation
from tests.stages.compare.builders import planted_sides

# Mistral-7B, Amazon polarity, accuracy before and after in 20 languages: arXiv 2405.13816.
BASE = [89.2, 92.4, 91.8, 93.4, 94.2, 93.8, 93.6, 93.0, 93.2, 93.4, 87.6, 93.2, 91.6, 92.4, 91.8, 63.2, 81.6, 83.0, 58.0, 71.0]  # fmt: skip
AFTER = [95.2, 95.0, 95.0, 95.0, 94.8, 92.8, 94.6, 95.0, 94.4, 94.8, 93.2, 93.6, 94.0, 93.0, 92.2, 81.2, 87.0, 84.8, 75.6, 75.4]  # fmt: skip


def test_a_published_table_is_read_as_counts_from_the_command_line(tmp_path, capsys):
    path = tmp_path / "published.csv"
    pairs = zip(BASE, AFTER, strict=True)
    path.write_text(
        "language,before,after\n" + "".join(f"l{i},{a / 100},{b / 100}\n" for i, (a, b) in enumerate(pairs))
    )
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--plan", "--items", "500", "--published", str(path)])
    assert ended.value.code == 0
    counts = [int(n) for n in re.findall(r"(\d+) (?:of 20|one corrected)", capsys.readouterr().out)]
    assert 4 <= counts[0] <= 7
    assert counts[1] <= counts[0]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "language,before,after\nzh,92.4,94.8\n",
            r"published\.csv:2: '92\.4' is not a share",
            "write 0.924 for 92.4 %",
        ),
        ("language,before,after\nzh,80%,0.9\n", r"published\.csv:2: '80%' is not a share", "write 0.8 for 80 %"),
        ("language;before;after\nzh;80,5 %;90 %\n", "'80,5 %' is not a share", "write 0.805 for 80.5 %"),
        ("language,before,after\nzh,0.9,n/a\n", "'n/a' is not a share", "a share, as in 0.92"),
        ("language,before,after\nzh,0.9,nan\n", "'nan' is not a share", "a share, as in 0.92"),
        ("language,before,after\nzh,0.9,-3\n", "'-3' is not a share", "a share, as in 0.92"),
        (
            'language,before,after\nzh,"0,92","0,94"\n',
            r"published\.csv:2: '0,92' is not a share",
            "write 0.92, with a decimal point",
        ),
        (
            "language;before;after\nzh;0,92;0,94\n",
            r"published\.csv:2: '0,92' is not a share",
            "write 0.92, with a decimal point",
        ),
        ("language,after\nzh,0.9\n", r"published\.csv:2: no before", "on the first line"),
        ("language,before,after\n", "the file is empty", ""),
    ],
)
def test_what_is_no_share_in_a_published_table_is_named_with_its_cure(tmp_path, text, message, hint):
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_published(path, 500)
    assert hint in caught.value.hint


def test_a_plan_as_text():
    text = str(plan(items=500, discordance=independent_discordance(0.87, 0.91), languages=20))
    assert text.startswith("500 items, 19.7 % of them flipped")
    assert "one of 20 languages, after Holm" in text


def test_shares_out_of_range_are_named():
    with pytest.raises(ConfigError, match="discordance: expected a share between 0 and 1, found 5"):
        plan(items=500, discordance=5)


def test_accuracies_are_read_as_the_discordance_of_independent_errors():
    assert discordance_of("0.5,0.5") == 0.5
    for text in ("0.5", "a,b", "50,60"):
        with pytest.raises(ConfigError, match="accuracy"):
            discordance_of(text)


def test_areas_are_read_as_the_spread_of_an_items_contribution():
    assert deviation_of("0.7,0.75") == pytest.approx(area_deviation(0.7, 0.75))
    assert deviation_of("0.7,0.75", 0.9) < deviation_of("0.7,0.75", 0.5) < deviation_of("0.7,0.75")
    for text in ("0.7", "a,b", "70,75", "0.7,1"):
        with pytest.raises(ConfigError, match="auroc"):
            deviation_of(text)
    with pytest.raises(ConfigError, match="correlation 1: expected a number between -1 and 1"):
        deviation_of("0.7,0.75", 1)


def test_a_plan_by_auroc_as_text():
    found = plan_area(items=500, deviation=0.5, languages=20)
    assert str(found).startswith("500 items, standard deviation of an item's contribution 0.50; power 80 %")
    assert "by AUROC" in str(found)
    assert "a change of 0.050 needs 785 items" in str(found)  # (2.8 * 0.5 / 0.05)^2
    assert plan_area(items=found.needed, deviation=0.5).detectable == pytest.approx(0.05, abs=1e-4)


def test_a_plan_like_a_run_goes_by_the_measure_that_the_run_declared(tmp_path):
    sides = planted_sides((1.5, 1.9), (0, 0), n=400)
    for primary in ("auroc", "calibrated", "accuracy"):
        run = open_run(tmp_path / primary)
        declare_measure(run, CompareConfig(primary=primary))
        for name, side in zip(("base", "tuned"), sides, strict=True):
            write_evaluation(run, name, side)
        found = plan_like(run)
        assert found.measure == MEASURES[primary].title
        assert (found.items, found.languages) == (400, 3)
        # By the spread that the comparison itself finds in a language.
        table = compare(*sides, config=CompareConfig(draws=1, primary=primary)).languages
        assert found.corrected == pytest.approx(table["detectable"].mean(), rel=0.1)


@pytest.mark.parametrize(("trained", "group"), [((), "all"), (("de",), "unseen"), (("de", "sw"), "unseen")])
@pytest.mark.parametrize("primary", ["auroc", "calibrated"])
def test_a_plan_like_a_run_plans_the_mean_that_the_verdict_is_about(tmp_path, trained, group, primary):
    """With the error that the comparison finds; n items needed are n items with which it is detected."""
    sides = planted_sides((1.5, 1.9), (0, 0), n=400, codes=("en", "de", "sw", "th", "zh"))
    run = open_run(tmp_path / "run")
    declare_measure(run, CompareConfig(primary=primary))
    run.update(stages={"build": {"facts": {"languages": trained}}})
    for name, side in zip(("base", "tuned"), sides, strict=True):
        write_evaluation(run, name, side)
    found = plan_like(run)
    groups = compare(*sides, config=CompareConfig(draws=1, primary=primary), seen=trained).groups
    (row,) = groups[(groups["group"] == group) & (groups["metric"] == MEASURES[primary].metric)].to_dict("records")
    assert (found.mean.group, found.mean.languages) == (group, row["languages"])
    assert found.mean.detectable == pytest.approx(row["detectable"])
    assert found.mean.detectable < found.detectable
    assert plan_like(run, items=found.mean.needed).mean.detectable == pytest.approx(found.effect, rel=0.02)
    title = f"mean over {found.mean.languages} {'unseen ' if trained else ''}languages: minimum detectable change"
    assert title in str(found)


def test_of_one_language_no_mean_is_planned(tmp_path):
    run = open_run(tmp_path / "run")
    declare_measure(run, CompareConfig())
    for name, side in zip(("base", "tuned"), planted_sides((1.5, 1.9), (0, 0), codes=("de",)), strict=True):
        write_evaluation(run, name, side)
    assert plan_like(run).mean is None
    assert "mean over" not in str(plan_like(run))


def test_without_a_spread_there_is_no_plan_by_auroc(tmp_path):
    run = open_run(tmp_path / "run")
    declare_measure(run, CompareConfig())
    for name in ("base", "tuned"):
        write_evaluation(run, name, planted_sides((1.5, 1.5), (0, 0), n=40)[0])
    with pytest.raises(RunError, match="the change in AUROC has no spread to plan with"):
        plan_like(run)


def test_a_plan_like_a_run_takes_its_items_languages_and_flips(tmp_path):
    run = open_run(tmp_path / "run")
    declare_measure(run, CompareConfig(primary="accuracy"))
    rights = {code: np.arange(40) < 20 for code in ("en", "de")}
    for name, flipped in (("base", 0), ("tuned", 4), ("same", 0)):
        write_evaluation(
            run, name, evaluation({code: right | (np.arange(40) < 20 + flipped) for code, right in rights.items()})
        )
    like = plan_like(run)
    assert (like.items, like.languages, like.discordance) == (40, 2, pytest.approx(0.1))
    assert plan_like(run, after="same").discordance == pytest.approx(3 / 40)  # the rule of three
    assert plan_like(run, items=500, discordance=0.2) == plan(items=500, discordance=0.2, languages=2)


def test_a_published_table_has_its_declared_columns(tmp_path):
    path = tmp_path / "published.csv"
    path.write_text("language,before,after\nzh,0.5,0.9\nth,0.5,0.52\n")
    table = check_columns(read_published(path, 100), PUBLISHED_COLUMNS)
    assert table["clears"].tolist() == [True, False]
