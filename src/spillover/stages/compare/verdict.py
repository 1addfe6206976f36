"""What a comparison says, in plain sentences, each with the numbers it stands on."""

from __future__ import annotations

import math
from typing import Any

from spillover.core.config import CompareConfig
from spillover.core.languages import UNKNOWN_LANGUAGE, language
from spillover.stages.compare.format import Row, area_span, p_value, percent, pick, points, records, span
from spillover.stages.compare.result import Comparison, Outcome, Sentence, Topic

SPOKEN_KINDS = ("all", "training", "own")


def outcome_of(delta: float, p: float, least: float, config: CompareConfig) -> Outcome:
    """The outcome of a test. p: corrected. least: the minimum detectable effect."""
    if math.isnan(delta) or math.isnan(p):
        return Outcome.UNDEFINED
    if p < 1 - config.level:
        return Outcome.IMPROVED if delta > 0 else Outcome.WORSE
    return Outcome.NO_EVIDENCE if least <= config.effect else Outcome.UNDERPOWERED


def verdict(comparison: Comparison) -> tuple[Sentence, ...]:
    """The sentences of one comparison, the widest claim first."""
    rows = comparison.groups[comparison.groups["kind"].isin(SPOKEN_KINDS)]
    accuracy = records(rows[rows["metric"] == "accuracy"])
    sentences = [_change(comparison, row) for row in accuracy]
    if len(comparison.languages) > 1:
        sentences.append(_single_languages(comparison))
    sentences += [_split(comparison, row["group"]) for row in accuracy if row["kind"] != "own"]
    sentences += _misread(comparison) + _one_answer(comparison)
    if comparison.guard:
        sentences.append(_guard(comparison))
    general = accuracy[0]
    if not math.isnan(general["languages_low"]):
        sentences.append(
            Sentence(
                Topic.GENERAL.value,
                f"As a claim about languages in general, these {general['languages']} being a sample: accuracy "
                f"{points(general['delta'])} ({points(general['languages_low'])} to "
                f"{points(general['languages_high'])}).",
                _numbers(general, "delta", "languages_low", "languages_high", "languages_p"),
            )
        )
    return tuple(sentences)


def _change(comparison: Comparison, row: Row) -> Sentence:
    name = _group_name(row)
    ends = {
        Outcome.IMPROVED: "improved",
        Outcome.WORSE: "got worse",
        Outcome.NO_EVIDENCE: "no evidence of a change",
        Outcome.UNDERPOWERED: f"underpowered, only a change of {100 * row['detectable']:.1f} points would be found",
        Outcome.UNDEFINED: "no test, there is one item",
    }
    return Sentence(
        Topic.CHANGE.value,
        f"{comparison.task}, {name}: accuracy {percent(row['before'])} → "
        f"{percent(row['after'])} %, {points(row['delta'])} ({100 * comparison.level:.0f} % interval {span(row)}): "
        f"{ends[row['verdict']]}.",
        {"group": row["group"], "codes": row["codes"], "verdict": row["verdict"]}
        | _numbers(row, "before", "after", "delta", "low", "high", "p", "holm_p", "detectable", "n"),
    )


def _group_name(row: Row) -> str:
    """`17 unseen languages`, or the one language's name, or "all items" where no language is known."""
    codes = row["codes"].split()
    kind = {"all": "all", "seen": "trained-on", "unseen": "unseen"}.get(row["group"])
    if codes == [UNKNOWN_LANGUAGE]:
        return "all items"
    if len(codes) == 1:
        return language(codes[0]).name + (f" ({kind})" if kind in ("trained-on", "unseen") else "")
    number = f"all {len(codes)}" if kind == "all" else f"{len(codes)} {kind or row['group']}"
    return f"{number} languages"


def _single_languages(comparison: Comparison) -> Sentence:
    rows = records(comparison.languages)
    by_outcome: dict[str, list[Any]] = {}
    for row in rows:
        by_outcome.setdefault(row["verdict"], []).append(row)
    parts = []
    for name in (Outcome.IMPROVED, Outcome.WORSE):
        if name in by_outcome:
            parts.append(
                f"{name} {', '.join(row['language'] + ' ' + points(row['accuracy_delta']) for row in by_outcome[name])}"
            )
    parts += [
        f"{name} {len(by_outcome[name])}"
        for name in (Outcome.NO_EVIDENCE, Outcome.UNDERPOWERED, Outcome.UNDEFINED)
        if name in by_outcome
    ]
    least = [row["detectable"] for row in rows if not math.isnan(row["detectable"])]
    reach = (
        f" One language needed about {100 * sorted(least)[len(least) // 2]:.0f} points to be found." if least else ""
    )
    return Sentence(
        Topic.LANGUAGES.value,
        f"Single languages after Holm's correction over {len(rows)}: {'; '.join(parts)}.{reach}",
        {
            row["language"]: {"verdict": row["verdict"]}
            | _numbers(
                row, "accuracy_delta", "accuracy_low", "accuracy_high", "mcnemar_mid_p", "holm_p", "bh_q", "detectable"
            )
            for row in rows
        },
    )


