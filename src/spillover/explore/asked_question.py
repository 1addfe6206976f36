"""What a person asks → the task and the prompts that an engine is asked.

Label words of one's own become a label set of the task, and a prompt of one's own a task whose template is the prompt:
from there on all is as in `evaluate` and `probe`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.languages import language as language_of
from spillover.core.languages import reference_language
from spillover.core.types import Example, Prompt, Task, Wording
from spillover.tasks.choices import check_choices
from spillover.tasks.prompts import content_free, render, wording_of
from spillover.tasks.shots import OWN_SHOTS, resolve_shots
from spillover.tasks.wording import load_task, with_borrowed_wording

OWN_PROMPT = "prompt"
"""In place of a task's name: the text is the whole prompt."""
OWN_WORDS = "own"
"""In place of a label set's name: the words are in the question."""
FEWEST_WORDS = 2
MOST_KEYS = 1000


@dataclass(frozen=True)
class Question:
    """One item of a task as a person asks it, or a prompt of their own.

    task: bundled name, folder, or `OWN_PROMPT`. texts: in the order of the task's fields; the prompt alone for
    `OWN_PROMPT`; none for pairs. labels: a label set of the task, or `OWN_WORDS`. words: then, one for each label.
    choices: the item's own answers, where the task has no labels. shots: as `evaluate.shots`. wording: the language
    that lends its wording where the task has none in this language. blank: of a prompt of one's own, whether a blank
    stands before each word. item: id of the item in the task's data, "" for a text of one's own.
    """

    task: str
    language: str
    texts: tuple[str, ...]
    labels: str = EvaluateConfig().labels
    words: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    shots: str = OWN_SHOTS
    wording: str | None = None
    blank: bool = True
    item: str = ""


@dataclass(frozen=True)
class AskedItem:
    """A question as an engine is asked it. task: with the question's own words as a label set. without_content: prompts
    that are scored with it: they calibrate label words, and show where the item's own tokens begin."""

    task: Task
    label_set: str
    prompt: Prompt
    without_content: tuple[Prompt, ...]

    @property
    def calibrates(self) -> bool:
        """Whether contextual calibration is defined."""
        return self.task.kind == "labels" and bool(self.without_content)


def asked_item(question: Question, inputs: Sequence[str]) -> AskedItem:
    """The question as an engine is asked it. inputs: those without content, as `evaluate.content_free`.

    DataError for an empty text; ConfigError for a language without wording, an unknown label set, or words that do not
    fit the labels.
    """
    language_of(question.language)
    task = _task_of(question)
    example = Example(
        id=question.item or "question",
        language=question.language,
        fields=_fields(task, question.texts),
        # Of a text of one's own the answer is unknown; scores carry one, and nothing here reads it.
        label=task.labels[0],
        choices=_choices(task, question),
    )
    shots = resolve_shots(task, question.shots, 0)
    (prompt,) = render(task, [example], label_set=question.labels, shots=shots)
    has_template = task.kind != "pairs" and question.task != OWN_PROMPT
    return AskedItem(
        task, question.labels, prompt, tuple(content_free(task, prompt, inputs)) if has_template else ()
    )  # fmt: skip


def _task_of(question: Question) -> Task:
    if question.task == OWN_PROMPT:
        return _own_prompt_task(question)
    task = load_task(question.task)
    if question.wording:
        task = with_borrowed_wording(task, question.wording, [question.language], where="wording")
    if task.kind == "pairs":
        return task
    if question.language not in task.wordings:
        raise ConfigError(
            f"task {task.name} has no wording in {question.language!r}",
            hint=f"choose one of {' '.join(task.wordings)}, or the wording of {reference_language()} around your text",
        )
    wording_of(task, question.language)
    if task.kind == "labels" and question.labels == OWN_WORDS:
        words = _checked_words(question.words, task.labels)
        return replace(task, label_sets={**task.label_sets, OWN_WORDS: dict(zip(task.labels, words, strict=True))})
    return task


