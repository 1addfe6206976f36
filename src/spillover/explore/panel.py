"""The question, above all tabs: task, language, texts, label words. Each tab computes something of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gradio as gr

from spillover.core.config import EvaluateConfig
from spillover.core.errors import ConfigError
from spillover.core.languages import known_languages, language, reference_language
from spillover.core.types import Task
from spillover.core.visible_text import visible
from spillover.explore.asked_question import OWN_PROMPT, OWN_WORDS, Question
from spillover.explore.computation import Worker
from spillover.explore.session import Session, question_of
from spillover.tasks.shots import FORMS, OWN_SHOTS
from spillover.tasks.wording import bundled_tasks, load_task

OWN_WORDING = ("its own", "")
AT_ONCE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
"""Every event: it is answered at once, not through Gradio's queue. What asks the model is a `Computation`."""
SHORT = 70
"""Characters of an example in the list of examples."""


@dataclass(frozen=True)
class Panel:
    """The components of the question, which tasks it offers, and who computes what of it."""

    session: Session
    worker: Worker
    tasks: tuple[str, ...]
    task: gr.Dropdown
    language: gr.Dropdown
    item: gr.Dropdown
    labels: gr.Dropdown
    texts: tuple[gr.Textbox, ...]
    choices: gr.Textbox
    words: gr.Textbox
    blank: gr.Checkbox
    shots: gr.Textbox
    wording: gr.Dropdown
    followed: gr.State

    @property
    def components(self) -> list[Any]:
        """In the order of `question`."""
        return [
            self.task, self.language, self.item, self.labels, *self.texts, self.choices, self.words, self.blank,
            self.shots, self.wording,
        ]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """In the order of `updates`."""
        return [*self.components, self.followed]

    def question(self, values: Sequence[Any]) -> Question:
        """The question that the components hold. ConfigError for a task that is not offered."""
        task, code, item, labels, *rest = values
        n = len(self.texts)
        choices, words, blank, shots, wording = rest[n:]
        self.check_task(task)
        fields = _fields(task)
        question = Question(
            task=task,
            language=_code_of(code or ""),
            texts=tuple(text or "" for text in rest[: len(fields)]),
            labels=labels or EvaluateConfig().labels,
            words=tuple((words or "").split(",")) if (words or "").strip() else (),
            choices=tuple(line for line in (choices or "").splitlines() if line.strip()),
            shots=(shots or "").strip() or OWN_SHOTS,
            wording=wording or None,
            blank=bool(blank),
            item=item or "",
        )
        return question if self._is_unchanged(question) else replace(question, item="")

    def check_task(self, task: str) -> None:
        """ConfigError for a task that is not offered."""
        if task not in self.tasks:
            names = ", ".join(self.tasks)
            raise ConfigError(f"task {task!r} is not offered here", hint=f"one of {names}, or start with --task")

    def _is_unchanged(self, question: Question) -> bool:
        """Whether the texts are still those of the item."""
        example = self._example(question.task, question.language, question.item)
        if example is None:
            return False
        own = question_of(question, example)
        return own.texts == question.texts and own.choices == question.choices

    def _example(self, task: str, code: str, item: str) -> Any:
        if not item or task == OWN_PROMPT:
            return None
        rows = self.session.examples(task, [code]).get(code, [])
        return next((example for example in rows if example.id == item), None)

    def updates(self, question: Question, values: Sequence[Any] = ()) -> list[Any]:
        """What each component shows for a question: its value, its choices, and whether it is there. values: those that
        the components hold; a value that stays as it is is left out."""
        shown = _shown(self.session, question, len(self.texts))
        followed = _choice_of(shown)
        for properties, value in zip(shown, values, strict=False):
            if properties["value"] == value:
                del properties["value"]
        return [*(gr.update(**properties) for properties in shown), followed]


class _Choice(NamedTuple):
    """The values of the lists, in the order of `Panel.components`."""

    task: str
    language: str
    item: str | None
    labels: str | None


def _choice_of(shown: Sequence[Mapping[str, Any]]) -> _Choice:
    return _Choice(*(properties["value"] for properties in shown[: len(_Choice._fields)]))


