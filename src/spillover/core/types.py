"""The nouns that all stages share: what a language, a task, an item, a prompt and a score are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from spillover.core.notebook import block, paragraph, table

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

Provenance = Literal[
    "machine-translated",
    "machine-translated and reviewed",
    "written",
    "written and reviewed by a native speaker",
]

Kind = Literal["labels", "choices", "pairs"]
"""What a model chooses between: a task's label words, each item's own answer texts, or two whole texts."""

Length = Literal["sum", "token", "byte"]
"""How answers of several tokens are compared: by summed log-probability, or by its mean per token or UTF-8 byte."""


@dataclass(frozen=True)
class Language:
    """One language: BCP-47 code, English name, own name, ISO 15924 script, family ("" when not known)."""

    code: str
    name: str
    endonym: str
    script: str
    family: str


@dataclass(frozen=True)
class Wording:
    """One task in one language: template words, label words and shots, by name, label id and shot id. `romanised`: the
    label words in Latin letters, empty where they are written so, or where nobody wrote them down. `values`: by field
    what stands in the prompt for each value of a field that is a code, not text. `borrowed`: the parts (words, labels,
    shots, values) that are another language's, since this one has none of its own; `lender`: that language."""

    language: str
    provenance: Provenance
    words: Mapping[str, str]
    labels: Mapping[str, str]
    shots: Mapping[str, Mapping[str, str]]
    romanised: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    borrowed: tuple[str, ...] = ()
    lender: str = ""

    @property
    def borrowing(self) -> str:
        """What is borrowed from which language, as in "en (words, shots)"; "" where all is its own."""
        return f"{self.lender} ({', '.join(self.borrowed)})" if self.borrowed else ""


@dataclass(frozen=True)
class Task:
    """A task in all its languages. `labels` are language-free ids, in the order of all score columns; where items bring
    their own answers, the indices of these.

    `kind`: see `Kind`. `choices`: how many answers every item has, None where that is an item's own affair or labels'.
    `length`: the length rule of the headline, declared before there are scores. `parallel`: whether an id is the same
    item in every language.
    `label_sets` maps a set's name to label words by label id; the set `native` is each wording's own words.
    `shots` maps shot ids to their gold label id ("" where items bring their own answers), in the order in which they
    stand in the prompt.
    `values`: the codes that a field may hold, by field; each wording says them in its language.
    `partial_wordings`: those whose files say that they lack parts; they are used where another language's may fill in.
    `fingerprint` is a hash of every file the task was read from.
    """

    name: str
    version: int
    description: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    template: str
    label_sets: Mapping[str, Mapping[str, str]]
    shots: Mapping[str, str]
    wordings: Mapping[str, Wording]
    fingerprint: str
    kind: Kind = "labels"
    choices: int | None = None
    length: Length = "sum"
    parallel: bool = True
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    partial_wordings: Mapping[str, Wording] = field(default_factory=dict)

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The fields that hold text. Codes are said in each language's words by its wording."""
        return tuple(name for name in self.fields if name not in self.values)


@dataclass(frozen=True, slots=True)
class Example:
    """One item in one language. The same id is the same item in every language. `label` is None for a bare question.

    choices: the item's own answer texts, or the two texts of a pair; `label` is then the index of the right one, from
    "0". cluster: what several items have in common, such as the passage they ask about; None where items are
    independent."""

    id: str
    language: str
    fields: Mapping[str, str]
    label: str | None = None
    choices: tuple[str, ...] = ()
    cluster: str | None = None


@dataclass(frozen=True)
class Turn:
    """A question and its answer, without whitespace around the question: of a shot the whole answer, of an item what
    stands before its label word, as in `Sentiment: "`."""

    question: str
    answer: str


@dataclass(frozen=True)
class Prompt:
    """One item as text. `prefix` (the few-shot block) is the same for a whole language; `answers` are the label words
    in the order of `Task.labels`, or the item's own choices, each to be scored directly after `text`; where that is
    empty they are whole texts, scored after the tokenizer's begin token. content: a hash of the item's fields and
    choices, the same under any wording and for its translation; "" where the prompt is no item. cluster: the item's.
    turns: the same text as turns of a conversation, the shots and then the item, for models that are asked in their
    chat template. asked_in: the language of the prompt where it is not the item's, as of a translated item; else ""."""

    example_id: str
    language: str
    prefix: str
    body: str
    answers: tuple[str, ...]
    gold: str | None = None
    content: str = ""
    cluster: str | None = None
    turns: tuple[Turn, ...] = ()
    asked_in: str = ""

    @property
    def wording_language(self) -> str:
        """The language of the words around the item."""
        return self.asked_in or self.language

    @property
    def text(self) -> str:
        """What the model reads, up to where the answer starts."""
        return self.prefix + self.body


@dataclass(frozen=True)
class TrainingPair:
    """A question in `source` with its instruction, and what the model shall write: the question in `target`."""

    id: str
    source: str
    target: str
    prompt: str
    completion: str

    @property
    def question(self) -> str:
        """The prompt without its last line, which is the instruction; all of a prompt of one line."""
        question, line_break, _ = self.prompt.rstrip("\n").rpartition("\n")
        return question if line_break else self.prompt


