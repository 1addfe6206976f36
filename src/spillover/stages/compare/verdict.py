"""What a comparison says, in plain sentences, each with the numbers it stands on.

improved, got worse   the test says so at the level asked for (single languages: after Holm)
no evidence           it does not, though a change of `compare.effect` would have been found with the power asked for
underpowered          it does not, and such a change could have been missed
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spillover.core.config import CompareConfig
from spillover.core.languages import UNKNOWN_LANGUAGE, language

if TYPE_CHECKING:
    from spillover.stages.compare.paired import Comparison

IMPROVED, WORSE, NO_EVIDENCE, UNDERPOWERED, UNDEFINED = (
    "improved",
    "got worse",
    "no evidence",
    "underpowered",
    "undefined",
)
SPOKEN_KINDS = ("all", "training", "own")


@dataclass(frozen=True)
class Sentence:
    """about: headline, change, languages, split, misread, one answer, guard, general, placebo or seeds. numbers: its
    ground."""

    about: str
    text: str
    numbers: Mapping[Any, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


def word(delta: float, p: float, least: float, config: CompareConfig) -> str:
    """One of the four words above, or "undefined" when there is no test."""
    if math.isnan(delta) or math.isnan(p):
        return UNDEFINED
    if p < 1 - config.level:
        return IMPROVED if delta > 0 else WORSE
    return NO_EVIDENCE if least <= config.effect else UNDERPOWERED


def verdict(found: Comparison) -> tuple[Sentence, ...]:
    """The sentences of one comparison, the widest claim first."""
    rows = found.groups[found.groups["kind"].isin(SPOKEN_KINDS)]
    accuracy = rows[rows["metric"] == "accuracy"].to_dict("records")
    sentences = [_change(found, row) for row in accuracy]
    if len(found.languages) > 1:
        sentences.append(_single_languages(found))
    sentences += [_split(found, row["group"]) for row in accuracy if row["kind"] != "own"]
    sentences += _misread(found) + _one_answer(found)
    if found.guard:
        sentences.append(_guard(found))
    general = accuracy[0]
    if not math.isnan(general["languages_low"]):
        sentences.append(
            Sentence(
                "general",
                f"As a claim about languages in general, these {general['languages']} being a sample: accuracy "
                f"{points(general['delta'])} ({points(general['languages_low'])} to "
                f"{points(general['languages_high'])}).",
                _numbers(general, "delta", "languages_low", "languages_high", "languages_p"),
            )
        )
    return tuple(sentences)


def _change(found: Comparison, row: Mapping[Any, Any]) -> Sentence:
    name = _group_name(row)
    ends = {
        IMPROVED: "improved",
        WORSE: "got worse",
        NO_EVIDENCE: "no evidence of a change",
        UNDERPOWERED: f"underpowered, only a change of {100 * row['detectable']:.1f} points would be found",
        UNDEFINED: "no test, there is one item",
    }
    return Sentence(
        "change",
        f"{found.task}, {name}: accuracy {percent(row['before'])} → "
        f"{percent(row['after'])} %, {points(row['delta'])} ({100 * found.level:.0f} % interval {span(row)}): "
        f"{ends[row['verdict']]}.",
        {"group": row["group"], "codes": row["codes"], "verdict": row["verdict"]}
        | _numbers(row, "before", "after", "delta", "low", "high", "p", "holm_p", "detectable", "n"),
    )


def _group_name(row: Mapping[Any, Any]) -> str:
    """`17 unseen languages`, or the one language's name, or "all items" where no language is known."""
    codes = row["codes"].split()
    kind = {"all": "all", "seen": "trained-on", "unseen": "unseen"}.get(row["group"])
    if codes == [UNKNOWN_LANGUAGE]:
        return "all items"
    if len(codes) == 1:
        return language(codes[0]).name + (f" ({kind})" if kind in ("trained-on", "unseen") else "")
    number = f"all {len(codes)}" if kind == "all" else f"{len(codes)} {kind or row['group']}"
    return f"{number} languages"


def _single_languages(found: Comparison) -> Sentence:
    rows = found.languages.to_dict("records")
    by_word: dict[str, list[Any]] = {}
    for row in rows:
        by_word.setdefault(row["verdict"], []).append(row)
    parts = []
    for name in (IMPROVED, WORSE):
        if name in by_word:
            parts.append(
                f"{name} {', '.join(row['language'] + ' ' + points(row['accuracy_delta']) for row in by_word[name])}"
            )
    parts += [f"{name} {len(by_word[name])}" for name in (NO_EVIDENCE, UNDERPOWERED, UNDEFINED) if name in by_word]
    least = [row["detectable"] for row in rows if not math.isnan(row["detectable"])]
    reach = (
        f" One language needed about {100 * sorted(least)[len(least) // 2]:.0f} points to be found." if least else ""
    )
    return Sentence(
        "languages",
        f"Single languages after Holm's correction over {len(rows)}: {'; '.join(parts)}.{reach}",
        {
            row["language"]: {"verdict": row["verdict"]}
            | _numbers(
                row, "accuracy_delta", "accuracy_low", "accuracy_high", "mcnemar_mid_p", "holm_p", "bh_q", "detectable"
            )
            for row in rows
        },
    )


