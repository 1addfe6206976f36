"""What the page shows, as values: each has its shapes, units and ranges, and its rows for a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillover.core.types import Floats
from spillover.explore.asked_question import Question


@dataclass(frozen=True)
class Answer:
    """What one model answers.

    model: base, or the name of the tuned one. labels: ids. words: what was scored. logprobs: [labels] natural
    log-probability of the whole word, as `evaluate` stores it. probabilities: [labels] in [0, 1], normalised over the
    labels under the task's length rule. calibrated: the same after contextual calibration; NaN where that is undefined,
    for `reason`. tokens: of the prompt. label_tokens: [labels].
    """

    model: str
    language: str
    labels: tuple[str, ...]
    words: tuple[str, ...]
    logprobs: Floats
    probabilities: Floats
    calibrated: Floats
    reason: str
    tokens: int
    label_tokens: tuple[int, ...]

    @property
    def best(self) -> int:
        """Index of the most probable label."""
        return int(self.probabilities.argmax())

    def rows(self) -> list[dict[str, Any]]:
        """A row per label."""
        return [
            {
                "model": self.model,
                "language": self.language,
                "label": label,
                "word": self.words[i],
                "logprob": float(self.logprobs[i]),
                "probability": float(self.probabilities[i]),
                "calibrated": float(self.calibrated[i]),
                "tokens": self.label_tokens[i],
                "prompt_tokens": self.tokens,
            }
            for i, label in enumerate(self.labels)
        ]


@dataclass(frozen=True)
class Token:
    """A token that a layer predicts, as text, and its probability in [0, 1]."""

    text: str
    probability: float


@dataclass(frozen=True)
class WordCurve:
    """The probability of a label's word by layer, [layers] each in [0, 1]. words: the target set (reference, native,
    romanised, asked). first: of the word's first token; NaN where another word begins with it. whole: of the whole
    word, each token predicted by the same layer."""

    words: str
    word: str
    first: Floats
    whole: Floats


@dataclass(frozen=True)
class LensView:
    """The logit lens of one model at one prompt. Layer 0 is the embedding.

    positions: the prompt's last tokens. cells: [layers][positions], each the most probable next tokens, the best first.
    answer: the label that the model answers. curves: of that label's words; empty for `reason`. entropy: [layers] bits
    at the last position, as far as curves are there. decided: the layer from which on the answer stays the most
    probable label; None where it is unknown.
    """

    model: str
    language: str
    positions: tuple[str, ...]
    cells: tuple[tuple[tuple[Token, ...], ...], ...]
    answer: str
    curves: tuple[WordCurve, ...]
    entropy: Floats
    decided: int | None
    reason: str

    def rows(self) -> list[dict[str, Any]]:
        """A row per layer: the best token of each position, and the curves."""
        rows = []
        for layer, cells in enumerate(self.cells):
            row: dict[str, Any] = {"model": self.model, "language": self.language, "layer": layer}
            for i, cell in enumerate(cells):
                row |= {f"token_{i + 1}": cell[0].text, f"probability_{i + 1}": cell[0].probability}
            for curve in self.curves:
                row |= {
                    f"{curve.words}_first": float(curve.first[layer]),
                    f"{curve.words}_whole": float(curve.whole[layer]),
                }
            if self.curves:
                row["entropy"] = float(self.entropy[layer])
            rows.append(row)
        return rows


@dataclass(frozen=True)
class LanguageAnswer:
    """One item in one language. answer: None where it could not be asked, for `reason`.

    similarity: [layers] cosine of its mean state (over the item's own tokens) with that of its counterpart in the
    reference language, in [-1, 1]. other: [layers] the mean cosine with other items in the reference language, what a
    text has in common with any. NaN for `reason`.
    """

    model: str
    language: str
    text: str
    answer: Answer | None
    similarity: Floats
    other: Floats
    reason: str

    @property
    def margin(self) -> Floats:
        """[layers]: how much nearer the counterpart is than other items."""
        return self.similarity - self.other


@dataclass(frozen=True)
class LanguagesView:
    """One item in several languages."""

    rows_by_language: tuple[LanguageAnswer, ...]
    reference: str

    def of(self, model: str) -> list[LanguageAnswer]:
        """The rows of one model."""
        return [row for row in self.rows_by_language if row.model == model]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, the base first."""
        return tuple(dict.fromkeys(row.model for row in self.rows_by_language))

    def split(self, model: str) -> int | None:
        """The layer after which the languages split: at it the mean margin over the other languages is largest. None
        where no similarity is defined."""
        margins = [row.margin for row in self.of(model) if row.language != self.reference]
        defined = [margin for margin in margins if len(margin) and not math.isnan(float(margin[0]))]
        return int(sum(defined).argmax()) if defined else None  # type: ignore[union-attr]

    def rows(self) -> list[dict[str, Any]]:
        """A row per model and language: the probabilities, and similarity and null by layer."""
        rows = []
        for row in self.rows_by_language:
            cells: dict[str, Any] = {
                "model": row.model, "language": row.language, "text": row.text, "reason": row.reason,
            }  # fmt: skip
            if row.answer:
                cells["answer"] = row.answer.labels[row.answer.best]
                for i, label in enumerate(row.answer.labels):
                    cells[f"probability_{label}"] = float(row.answer.probabilities[i])
                    cells[f"calibrated_{label}"] = float(row.answer.calibrated[i])
            for layer in range(len(row.similarity)):
                cells |= {
                    f"similarity_{layer}": float(row.similarity[layer]),
                    f"other_{layer}": float(row.other[layer]),
                }
            rows.append(cells)
        return rows


@dataclass(frozen=True)
class FlippedItem:
    """An item that one of the two models gets right and the other does not. gold, before, after: labels."""

    language: str
    id: str
    newly_correct: bool
    gold: str
    before: str
    after: str
    text: str

    @property
    def change(self) -> str:
        """One of `CHANGES`."""
        return CHANGES[0] if self.newly_correct else CHANGES[1]


CHANGES = ("newly correct", "newly wrong")
"""The two directions of a flip, as the page, its files and its address name them."""


@dataclass(frozen=True)
class FlipsView:
    """Items of a run that flipped between its base and the model `after`, as they were chosen."""

    task: str
    after: str
    items: tuple[FlippedItem, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A row per item."""
        return [
            {
                "language": item.language,
                "id": item.id,
                "change": item.change,
                "gold": item.gold,
                "base": item.before,
                "after": item.after,
                "text": item.text,
            }
            for item in self.items
        ]


@dataclass(frozen=True)
class View:
    """What one tab shows: the question and its results, for the downloads and the command. question: None where the tab
    shows a run."""

    tab: str
    question: Question | None
    results: tuple[Answer, ...] | tuple[LensView, ...] | tuple[LanguagesView, ...] | tuple[FlipsView, ...]
    options: Mapping[str, Any]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all results."""
        return [row for result in self.results for row in result.rows()]