def _own_prompt_task(question: Question) -> Task:
    """The task of one prompt: its template is the text, and its labels are the words."""
    words = _checked_words(question.words)
    answers = {word: f" {word}" if question.blank else word for word in words}
    wording = Wording(question.language, "written", {}, answers, {})
    return Task(
        name=OWN_PROMPT,
        version=1,
        description="",
        fields=(OWN_PROMPT,),
        labels=words,
        template=f"{{{OWN_PROMPT}}}",
        label_sets={question.labels: answers},
        shots={},
        wordings={question.language: wording},
        fingerprint="",
    )


def _checked_words(words: Sequence[str], labels: Sequence[str] = ()) -> tuple[str, ...]:
    """The words without blanks around them; ConfigError where they cannot be the words of the labels."""
    words = tuple(word.strip() for word in words)
    wanted = f"{len(labels)} words, for {', '.join(labels)}" if labels else f"{FEWEST_WORDS} words or more"
    hint = f"give {wanted}, with commas between them"
    if not any(words):
        raise ConfigError("label words: there are none", hint=hint)
    if not all(words) or (len(words) != len(labels) if labels else len(words) < FEWEST_WORDS):
        raise ConfigError(f"label words: {len([word for word in words if word])} given", hint=hint)
    for i, word in enumerate(words):
        if word in words[:i]:
            raise ConfigError(f"label words: {word!r} stands for two labels", hint="give each label a word of its own")
        if labels and '"' in word:
            raise ConfigError(
                f"label words: {word!r} has a quote in it", hint="the quote closes an answer: leave it out"
            )
    return words


def _fields(task: Task, texts: Sequence[str]) -> dict[str, str]:
    if len(texts) < len(task.fields):
        raise DataError(
            f"{task.name}: {len(texts)} texts given", hint=f"it has {len(task.fields)}: {', '.join(task.fields)}"
        )
    fields = dict(zip(task.fields, texts, strict=False))
    for name, text in fields.items():
        if not text.strip():
            raise DataError(f"{name}: the text is empty", hint="type one, or choose an example")
        codes = task.values.get(name)
        if codes and text not in codes:
            raise DataError(f"{name}: {text!r} is not one of {', '.join(codes)}", hint="type one of these")
    return fields


def _choices(task: Task, question: Question) -> tuple[str, ...]:
    if task.kind == "labels":
        return ()
    choices = tuple(choice for choice in question.choices if choice.strip())
    check_choices("answers", Example("question", question.language, {}, task.labels[0], choices), task)
    return choices


KEYS = ("task", "language", "labels", "shots", "item")
LISTS = ("texts", "words", "choices")


def to_query(question: Question | None, view: Mapping[str, str]) -> str:
    """The question as the query of an address, as in `?task=sentiment&language=...`. view: what else the address
    keeps, such as the tab."""
    pairs = list(view.items())
    if question is None:
        return "?" + urlencode(pairs)
    pairs += [(key, getattr(question, key)) for key in KEYS]
    pairs += [(key, text) for key in LISTS for text in getattr(question, key)]
    pairs += [("wording", question.wording)] if question.wording else []
    pairs += [] if question.blank else [("blank", "off")]
    return "?" + urlencode([(key, text) for key, text in pairs if text])


def from_query(query: str) -> tuple[Question | None, dict[str, str]]:
    """(the question of an address, None where it has none; what else it keeps). Nothing is checked before it is asked:
    an address comes from anywhere."""
    try:
        values = parse_qs(query.removeprefix("?"), keep_blank_values=True, errors="replace", max_num_fields=MOST_KEYS)
    except ValueError:  # more keys than any question has
        return None, {}
    single = {key: texts[0] for key, texts in values.items() if texts}
    view = {key: text for key, text in single.items() if key not in {*KEYS, *LISTS, "wording", "blank"}}
    if "task" not in single or "language" not in single:
        return None, view
    question = Question(
        task=single["task"],
        language=single["language"],
        texts=tuple(values.get("texts", ())),
        labels=single.get("labels", EvaluateConfig().labels),
        words=tuple(values.get("words", ())),
        choices=tuple(values.get("choices", ())),
        shots=single.get("shots", OWN_SHOTS),
        wording=single.get("wording"),
        blank=single.get("blank") != "off",
        item=single.get("item", ""),
    )
    return question, view