def _split(found: Comparison, group: str) -> Sentence:
    change, told, repair, area = (
        pick(found.groups, group, metric) for metric in ("accuracy", "calibrated_accuracy", "prior_repair", "auroc")
    )
    name = _group_name(change)
    numbers = {
        metric: _numbers(row, "delta", "low", "high", "p")
        for metric, row in (
            ("accuracy", change),
            ("prior_repair", repair),
            ("calibrated_accuracy", told),
            ("auroc", area),
        )
    }
    if math.isnan(told["delta"]):
        return Sentence(
            "split",
            f"{name[0].upper()}{name[1:]}: what part is prior repair cannot be told from these scores.",
            numbers,
        )
    text = (
        f"{name[0].upper()}{name[1:]}: {points(change['delta'])} is {points(repair['delta'])} ({span(repair)}) prior "
        f"repair and {points(told['delta'])} ({span(told)}) discrimination; AUROC {area['before']:.3f} → "
        f"{area['after']:.3f}, {area_span(area)}."
    )
    if change["verdict"] == IMPROVED and repair["verdict"] == IMPROVED and told["verdict"] != IMPROVED:
        text += " The gain is a repaired label prior: calibration alone would have given it."
    if IMPROVED == told["verdict"] == area["verdict"]:
        text += " The model tells the labels apart better."
    if area["verdict"] == WORSE:
        text += " The model tells the labels apart worse than before, whatever accuracy says."
    return Sentence("split", text, numbers)


def _misread(found: Comparison) -> list[Sentence]:
    """Languages whose accuracy rose while AUROC fell, or the reverse, both after Holm: there accuracy misleads."""
    told = {}
    for row in found.languages.to_dict("records"):
        rises = {IMPROVED: 1, WORSE: -1}.get(row["verdict"], 0)
        if rises * row["auroc_delta"] < 0 and row["auroc_holm_p"] < 1 - found.level:
            told[row["language"]] = _numbers(row, "accuracy_delta", "auroc_delta", "prior_repair_delta")
    if not told:
        return []
    rows = (
        f"{language(code).name} ({points(row['accuracy_delta'])}, prior repair {points(row['prior_repair_delta'])}, "
        f"AUROC {row['auroc_delta']:+.3f})"
        for code, row in told.items()
    )
    return [Sentence("misread", f"Accuracy alone misleads where it and AUROC moved apart: {', '.join(rows)}.", told)]


def _one_answer(found: Comparison) -> list[Sentence]:
    """Languages in which one side gives one label to every item: accuracy there is the share of that label."""
    told = {
        side: {row["language"]: row[f"one_answer_{side}"] for row in found.languages.to_dict("records")
               if row[f"one_answer_{side}"]} for side in ("before", "after")
    }  # fmt: skip
    parts = [f"{side}: {_listed(own, len(found.languages))}" for side, own in told.items() if own]
    if not parts:
        return []
    text = f"Every item got one answer, so that accuracy is that label's share ({'; '.join(parts)})."
    return [Sentence("one answer", text, told)]


def _listed(answers: Mapping[str, str], languages: int) -> str:
    """`positive in nl, sl; no label in de`."""
    by_answer: dict[str, list[str]] = {}
    for code, answer in answers.items():
        by_answer.setdefault(answer, []).append(code)
    return ", ".join(
        f"{answer} in {f'all {languages}' if 1 < len(codes) == languages else ' '.join(codes)}"
        for answer, codes in by_answer.items()
    )


def _guard(found: Comparison) -> Sentence:
    guard = found.guard
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
    if area := area_lost(found):
        text += f" Its AUROC fell, {area_span(area)}: the labels are told apart worse, whatever accuracy says."
        numbers["auroc"] = _numbers(area, "delta", "low", "high", "p")
    return Sentence("guard", text, numbers)


def area_lost(found: Comparison) -> Mapping[Any, Any]:
    """The row of the reference language's AUROC where it got worse, else an empty one."""
    rows = found.groups[(found.groups["kind"] == "reference") & (found.groups["metric"] == "auroc")].to_dict("records")
    return rows[0] if rows and rows[0]["verdict"] == WORSE else {}


def pick(groups: Any, group: str, metric: str) -> Any:
    """The row of one group and metric."""
    return groups[(groups["group"] == group) & (groups["metric"] == metric)].iloc[0]


def points(share: float) -> str:
    """A share as percentage points with a sign, none where it rounds to nothing; a dash for NaN."""
    if math.isnan(share):
        return "–"
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def percent(share: float) -> str:
    """A share in percent; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def p_value(p: float) -> str:
    """A p-value, never 0; a dash for NaN."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def span(row: Mapping[Any, Any]) -> str:
    """A row's interval in points; a dash where it has none."""
    return "–" if math.isnan(row["low"]) else f"{points(row['low'])} to {points(row['high'])}"


def area_span(row: Mapping[Any, Any]) -> str:
    """A change in AUROC with its interval, where it has one."""
    if math.isnan(row["delta"]):
        return "undefined"
    if math.isnan(row["low"]):
        return f"{row['delta']:+.3f} (nothing varies, no interval)"
    return f"{row['delta']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def _numbers(row: Mapping[Any, Any], *keys: str) -> dict[str, Any]:
    return {key: row[key].item() if hasattr(row[key], "item") else row[key] for key in keys}
