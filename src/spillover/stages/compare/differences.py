"""What two evaluations differ in besides the model: a change between them is not the model's alone.

Other items or other gold labels are refused when the two are joined (`pairing`). Everything else may be what somebody
wants to compare, so it is stated, in the first lines of every form of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from spillover.core.types import Evaluation, Experiment
from spillover.stages.compare.pairing import Changes, Pairs, left_out
from spillover.stages.compare.result import Sentence, Topic
from spillover.stats.clusters import FEW_CLUSTERS

NAMES = {
    "wording": "the task's files (words, label words or shots)",
    "template": "the template",
    "labels": "label words",
    "shots": "languages of the shots",
    "rule": "scoring rule",
    "content_free": "content-free inputs of calibration",
    "dtype": "precision",
    "vocabulary": "tokenizer",
    "chat": "chat template",
    "engine": "what computed the scores",
    "text": "text of the items",
}
"""What a reader calls each field of `Experiment`."""
HASHED = ("wording", "template", "vocabulary")


def differences(before: Evaluation, after: Evaluation) -> list[str]:
    """What is known to differ, in the order of `NAMES`, as in "precision (float32 → bfloat16)". Empty where a side does
    not say how it was made, as logs of other tools and older tables. What one side does not know or have is no
    difference: the precision of an exported task's log, or content-free inputs."""
    first, second = before.experiment, after.experiment
    if first is None or second is None:
        return []
    values = {entry.name: (getattr(first, entry.name), getattr(second, entry.name)) for entry in fields(Experiment)}
    names = [name for name, (old, new) in values.items() if old and new and old != new]
    named = [_difference(name, getattr(first, name), getattr(second, name)) for name in NAMES if name in names]
    for code, scores in before.scores.items():
        sides = [side.borrowed_wording or "its own" for side in (scores, after.scores.get(code, scores))]
        if sides[0] != sides[1]:
            named.append(f"the wording around the text of {code} ({' → '.join(sides)})")
    return named


def difference_sentences(before: Evaluation, after: Evaluation, pairs: Pairs) -> list[Sentence]:
    """What a reader must know of the two sides before the numbers: other settings, or one and the same model."""
    named = differences(before, after)
    one_model = before.model.fingerprint == after.model.fingerprint
    numbers = {"differences": named, "one_model": one_model}
    sentences = _steering_sentences(before, after)
    if named and one_model:
        text = f"Both sides are one model, and differ in {_listed(named)}: the change is that of these settings."
        return [*sentences, Sentence(Topic.NOTE, text, numbers)]
    if named:
        text = f"Besides the model, the two sides differ in {_listed(named)}: the change is not the model's alone."
        sentences.append(Sentence(Topic.NOTE, text, numbers))
    if _equal_scores(pairs):
        text = "Every score is the same number on both sides: the two are one model, or the adapter changes nothing."
        sentences.append(Sentence(Topic.NOTE, text, {"equal_scores": True}))
    return sentences


def _steering_sentences(before: Evaluation, after: Evaluation) -> list[Sentence]:
    """Which intervention changed the hidden states of a side."""
    sides = {"Before is": before.model.steer, "After is": after.model.steer}
    if before.model.steer == after.model.steer:
        sides = {"Both sides are": after.model.steer}
    return [
        Sentence(Topic.NOTE, f"{side} steered by {name}, without training.", {"steer": name})
        for side, name in sides.items()
        if name
    ]


def note_sentences(before: Evaluation, after: Evaluation, pairs: Pairs) -> list[Sentence]:
    """What was noted when the two sides were read, said once where it holds for both, and what was left out."""
    first, second = _notes(before), _notes(after)
    sides = {note: "Both sides" for note in first if note in second}
    sides |= {note: "Before" for note in first if note not in sides}
    sides |= {note: "After" for note in second if note not in sides}
    texts = [f"{side}: {note}." for note, side in sides.items()]
    return [Sentence(Topic.NOTE, text) for text in (*texts, *left_out(before, after, pairs))]


def _notes(side: Evaluation) -> tuple[str, ...]:
    layers = side.model.adapter_layers
    return (*side.notes, *([f"the adapter is kept in layers {layers} alone"] if layers else []))


def borrowed_wording_sentences(pairs: Pairs) -> list[Sentence]:
    """Which languages are asked in the wording of another, on either side."""
    codes_of: dict[str, list[str]] = {}
    for code, sides in pairs.items():
        if any(side.borrowed_wording for side in sides):
            text = " → ".join(dict.fromkeys(side.borrowed_wording or "its own" for side in sides))
            codes_of.setdefault(text, []).append(code)
    return [
        Sentence(
            Topic.NOTE,
            f"In {', '.join(codes)} the items' own text stands in the wording of another language: {text}.",
            {"borrowed_wording": text, "languages": codes},
        )
        for text, codes in codes_of.items()
    ]


def cluster_sentences(changes: Changes) -> list[Sentence]:
    """That intervals and tests resample clusters, where items have some, and where these are too few to be trusted."""
    if changes.clusters is None:
        return []
    clusters, items = changes.n_clusters(changes.languages), changes.n_items(changes.languages)
    text = f"Intervals and tests resample {clusters} clusters, in which the {items} items come, not single items."
    if few := [code for code in changes.languages if changes.n_clusters([code]) < FEW_CLUSTERS]:
        where = "" if len(few) == len(changes.languages) else f", as in {', '.join(few)}"
        text += f" With fewer than {FEW_CLUSTERS}{where}, they are not to be trusted."
    return [Sentence(Topic.NOTE, text, {"clusters": clusters, "items": items})]


def run_difference_sentences(names: Sequence[str], sides: Sequence[tuple[Evaluation, Evaluation]]) -> list[Sentence]:
    """The same for several runs, each against the first: names and (before, after) of each."""
    sentences = []
    for name, others in zip(names[1:], sides[1:], strict=True):
        named = list(dict.fromkeys(item for first, other in zip(sides[0], others, strict=True)
                                   for item in differences(first, other)))  # fmt: skip
        if named:
            text = f"The runs {names[0]} and {name} differ in {_listed(named)}: so may their changes."
            sentences.append(Sentence(Topic.NOTE, text, {"run": name, "differences": named}))
    return sentences


def _equal_scores(pairs: Pairs) -> bool:
    return all(
        before.outcome is None and after.outcome is None and np.array_equal(before.logprobs, after.logprobs)
        for before, after in pairs.values()
    )


def _difference(name: str, first: object, second: object) -> str:
    if name in HASHED:
        return NAMES[name]
    first, second = (", ".join(map(repr, value)) if isinstance(value, tuple) else value for value in (first, second))
    return f"{NAMES[name]} ({first} → {second})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, ("; ".join(names[:-1]), names[-1])))
