"""What a comparison says, in plain sentences, each with the numbers it reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spillover.core.config import CompareConfig
from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.core.tables import records
from spillover.stages.compare.format import area_span, p_value, points, span
from spillover.stages.compare.measures import ACCURACY, AUROC
from spillover.stages.compare.result import Comparison, GroupChange, LanguageChange, Outcome, Sentence, Topic

if TYPE_CHECKING:
    import pandas as pd

REPORTED_KINDS = ("all", "training", "own")
TITLES = {"all": "All languages", "seen": "Trained-on languages", "unseen": "Unseen languages"}


def outcome_of(delta: float, p: float, detectable: float, config: CompareConfig) -> Outcome:
    """The outcome of a test. p: corrected. detectable: the minimum detectable effect."""
    if math.isnan(delta) or math.isnan(p):
        return Outcome.UNDEFINED
    if p < 1 - config.level:
        return Outcome.IMPROVED if delta > 0 else Outcome.WORSE
    return Outcome.NO_EVIDENCE if detectable <= config.effect else Outcome.UNDERPOWERED


def verdict(comparison: Comparison) -> tuple[Sentence, ...]:
    """The sentences of one comparison, the most general claim first."""
    measure = comparison.measure
    changes = comparison.group_changes(measure.metric, REPORTED_KINDS)
    sentences = [_change(comparison, change) for change in changes]
    if len(comparison.languages) > 1:
        sentences.append(_single_languages(comparison))
    sentences += [_split(comparison, change.group) for change in changes if change.kind != "own"]
    sentences += _misread(comparison) + _constant_predictions(comparison)
    if comparison.guard:
        sentences.append(_guard(comparison))
    general = changes[0]
    if not math.isnan(general.languages_low):
        sentences.append(
            Sentence(
                Topic.GENERAL,
                f"As a claim about languages in general, these {general.languages} being a sample: {measure.title} "
                f"{measure.change(general.delta)} ({measure.span(general.languages_low, general.languages_high)}).",
                _numbers(general, "delta", "languages_low", "languages_high", "languages_p"),
            )
        )
    return tuple(sentences)


def _change(comparison: Comparison, change: GroupChange) -> Sentence:
    measure = comparison.measure
    ends = {
        Outcome.IMPROVED: "improved",
        Outcome.WORSE: "got worse",
        Outcome.NO_EVIDENCE: "no evidence of a change",
        Outcome.UNDERPOWERED: f"underpowered, the minimum detectable change is {measure.size(change.detectable)}",
        Outcome.UNDEFINED: f"no test, {untested_reason(comparison, change)}",
    }
    return Sentence(
        Topic.CHANGE,
        f"{comparison.task}, {_group_name(change)}: {measure.title} "
        f"{measure.before_after(change.before, change.after)}, {measure.change(change.delta)} "
        f"({100 * comparison.level:.0f} % interval {measure.span(change.low, change.high)}): {ends[change.verdict]}.",
        {"group": change.group, "codes": change.codes, "metric": change.metric, "verdict": change.verdict.value}
        | _numbers(change, "before", "after", "delta", "low", "high", "p", "holm_p", "detectable", "n"),
    )


def untested_reason(comparison: Comparison, change: GroupChange) -> str:
    """Why a group's change in the primary measure has no test: what is wrong with the languages that have none."""
    measure, table = comparison.measure, comparison.languages
    rows = table[table["language"].isin(change.codes.split()) & table[f"{measure.metric}_p"].isna()]
    reasons = rows.loc[rows["reason"] != "", ["reason", "language"]].groupby("reason", sort=False)["language"]
    listed = "; ".join(f"{reason} ({' '.join(codes)})" for reason, codes in reasons)
    if math.isnan(change.delta):
        return f"{measure.title} is undefined: {listed}"
    return listed or "there is one item, or one cluster"


def _group_name(change: GroupChange) -> str:
    """`17 unseen languages`, or the one language's name, or "all items" where no language is known."""
    codes = change.codes.split()
    kind = {"all": "all", "seen": "trained-on", "unseen": "unseen"}.get(change.group)
    if codes == [UNKNOWN_LANGUAGE]:
        return "all items"
    if len(codes) == 1:
        return language(codes[0]).name + (f" ({kind})" if kind in ("trained-on", "unseen") else "")
    number = f"all {len(codes)}" if kind == "all" else f"{len(codes)} {kind or change.group}"
    return f"{number} languages"