def _shown(session: Session, question: Question, n_texts: int) -> list[dict[str, Any]]:
    """The properties of each component for a question, in the order of `Panel.components`."""
    own_prompt = question.task == OWN_PROMPT
    task = None if own_prompt else load_task(question.task)
    kind = task.kind if task else "prompt"
    fields = _fields(question.task)
    texts = [*question.texts, *[""] * n_texts]
    boxes: list[dict[str, Any]] = [
        {"value": texts[i] if i < len(fields) else "", "visible": i < len(fields), "label": _label(task, fields, i)}
        for i in range(n_texts)
    ]
    wordings = [OWN_WORDING, *((language(code).name, code) for code in (task.wordings if task else ()))]
    return [
        {"value": question.task},
        {"value": question.language, "choices": _language_choices(session, task)},
        _list(question.item or None, _items(session, question), visible=kind != "prompt"),
        _list(question.labels if kind == "labels" else None, _label_sets(task), visible=kind == "labels"),
        *boxes,
        {"value": "\n".join(question.choices), "visible": kind in ("choices", "pairs")},
        {
            "value": ", ".join(word.strip() for word in question.words),
            "visible": own_prompt or (kind == "labels" and question.labels == OWN_WORDS),
            "label": f"Words for {', '.join(task.labels)}" if task else "Words to compare",
        },
        {"value": question.blank, "visible": own_prompt},
        {"value": question.shots, "visible": kind in ("labels", "choices")},
        _list(question.wording or "", wordings, visible=kind in ("labels", "choices")),
    ]


def _items(session: Session, question: Question) -> list[tuple[str, str]]:
    if question.task == OWN_PROMPT:
        return []
    rows = session.examples(question.task, [question.language]).get(question.language, [])
    return [(_short([*example.fields.values(), *example.choices]), example.id) for example in rows]


def _list(value: str | None, choices: list[tuple[str, str]], *, visible: bool) -> dict[str, Any]:
    """A list of choices. A value of an address that is none of them is offered too: asking it says what is wrong."""
    unknown = value is not None and value not in [code for _, code in choices]
    offered = [*choices, (value, value)] if unknown and value is not None else choices
    return {"value": value, "choices": offered, "visible": visible}


def _code_of(text: str) -> str:
    """The code of a language that was chosen, or typed as its code or its name."""
    typed = text.strip()
    for code in known_languages():
        found = language(code)
        if typed.casefold() in (found.name.casefold(), found.endonym.casefold()):
            return code
    return typed


def _fields(task: str) -> tuple[str, ...]:
    return (OWN_PROMPT,) if task == OWN_PROMPT else load_task(task).fields


def _label(task: Task | None, fields: Sequence[str], i: int) -> str:
    if i >= len(fields):
        return "text"
    codes = task.values.get(fields[i]) if task else None
    return f"{fields[i]} ({' or '.join(codes)})" if codes else fields[i]


def _short(texts: Sequence[str]) -> str:
    text = visible(" | ".join(texts))
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def _language_choices(session: Session, task: Task | None) -> list[tuple[str, str]]:
    if task is None:
        codes: Sequence[str] = known_languages()
    elif task.kind == "pairs":
        codes = session.languages_of(task.name)
    else:
        codes = tuple(task.wordings)
    return [(f"{found.name}, {found.endonym} ({code})", code) for code in codes for found in [language(code)]]


def _label_sets(task: Task | None) -> list[tuple[str, str]]:
    if task is None or task.kind != "labels":
        return []
    return [(name, name) for name in ("native", *task.label_sets)] + [("your own", OWN_WORDS)]


