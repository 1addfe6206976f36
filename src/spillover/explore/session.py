"""One or two loaded models, asked one question at a time: answers, lens and languages, by the code of the stages.

What is dear is kept between questions: the models, and the few-shot prefixes that were used last. One question is
computed at a time, whoever asks; a generator gives way to others between two models, or two languages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spillover.core.config import EvaluateConfig, ModelConfig
from spillover.core.errors import ConfigError, DataError, SpilloverError
from spillover.core.languages import reference_language
from spillover.core.model_names import name_in_run
from spillover.core.types import Example, Floats, LabelScores, Progress, ScoredBatch, States, no_progress
from spillover.explore.asked_question import OWN_PROMPT, AskedItem, Question, asked_item
from spillover.explore.results import Answer, LanguageAnswer, LanguagesView, LensView, Token, WordCurve
from spillover.models.chat import open_chat
from spillover.models.engine import label_scores
from spillover.models.load import Model, attach_intervention, load_model, with_adapter
from spillover.models.local import LocalEngine
from spillover.stages.evaluate.stage import scores_of_batches
from spillover.stages.probe.lens import LogitLens, measure_batch, top_tokens_of_prompt
from spillover.stages.probe.lens_tables import leading_from
from spillover.stages.probe.lens_targets import lens_targets, tokens_of_letters
from spillover.stats.calibration import calibrated, normalised, rescaled
from spillover.stats.similarity import cosines
from spillover.tasks.benchmark import TEST
from spillover.tasks.examples import DEMO, language_files, load_parallel
from spillover.tasks.wording import load_task

BASE = name_in_run(None, None)
# A prefix of 300 tokens has 11 MB of keys and values in Gemma 3 270M, 40 MB in a model of 8 billion parameters.
KEPT_PREFIXES = 24
PLACES = 12
TOP = 10
# Other items in the reference language whose cosines are the null of the similarity.
OTHERS = 6
OPENING = ModelConfig().model_dump(exclude={"name"})


@dataclass(frozen=True)
class Side:
    """One model as it is asked. engine: keeps shared prefixes. whole: computes prompts whole, for the lens."""

    name: str
    model: Model
    engine: LocalEngine
    whole: LocalEngine

    @cached_property
    def lens(self) -> LogitLens:
        """Its final norm and unembedding."""
        return LogitLens(self.model)

    @cached_property
    def letter_tokens(self) -> list[int]:
        """What the lens makes random words of."""
        return tokens_of_letters(self.model.token_bytes)


def open_side(name: str, model: Model, config: EvaluateConfig) -> Side:
    """A loaded model, ready to be asked as `evaluate` would."""
    chat = open_chat(model, config)
    engines = [
        LocalEngine(
            model, batch_tokens=config.batch_tokens, prefix_cache=shared, chat=chat, kept_prefixes=KEPT_PREFIXES
        )
        for shared in (config.prefix_cache, False)
    ]
    return Side(name, model, *engines)


@dataclass(frozen=True)
class Session:
    """The models, base first, and how they are asked. data: demo, or a folder with the items of the tasks. opening: the
    arguments of `open_session` that are not its defaults."""

    sides: tuple[Side, ...]
    config: EvaluateConfig
    data: str
    opening: Mapping[str, Any]
    lock: threading.Lock

    def side(self, name: str) -> Side:
        """The side of that name. ConfigError where there is none."""
        for side in self.sides:
            if side.name == name:
                return side
        raise ConfigError(f"model {name!r} is not loaded", hint=f"one of {', '.join(side.name for side in self.sides)}")

    def asked(self, question: Question) -> AskedItem:
        """The question as the engines are asked it. Errors as `asked_item`."""
        return asked_item(question, self.config.content_free)

    def examples(self, task: str, languages: Sequence[str]) -> dict[str, list[Example]]:
        """The items that the data has of a task, by language; of a task without any, and of languages without, none."""
        present = [code for code in self.languages_of(task) if code in languages]
        if not present:
            return {}
        return load_parallel(
            self.data, load_task(task), TEST, present, missing_items="intersection", disagreeing_labels="keep"
        )  # fmt: skip

    def languages_of(self, task: str) -> tuple[str, ...]:
        """The languages in which the data has items of a task."""
        return tuple(language_files(self.data, load_task(task), TEST))

    def answers(self, question: Question) -> Iterator[Answer]:
        """Each model's answer, the base's first. Errors as `asked_item`; DataError for a prompt beyond the context."""
        item = self.asked(question)
        for side in self.sides:
            with self.lock:
                answer, _ = _ask(side, item)
            yield answer

    def lens(self, question: Question, *, places: int = PLACES, top: int = TOP) -> Iterator[LensView]:
        """Each model's logit lens at the last `places` tokens of the prompt. Errors as `answers`, and ConfigError for
        pairs, whose prompt is empty."""
        item = self.asked(question)
        if item.task.kind == "pairs":
            raise ConfigError(
                f"the lens is not defined for pairs ({item.task.name}): nothing stands before the two texts",
                hint="choose another task, or a prompt of your own",
            )
        for side in self.sides:
            with self.lock:
                view = _lens_view(side, item, places, top)
            yield view

    def languages(self, question: Question, texts: Mapping[str, Question]) -> Iterator[LanguagesView]:
        """One item in several languages: after each language, what is there so far.

        texts: the same item by language, as `in_languages` or `pasted_translations` gives it. A language that cannot be
        asked has a reason and no answer. ConfigError where the task has no parallel items, or no language is given."""
        self.check_parallel(question.task)
        if not texts:
            raise ConfigError("the item is in no other language", hint="choose an example, or paste your translations")
        reference = reference_language()
        order = sorted(texts, key=lambda code: code != reference)
        others = [] if reference not in texts else self._other_items(question, texts[reference])
        rows: list[LanguageAnswer] = []
        for side in self.sides:
            anchor: States | None = None
            nulls: list[Floats] = []
            for code in order:
                with self.lock:
                    row, states = _in_language(side, texts[code], self.config, anchor, nulls)
                    if code == reference and states is not None:
                        anchor, nulls = states, _mean_states(side, others, self.config)
                        row = replace(row, **_similarity(states, anchor, nulls))
                rows.append(row)
                yield LanguagesView(tuple(rows), reference)

    def check_parallel(self, task: str) -> None:
        """ConfigError where items of a task have no counterparts in other languages."""
        if task == OWN_PROMPT:
            raise ConfigError("a prompt of your own has no counterparts", hint="choose a task, and paste translations")
        opened = load_task(task)
        if opened.kind == "pairs" or not opened.parallel:
            raise ConfigError(
                f"items of {opened.name} have no counterparts in other languages", hint="choose another task"
            )

    def in_languages(self, question: Question) -> dict[str, Question]:
        """The question's item in every language that the data has it in. Empty for a text of one's own."""
        if not question.item or question.task == OWN_PROMPT:
            return {}
        found = self.examples(question.task, self.languages_of(question.task))
        return {
            code: question_of(question, example)
            for code, rows in found.items()
            for example in rows
            if example.id == question.item
        }

    def _other_items(self, question: Question, reference: Question) -> list[Question]:
        found = self.examples(question.task, [reference.language])
        return [
            question_of(reference, example)
            for example in found.get(reference.language, [])
            if example.id != reference.item
        ][:OTHERS]


def question_of(question: Question, example: Example) -> Question:
    """The question with an item of the data in place of its own."""
    texts = tuple(example.fields[name] for name in load_task(question.task).fields)
    return replace(question, language=example.language, texts=texts, choices=example.choices, item=example.id)


def open_session(
    name: str,
    *,
    adapter: str | None = None,
    adapter_layers: str | None = None,
    steer: str | None = None,
    config: EvaluateConfig | None = None,
    data: str = DEMO,
    progress: Progress = no_progress,
    **options: Any,
) -> Session:
    """The models, loaded once: the base, and beside it the tuned or steered one, which shares its weights.

    name, adapter, adapter_layers, steer, options: as in `load_model`. config: how prompts are asked. Errors as
    `load_model`, ConfigError for both an adapter and an intervention.
    """
    config = config or EvaluateConfig()
    if adapter and steer:
        raise ConfigError("model.adapter and model.steer exclude each other here", hint="give one of them")
    base = load_model(name, progress=progress, **options)
    models = {BASE: base}
    if adapter:
        models[name_in_run(adapter, None)] = with_adapter(base, adapter, adapter_layers)
    elif steer:
        models[name_in_run(None, steer)] = attach_intervention(base, steer)
    opening = {"name": name, "adapter": adapter, "adapter_layers": adapter_layers, "steer": steer} | options
    return session_of(models, config=config, data=data, opening=opening)


def session_of(
    models: Mapping[str, Model],
    *,
    config: EvaluateConfig | None = None,
    data: str = DEMO,
    opening: Mapping[str, Any] | None = None,
) -> Session:
    """A session of models that are loaded, by name, the base first. opening: how `open_session` opens the same."""
    config = config or EvaluateConfig()
    sides = tuple(open_side(name, model, config) for name, model in models.items())
    opening = opening or {"name": sides[0].model.ref.name}
    given = {key: value for key, value in opening.items() if value != OPENING.get(key)}
    return Session(sides, config, data, given, threading.Lock())


def _ask(side: Side, item: AskedItem, *, states: bool = False) -> tuple[Answer, States | None]:
    """(the answer of one model; the item's hidden states, [1, layers + 1, hidden])."""
    plan = side.engine.plan([item.prompt, *item.without_content])
    batches = list(side.engine.score(plan, states=states))
    if item.calibrates:
        scores = scores_of_batches(side.engine, item.task, plan, 1, batches)
    else:
        scores = label_scores(item.task, plan.prompts[:1], batches)
    return _answer(side.name, item, scores), _states_of_first(batches) if states else None


def _states_of_first(batches: Sequence[ScoredBatch]) -> States:
    """The states of the plan's first item, with a batch of one. Label tokens and neurons are left out."""
    batch = next(batch for batch in batches if 0 in batch.index)
    assert batch.states is not None
    row = slice(batch.index.index(0), batch.index.index(0) + 1)
    states = batch.states
    return States(states.last[row], states.mean[row], states.all[row], states.weighted[row], states.nodes[:0])


def _answer(name: str, item: AskedItem, scores: LabelScores) -> Answer:
    n = len(item.prompt.answers)
    task = item.task
    probabilities = np.exp(normalised(rescaled(scores, task.length).logprobs[:, :n]))[0]
    values, reason = np.full(n, np.nan), "calibration needs a task with label words"
    if item.calibrates:
        values, reason = np.exp(normalised(calibrated(scores, "contextual", task.length)))[0], ""
    return Answer(
        model=name,
        language=item.prompt.language,
        labels=task.labels[:n],
        words=tuple(answer.strip() for answer in item.prompt.answers),
        logprobs=scores.logprobs[0, :n].astype(np.float64),
        probabilities=probabilities,
        calibrated=values,
        reason=reason,
        tokens=int(scores.tokens[0]),
        label_tokens=tuple(scores.label_tokens[0, :n].tolist()),
    )


def _lens_view(side: Side, item: AskedItem, places: int, top: int) -> LensView:
    predictions = top_tokens_of_prompt(side.lens, side.whole, item.prompt, places=places, top=top)
    cells = tuple(
        tuple(tuple(Token(cell["token"], cell["probability"]) for cell in place) for place in layer["places"])
        for layer in predictions["layers"]
    )
    view = LensView(
        model=side.name,
        language=item.prompt.language,
        positions=tuple(predictions["tokens"]),
        cells=cells,
        answer="",
        curves=(),
        entropy=np.full(len(cells), np.nan),
        decided=None,
        reason="",
    )
    if item.task.kind != "labels":
        return replace(view, reason="the curves need a task with label words: these items bring their own answers")
    return replace(view, **_curves(side, item))


def _curves(side: Side, item: AskedItem) -> dict[str, Any]:
    """Fields of a `LensView`, as `probe` measures them: curves, entropy, the answer, and where it is decided."""
    chat = side.engine.chat
    targets = lens_targets(
        side.model, item.task, item.prompt, item.label_set, "exact", side.letter_tokens, np.random.default_rng(0), chat
    )
    prompts = targets.prompts([item.prompt, *item.without_content])
    plan = targets.plan(side.engine.plan(prompts), side.engine.batch_tokens)
    (batch,) = side.engine.score(plan, skip=frozenset(range(1, len(prompts))), states=True)
    measured = measure_batch(side.lens, targets, plan, batch, energy=False)
    first, whole = (measured[f"lens.{name}"][0].astype(np.float64) for name in ("first", "sequence"))
    asked = whole[:, targets.sets.index(targets.asked)]
    label = int(asked[-1].argmax())
    others = np.delete(asked, label, axis=1).max(axis=1)
    curves = tuple(
        WordCurve(name, targets.words[targets.word_index[k][label]], first[:, k, label], np.exp(whole[:, k, label]))
        for k, name in enumerate(targets.sets)
    )
    return {
        "curves": curves,
        "entropy": measured["lens.entropy"][0].astype(np.float64),
        "answer": targets.labels[label],
        "decided": int(leading_from((asked[:, label] > others)[None])[0]),
    }


def _in_language(
    side: Side, question: Question, config: EvaluateConfig, anchor: States | None, nulls: Sequence[Floats]
) -> tuple[LanguageAnswer, States | None]:
    """(the row of one language, its states); a person's mistake is the row's reason."""
    undefined = np.full(side.model.layers + 1, np.nan)
    text = "\n".join(question.texts)
    try:
        answer, states = _ask(side, asked_item(question, config.content_free), states=True)
    except SpilloverError as error:
        return LanguageAnswer(side.name, question.language, text, None, undefined, undefined, str(error)), None
    row = LanguageAnswer(
        side.name, question.language, text, answer, undefined, undefined, "no counterpart in the reference language"
    )
    if anchor is None or states is None:
        return row, states
    return replace(row, **_similarity(states, anchor, nulls)), states


def _similarity(states: States, anchor: States, nulls: Sequence[Floats]) -> dict[str, Any]:
    """similarity and other of a `LanguageAnswer`: cosines of the mean state at every layer, not centred."""
    own: NDArray[np.floating] = states.mean[0][:, None]
    similarity = cosines(own, anchor.mean[0][:, None])[:, 0, 0]
    if not nulls:
        return {
            "similarity": similarity,
            "other": np.full(len(similarity), np.nan),
            "reason": "no other items: no null",
        }
    others = cosines(own, np.stack(nulls, axis=1))[:, 0]
    return {"similarity": similarity, "other": others.mean(axis=1), "reason": ""}


def _mean_states(side: Side, questions: Sequence[Question], config: EvaluateConfig) -> list[Floats]:
    """[layers, hidden] of each question, all of one language."""
    items = [asked_item(question, config.content_free) for question in questions]
    if not items:
        return []
    plan = side.engine.plan([*(item.prompt for item in items), *items[0].without_content])
    means: dict[int, Floats] = {}
    for batch in side.engine.score(plan, skip=frozenset(range(len(items), len(plan.items))), states=True):
        assert batch.states is not None
        means |= dict(zip(batch.index, batch.states.mean.astype(np.float64), strict=True))
    return [means[i] for i in range(len(items))]


def pasted_translations(question: Question, text: str) -> dict[str, Question]:
    """One's own translations, a line each: `code: text`, with a bar between the texts of several fields, and then the
    item's own answers. DataError names the line that is none."""
    task = load_task(question.task)
    n_texts = len(task.fields) + (len(question.choices) if task.kind != "labels" else 0)
    translations: dict[str, Question] = {question.language: replace(question, item="")}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        code, colon, rest = line.partition(":")
        parts = [part.strip() for part in rest.split("|", n_texts - 1)] if colon else []
        if len(parts) != n_texts:
            names = [*task.fields, *(["an answer"] * (n_texts - len(task.fields)))]
            raise DataError(f"translations:{number}: {line[:60]!r}", hint=f"write: code: {' | '.join(names)}")
        texts, choices = tuple(parts[: len(task.fields)]), tuple(parts[len(task.fields) :])
        translations[code.strip()] = replace(
            question, language=code.strip(), texts=texts, choices=choices or question.choices, item=""
        )
    return translations