def _single_languages(comparison: Comparison) -> Sentence:
    changes = comparison.language_changes()
    by_outcome: dict[Outcome, list[LanguageChange]] = {}
    for change in changes:
        by_outcome.setdefault(change.verdict, []).append(change)
    parts = []
    for outcome in (outcome for outcome in Outcome if outcome in by_outcome):
        rows = by_outcome[outcome]
        changed = outcome in (Outcome.IMPROVED, Outcome.WORSE)
        listed = ", ".join(f"{row.language} {comparison.measure.change(row.delta)}" for row in rows)
        parts.append(f"{outcome} {listed if changed else len(rows)}")
    detectable = sorted(change.detectable for change in changes if not math.isnan(change.detectable))
    reach = ""
    if detectable:
        median = comparison.measure.size(detectable[len(detectable) // 2])
        reach = f" The minimum detectable change of one language is about {median}."
    keys = ("delta", "low", "high", "p", "holm_p", "bh_q", "detectable")
    return Sentence(
        Topic.LANGUAGES,
        f"Single languages after Holm's correction over {len(changes)}: {'; '.join(parts)}.{reach}",
        {row.language: {"verdict": row.verdict.value} | _numbers(row, *keys) for row in changes},
    )


def _split(comparison: Comparison, group: str) -> Sentence:
    change, calibrated, bias, area = by_metric = [
        comparison.group_change(group, metric)
        for metric in ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    ]
    name = _group_name(change)
    name = name[0].upper() + name[1:]
    numbers = {row.metric: _numbers(row, "delta", "low", "high", "p") for row in by_metric}
    if math.isnan(calibrated.delta):
        return Sentence(Topic.SPLIT, f"{name}: {comparison.no_components}.", numbers)
    if comparison.measure is ACCURACY:
        text = f"{name}: {points(change.delta)}"
    else:
        text = f"{name}, secondary: accuracy {ACCURACY.before_after(change.before, change.after)}, "
        text += ACCURACY.change_with_interval(change.delta, change.low, change.high)
    text += (
        f" = label-bias component {points(bias.delta)} ({span(bias.low, bias.high)}) + "
        f"calibrated component {points(calibrated.delta)} ({span(calibrated.low, calibrated.high)})"
    )
    if comparison.measure is not AUROC:
        text += f"; AUROC {AUROC.before_after(area.before, area.after)}, {area_span(area.delta, area.low, area.high)}"
    text += "."
    if (
        change.verdict == bias.verdict == Outcome.IMPROVED
        and calibrated.verdict != Outcome.IMPROVED
    ):  # fmt: skip
        text += " The gain is reduced label bias: calibration alone would have given it."
    if calibrated.verdict == area.verdict == Outcome.IMPROVED:
        text += " The model discriminates better."
    if area.verdict == Outcome.WORSE:
        text += " The model discriminates less, whatever accuracy says."
    return Sentence(Topic.SPLIT, text, numbers)


def _misread(comparison: Comparison) -> list[Sentence]:
    """Languages whose accuracy rose while AUROC fell, or the reverse, both after Holm: there accuracy misleads."""
    misread = [
        change
        for change in comparison.language_changes()
        if change.accuracy_delta * change.auroc_delta < 0
        and max(change.mcnemar_holm_p, change.auroc_holm_p) < 1 - comparison.level
    ]
    if not misread:
        return []
    listed = ", ".join(
        f"{language(row.language).name} ({points(row.accuracy_delta)}, label bias {points(row.prior_repair_delta)}, "
        f"AUROC {row.auroc_delta:+.3f})"
        for row in misread
    )
    text = f"Accuracy alone misleads where it and AUROC moved in opposite directions: {listed}."
    keys = ("accuracy_delta", "auroc_delta", "prior_repair_delta")
    return [Sentence(Topic.MISREAD, text, {row.language: _numbers(row, *keys) for row in misread})]


def _constant_predictions(comparison: Comparison) -> list[Sentence]:
    """Languages in which one side predicts one label for every item: accuracy there is the share of that label."""
    changes = comparison.language_changes()
    constant = {
        "before": {row.language: row.one_answer_before for row in changes if row.one_answer_before},
        "after": {row.language: row.one_answer_after for row in changes if row.one_answer_after},
    }
    parts = [f"{side}: {_listed(labels, len(changes))}" for side, labels in constant.items() if labels]
    if not parts:
        return []
    text = f"Constant predictions, so that accuracy is the share of the predicted label ({'; '.join(parts)})."
    return [Sentence(Topic.CONSTANT, text, constant)]


def _listed(labels: Mapping[str, str], languages: int) -> str:
    """`positive in nl, sl; no label in de`."""
    by_label: dict[str, list[str]] = {}
    for code, label in labels.items():
        by_label.setdefault(label, []).append(code)
    return ", ".join(
        f"{label} in {f'all {languages}' if 1 < len(codes) == languages else ' '.join(codes)}"
        for label, codes in by_label.items()
    )


def _guard(comparison: Comparison) -> Sentence:
    guard = comparison.guard
    assert guard is not None
    name, margin = language(guard.language).name, 100 * guard.margin
    p_text = p_value(guard.p) if guard.p < 0.001 else f"= {p_value(guard.p)}"
    if math.isnan(guard.p):
        end = "cannot be tested with one item"
    elif guard.held:
        end = f"non-inferior, any loss is below the margin of {margin:g} points (p {p_text})"
    elif guard.lost:
        end = f"lost more than the margin of {margin:g} points"
    else:
        end = f"non-inferiority not shown, a loss of {margin:g} points is not excluded (p {p_text})"
    text = f"{name}: {points(guard.delta)} (Tango's interval {span(guard.low, guard.high)}): {end}."
    numbers = dict(vars(guard))
    if area := auroc_loss(comparison):
        change = area_span(area.delta, area.low, area.high)
        text += f" Its AUROC fell, {change}: the model discriminates less, whatever accuracy says."
        numbers["auroc"] = _numbers(area, "delta", "low", "high", "p")
    return Sentence(Topic.GUARD, text, numbers)


def auroc_loss(comparison: Comparison) -> GroupChange | None:
    """The change of the reference language's AUROC where it got worse, else None."""
    return next(
        (row for row in comparison.group_changes("auroc", ("reference",)) if row.verdict == Outcome.WORSE), None
    )


def seed_sentences(comparison: Comparison, seeds: pd.DataFrame, arm: str) -> list[Sentence]:
    """A sentence per group on the pooled estimate of an arm's seeds; none where the arm has one seed. seeds: see
    `contrasts.SEED_COLUMNS`."""
    measure = comparison.measure
    rows = seeds[(seeds["arm"] == arm) & (seeds["metric"] == measure.metric) & seeds["kind"].isin(("all", "training"))]
    return [
        Sentence(
            Topic.SEEDS,
            f"{TITLES[row['group']]}, over {row['seeds']} seeds: {measure.title} {measure.change(row['delta'])} "
            f"({measure.span(row['low'], row['high'])}), with the standard error of items "
            f"({measure.size(row['items_error'])}) and the spread between seeds "
            f"({measure.size(row['seed_deviation'])}) both included: {row['verdict']}.",
            row,
        )
        for row in records(rows)
    ]


def contrast_sentences(comparison: Comparison, contrasts: pd.DataFrame, arm: str) -> list[Sentence]:
    """A sentence per other arm and group. contrasts: see `contrasts.CONTRAST_COLUMNS`."""
    table = contrasts[contrasts["kind"].isin(("all", "training"))]
    return [
        _contrast(comparison, str(other), str(group), {row["metric"]: row for row in records(rows)}, arm)
        for (other, group), rows in table.groupby(["against", "group"], sort=False)
    ]


def _contrast(
    comparison: Comparison, other: str, group: str, rows: Mapping[str, Mapping[str, Any]], arm: str
) -> Sentence:
    measure = comparison.measure
    change = rows[measure.metric]
    ends = {Outcome.IMPROVED: f"{arm} beats {other}", Outcome.WORSE: f"{other} beats {arm}"}
    end = ends.get(change["verdict"], f"no evidence that {arm} beats {other}")
    if change["verdict"] == Outcome.UNDERPOWERED:
        end += f" (underpowered, the minimum detectable difference is {measure.size(change['detectable'])})"
    differences = {
        one: f"{one.title} {one.change_with_interval(*(rows[one.metric][key] for key in ('delta', 'low', 'high')))}"
        for one in (measure, *comparison.secondary)
    }
    primary = differences.pop(measure)
    return Sentence(
        Topic.PLACEBO,
        f"{TITLES[group]}, {arm} against {other}: {primary}: {end}. Secondary: {', '.join(differences.values())}.",
        {"against": other, "group": group, "metric": measure.metric, "verdict": change["verdict"]}
        | {
            one.metric: {key: float(rows[one.metric][key]) for key in ("delta", "low", "high", "p", "holm_p")}
            for one in (measure, *comparison.secondary)
        },
    )


def _numbers(row: GroupChange | LanguageChange, *keys: str) -> dict[str, float]:
    return {key: getattr(row, key) for key in keys}