def make_panel(session: Session, tasks: Sequence[str]) -> Panel:
    """The panel. tasks: bundled names or folders, offered before all other bundled ones."""
    offered = tuple(dict.fromkeys([*tasks, *bundled_tasks(), OWN_PROMPT]))
    n_texts = max(len(_fields(task)) for task in offered)
    shown = _shown(session, first_question(session, offered[0]), n_texts)
    task, code, item, labels, *boxes, choices, words, blank, shots, wording = shown
    names = [(_task_title(name), name) for name in offered]
    style = {"elem_classes": "sp-input"}
    with gr.Row():
        tasks_box = gr.Dropdown(names, label="Task", elem_id="task", min_width=220, **task)
        languages_box = gr.Dropdown(
            label="Language", allow_custom_value=True, elem_id="language", min_width=220, **code
        )  # fmt: skip
        items_box = gr.Dropdown(label="Example", elem_id="example", min_width=220, **item)
    texts = [
        gr.Textbox(lines=2, max_lines=8, elem_id=f"text-{i}", **style, **box) for i, box in enumerate(boxes)
    ]  # fmt: skip
    answers = gr.Textbox(label="Answers, one a line", lines=2, max_lines=10, elem_id="choices", **style, **choices)
    with gr.Row():
        labels_box = gr.Dropdown(label="Label words", elem_id="labels", min_width=160, **labels)
        words_box = gr.Textbox(info="with commas between them", elem_id="words", **style, **words)
        blank_box = gr.Checkbox(label="A space before each word", elem_id="blank", **blank)
    with gr.Accordion("Shots and wording", open=False):
        shots_box = gr.Textbox(label="Languages of the shots", info=FORMS, elem_id="shots", **shots)
        wording_box = gr.Dropdown(
            label="Wording", info="lent by, where the language has none", elem_id="wording", **wording
        )  # fmt: skip
    panel = Panel(
        session, Worker(), offered, tasks_box, languages_box, items_box, labels_box, tuple(texts), answers, words_box,
        blank_box, shots_box, wording_box, gr.State(_choice_of(shown)),
    )  # fmt: skip
    _connect(panel)
    return panel


def _task_title(name: str) -> str:
    if name == OWN_PROMPT:
        return "a prompt of your own"
    task = load_task(name)
    return f"{task.name}: {task.description}" if task.description else task.name


def first_question(session: Session, task: str) -> Question:
    """What the page opens with: the first example of a task in the reference language."""
    return with_example(session, Question(task, reference_language(), ()))


def with_example(session: Session, question: Question, item: str | None = None) -> Question:
    """The question with an item of the data in its language: `item`, else the first. Without one, as it is."""
    if question.task == OWN_PROMPT:
        return question
    rows = session.examples(question.task, [question.language]).get(question.language, [])
    found = [example for example in rows if item is None or example.id == item]
    return question_of(question, found[0]) if found else question


def _connect(panel: Panel) -> None:
    """What follows from a choice: another task or language brings its wording, and an example its texts.

    Gradio's lists send `blur` once after each choice, and also when they are left as they were; `input` comes twice
    for a click, and then two answers cross. So a choice is followed when it differs from what was followed last, and
    what it does not change is not sent back: a person may have typed on meanwhile.
    """

    def follow(before: _Choice, *values: Any) -> list[Any]:
        now = _Choice(*values[: len(before)])
        if now == before:
            return [gr.skip()] * len(panel.outputs)
        if now.task != before.task:
            question = with_task(values)
        elif now.language != before.language:
            question = with_language(values)
        elif now.item and now.item != before.item:
            question = with_example(panel.session, panel.question(values), now.item)
        else:
            question = panel.question(values)
        return panel.updates(question, values)

    def with_task(values: Sequence[Any]) -> Question:
        question = replace(
            panel.question(values), texts=(), choices=(), words=(), labels=EvaluateConfig().labels, item=""
        )
        return with_example(panel.session, question)

    def with_language(values: Sequence[Any]) -> Question:
        # The components hold the new language and the texts of the old one: where these are the example's, its
        # translation takes their place; a text of one's own stays.
        question = replace(panel.question(values), item="")
        translations = panel.session.in_languages(replace(question, item=values[2] or ""))
        if any(found.texts == question.texts for found in translations.values()):
            question = translations.get(question.language, question)
        return question

    def load_item(*values: Any) -> list[Any]:
        return panel.updates(with_example(panel.session, panel.question(values), values[2]), values)

    options: dict[str, Any] = {**AT_ONCE, "trigger_mode": "always_last"}
    lists = (panel.task, panel.language, panel.item, panel.labels)
    gr.on([box.blur for box in lists], follow, [panel.followed, *panel.components], panel.outputs, **options)
    # A click on the example that is chosen already brings its texts back.
    panel.item.select(load_item, panel.components, panel.outputs, **options)