@dataclass(frozen=True)
class CalibrationScores:
    """What calibration needs beside the items of one language. Natural log-probabilities, ≤ 0.

    content_free: [inputs, labels], with inputs without content in the item's place. answer_prompt: [labels], after the
    answer prompt alone. label_bytes: [labels] UTF-8 length of each label word.
    """

    content_free: NDArray[np.float32]
    answer_prompt: NDArray[np.float32]
    label_bytes: NDArray[np.int32]


@dataclass(frozen=True)
class LabelScores:
    """Log-probability of every label for every item of one language; natural log, ≤ 0, not normalised over the labels.

    kind: of the task. Where items bring their own answers, `labels` are the indices of these, and an answer that an
    item does not have has -inf, 0 tokens and 0 bytes. length: the task's length rule.
    logprobs: [n, labels] float32. gold: [n] index into `labels`. tokens: [n] prompt length.
    label_tokens: [n, labels] number of tokens each label's log-probability is the sum of; 0: unknown.
    outcome: [n] in [0, 1], from logs of other tools that say only how right an answer was; then `labels` is empty.
    content: [n] hash of each item's text, empty where it is unknown: the same item has the same one on another side.
    answer_bytes: [n, labels] UTF-8 length of each item's own answers; None where the answers are label words.
    clusters: [n] what each item has in common with others; empty where items are independent.
    borrowed_wording: what of the prompts is in another language's wording, as in "en (words, shots)"; "" for nothing.
    scored_by: [n] which of several models scored each item (cross-fitting); empty where one scored all.
    """

    language: str
    labels: tuple[str, ...]
    example_ids: tuple[str, ...]
    gold: NDArray[np.int64]
    logprobs: NDArray[np.float32]
    tokens: NDArray[np.int32]
    label_tokens: NDArray[np.int32]
    calibration: CalibrationScores | None = None
    outcome: NDArray[np.float64] | None = None
    content: tuple[str, ...] = ()
    kind: Kind = "labels"
    length: Length = "sum"
    answer_bytes: NDArray[np.int32] | None = None
    clusters: tuple[str, ...] = ()
    borrowed_wording: str = ""
    scored_by: tuple[str, ...] = ()

    def hits(self) -> Floats:
        """[n]: 1 where the gold label alone is most probable, 1/k where it ties with k - 1 others, else 0."""
        return self.outcome if self.outcome is not None else hits_of(self.logprobs.astype(np.float64), self.gold)

    def usual_prediction(self) -> str:
        """The label that is predicted most often and for how many items, as in "positive, 63 %"; "" where items have
        answers of their own, or only outcomes are known."""
        if self.outcome is not None or self.kind != "labels" or not len(self.gold):
            return ""
        counts = np.bincount(self.logprobs.argmax(axis=1), minlength=len(self.labels))
        return f"{self.labels[int(counts.argmax())]}, {100 * counts.max() / counts.sum():.0f} %"

    def rows_by_model(self) -> list[Indices]:
        """The rows of each model's items, in the order of their first one; all rows where one model scored all."""
        if not self.scored_by:
            return [np.arange(len(self.gold))]
        names = np.array(self.scored_by)
        return [np.flatnonzero(names == name) for name in dict.fromkeys(self.scored_by)]

    def take(self, rows: Sequence[int] | Indices) -> LabelScores:
        """The items in these rows, in their order."""
        return replace(
            self,
            example_ids=tuple(self.example_ids[i] for i in rows),
            gold=self.gold[rows],
            logprobs=self.logprobs[rows],
            tokens=self.tokens[rows],
            label_tokens=self.label_tokens[rows],
            outcome=None if self.outcome is None else self.outcome[rows],
            content=tuple(self.content[i] for i in rows) if self.content else (),
            answer_bytes=None if self.answer_bytes is None else self.answer_bytes[rows],
            clusters=tuple(self.clusters[i] for i in rows) if self.clusters else (),
            scored_by=tuple(self.scored_by[i] for i in rows) if self.scored_by else (),
        )


def hits_of(values: Floats, gold: Indices, *, tie: float = 0.0) -> Floats:
    """[n, labels], [n] → [n]: 1 where the gold label alone has the largest value, 1/k where k - 1 others are within
    `tie` of it, else 0."""
    if not len(gold):
        return np.zeros(0)
    best = values >= values.max(axis=1, keepdims=True) - tie
    return np.asarray(best[np.arange(len(gold)), gold] / best.sum(axis=1), dtype=np.float64)


@dataclass(frozen=True)
class ModelRef:
    """Which weights: name or path, revision, adapter path, and a hash of what was loaded. adapter_layers: the only
    layers that keep the adapter, as in 0-3,10; None: all. steer: the name of the intervention in its hidden states; the
    hash covers both."""

    name: str
    revision: str | None
    adapter: str | None
    fingerprint: str
    adapter_layers: str | None = None
    steer: str | None = None

    @property
    def title(self) -> str:
        """The name, with the intervention's where there is one."""
        return f"{self.name}, steered by {self.steer}" if self.steer else self.name