def _split(comparison: Comparison, group: str) -> Sentence:
    change, calibrated, bias, area = (
        pick(comparison.groups, group, metric)
        for metric in ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    )
    name = _group_name(change)
    numbers = {
        metric: _numbers(row, "delta", "low", "high", "p")
        for metric, row in (
            ("accuracy", change),
            ("prior_repair", bias),
            ("calibrated_accuracy", calibrated),
            ("auroc", area),
        )
    }
    if math.isnan(calibrated["delta"]):
        return Sentence(
            Topic.SPLIT.value,
            f"{name[0].upper()}{name[1:]}: these scores do not say what part is label bias.",
            numbers,
        )
    text = (
        f"{name[0].upper()}{name[1:]}: {points(change['delta'])} is {points(bias['delta'])} ({span(bias)}) label "
        f"bias and {points(calibrated['delta'])} ({span(calibrated)}) discrimination; AUROC {area['before']:.3f} → "
        f"{area['after']:.3f}, {area_span(area)}."
    )
    if (
        change["verdict"] == Outcome.IMPROVED
        and bias["verdict"] == Outcome.IMPROVED
        and calibrated["verdict"] != Outcome.IMPROVED
    ):
        text += " The gain is reduced label bias: calibration alone would have given it."
    if Outcome.IMPROVED == calibrated["verdict"] == area["verdict"]:
        text += " The model discriminates better."
    if area["verdict"] == Outcome.WORSE:
        text += " The model discriminates less than before, whatever accuracy says."
    return Sentence(Topic.SPLIT.value, text, numbers)


def _misread(comparison: Comparison) -> list[Sentence]:
    """Languages whose accuracy rose while AUROC fell, or the reverse, both after Holm: there accuracy misleads."""
    misread = {}
    for row in records(comparison.languages):
        rises = {Outcome.IMPROVED: 1, Outcome.WORSE: -1}.get(row["verdict"], 0)
        if rises * row["auroc_delta"] < 0 and row["auroc_holm_p"] < 1 - comparison.level:
            misread[row["language"]] = _numbers(row, "accuracy_delta", "auroc_delta", "prior_repair_delta")
    if not misread:
        return []
    rows = (
        f"{language(code).name} ({points(row['accuracy_delta'])}, label bias {points(row['prior_repair_delta'])}, "
        f"AUROC {row['auroc_delta']:+.3f})"
        for code, row in misread.items()
    )
    return [
        Sentence(
            Topic.MISREAD.value,
            f"Accuracy alone misleads where it and AUROC moved in opposite directions: {', '.join(rows)}.",
            misread,
        )
    ]


def _one_answer(comparison: Comparison) -> list[Sentence]:
    """Languages in which one side gives one label to every item: accuracy there is the share of that label."""
    constant = {
        side: {row["language"]: row[f"one_answer_{side}"] for row in records(comparison.languages)
               if row[f"one_answer_{side}"]} for side in ("before", "after")
    }  # fmt: skip
    parts = [f"{side}: {_listed(answers, len(comparison.languages))}" for side, answers in constant.items() if answers]
    if not parts:
        return []
    text = f"Constant predictions, so that accuracy is the share of the one label given ({'; '.join(parts)})."
    return [Sentence(Topic.CONSTANT.value, text, constant)]


def _listed(answers: dict[str, str], languages: int) -> str:
    """`positive in nl, sl; no label in de`."""
    by_answer: dict[str, list[str]] = {}
    for code, answer in answers.items():
        by_answer.setdefault(answer, []).append(code)
    return ", ".join(
        f"{answer} in {f'all {languages}' if 1 < len(codes) == languages else ' '.join(codes)}"
        for answer, codes in by_answer.items()
    )


def _guard(comparison: Comparison) -> Sentence:
    guard = comparison.guard
    assert guard is not None
    name, margin = language(guard.language).name, 100 * guard.margin
    p_text = p_value(guard.p) if guard.p < 0.001 else f"= {p_value(guard.p)}"
    if math.isnan(guard.p):
        end = "cannot be tested with one item"
    elif guard.held:
        end = f"held, any loss is below the margin of {margin:g} points (p {p_text})"
    elif guard.lost:
        end = f"lost more than the margin of {margin:g} points"
    else:
        end = f"not shown to hold: a loss of {margin:g} points is not excluded (p {p_text})"
    text = f"{name}: {points(guard.delta)} (Tango's interval {span(vars(guard))}): {end}."
    numbers = dict(vars(guard))
    if area := area_lost(comparison):
        text += f" Its AUROC fell, {area_span(area)}: the model discriminates less, whatever accuracy says."
        numbers["auroc"] = _numbers(area, "delta", "low", "high", "p")
    return Sentence(Topic.GUARD.value, text, numbers)


def area_lost(comparison: Comparison) -> Row:
    """The row of the reference language's AUROC where it got worse, else an empty one."""
    groups = comparison.groups
    rows = records(groups[(groups["kind"] == "reference") & (groups["metric"] == "auroc")])
    return rows[0] if rows and rows[0]["verdict"] == Outcome.WORSE else {}


def _numbers(row: Row, *keys: str) -> dict[str, Any]:
    return {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in keys}