LOCAL_ENGINE = "local"
OWN_TEXT = "own"


@dataclass(frozen=True)
class Experiment:
    """What an evaluation's scores depend on besides items and weights. wording, template, vocabulary: hashes of the
    task's files, of its template, and of the tokenizer's tokens with their ids. labels: the label set. dtype: as in
    `float32`. chat: off, or the form with a hash of the chat template and its system prompt, as in `turns 1a2b3c4d`.
    engine: what computed the scores, local or the servers. text: of the items: own, or how it was translated. The rest
    is as in the config."""

    wording: str
    template: str
    labels: str
    shots: str
    rule: str
    content_free: tuple[str, ...]
    dtype: str
    vocabulary: str
    chat: str = "off"
    engine: str = LOCAL_ENGINE
    text: str = OWN_TEXT


@dataclass(frozen=True)
class Evaluation:
    """One model on one task with one label set: scores by language. `key` hashes everything that went into it.
    experiment: None where it is unknown. notes: what a reader of these scores must know, such as "by acc; the log also
    has acc_norm (--metric acc_norm)"."""

    model: ModelRef
    task: str
    label_set: str
    key: str
    scores: Mapping[str, LabelScores]
    experiment: Experiment | None = None
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """For a notebook: items, accuracy and the most frequent prediction by language."""
        rows = [
            (code, len(own.gold), f"{100 * own.hits().mean():.1f}" if len(own.gold) else "–", own.usual_prediction())
            for code, own in self.scores.items()
        ]
        return block(
            f"{self.model.title} on {self.task}, {self.label_set} labels",
            table(("", "items", "accuracy, %", "most frequent prediction"), rows),
            paragraph("Accuracy by summed log-probability. AUROC and calibration: spillover.summarise(...)"),
            *map(paragraph, self.notes),
        )


@dataclass(frozen=True)
class States:
    """The residual stream of b items after the embedding and after every block, never normed: [b, layers + 1, hidden]
    float32 each. An item's own tokens are those after the prefix that all items share, up to where the label starts.

    last: the token that predicts the label. mean: over the own tokens. all: the mean over every token of the prompt,
    shots too (the paper's). weighted: over the own tokens with weights 1..n (MEXA, Kargaran et al. 2024, which knows no
    shots). nodes: [label tokens, layers + 1, hidden], those of each item's label tree, item by item.
    active: [b, layers, neurons], on how many of the own tokens each MLP neuron fires; None where that cannot be seen.
    """

    last: NDArray[np.float32]
    mean: NDArray[np.float32]
    all: NDArray[np.float32]
    weighted: NDArray[np.float32]
    nodes: NDArray[np.float32]
    active: NDArray[np.uint16] | None = None


@dataclass(frozen=True)
class ScoredBatch:
    """What an engine yields: positions in the list of prompts it was given, and what it found for them.

    index: [b]. logprobs: [b, labels] float32. tokens: [b]. label_tokens: [b, labels]. Where an item has fewer answers
    than another, -inf and 0.
    """

    index: tuple[int, ...]
    logprobs: NDArray[np.float32]
    tokens: NDArray[np.int32]
    label_tokens: NDArray[np.int32]
    states: States | None = None


Severity = Literal["error", "warning", "note"]
Primary = Literal["auto", "auroc", "calibrated", "accuracy"]
"""The primary measure of a comparison. auto: AUROC for label words, accuracy for items with answers of their own."""

Fallback = Literal["accuracy"]
"""The primary measure of a task for which the one that was asked for is undefined."""

FailOn = Literal["worse", "not-shown"]
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
"""Of who evaluated a model to who made it, in the words of Every Eval Ever."""
Certainty = Literal["certain", "likely", "possible"]


class RowRepair(Protocol):
    """A repair of rows that is certain to be right."""

    def apply(self, rows: Sequence[Example]) -> Sequence[Example | None]:
        """The rows of one file after the repair, in their order; None for a row that is left out."""


@dataclass(frozen=True)
class Finding:
    """One fault that an audit found: which check, how severe, how certain, where, and the evidence for it.

    language: "" when the fault is the task's. ceiling: the accuracy of a perfect model in this language with this fault
    alone, in [0, 1]; None when the fault leaves the score as it is, or when it is unknown. suggestion: what to do about
    it. repair: what `--fix` does to the rows, None where nothing is certain; not written to findings.json.
    """

    check: str
    severity: Severity
    task: str
    language: str
    message: str
    example_ids: tuple[str, ...] = ()
    evidence: Mapping[str, object] = field(default_factory=dict)
    ceiling: float | None = None
    certainty: Certainty = "certain"
    suggestion: str = ""
    split: str = "test"
    repair: RowRepair | None = field(default=None, compare=False)


Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts → [n, width] sentence vectors."""


Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much is done, how much there is). The command line draws a bar of it."""


def no_progress(activity: str, done: int, total: int) -> None:
    """Draws nothing: the default of every function that takes a `Progress`."""
