"""(Task, Example, label set, shot language) → Prompt. The only code that lays out text for a model.

Training pairs use `question`, prompts use it too: both see exactly the same template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from spillover.core.errors import ConfigError
from spillover.core.files import hash_of
from spillover.core.types import Example, Prompt, Task, Turn, Wording
from spillover.tasks.shots import OWN_SHOTS, shot_plan
from spillover.tasks.wording import CHOICE, PLACEHOLDER

SHOT_END = '"\n\n'


def question(task: Task, example: Example) -> str:
    """The item in its language's template, up to where the answer would stand."""
    return fill(task, wording_of(task, example.language), example.fields)


def fill(task: Task, wording: Wording, fields: Mapping[str, str]) -> str:
    """The template with words and fields put in once; what they contain is never read as a template again."""
    return _fill(answer_slot(task)[0], {**wording.words, **_worded(wording, fields)})


def _worded(wording: Wording, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields, with codes such as `cause` in the words of the wording's language."""
    return {name: wording.values.get(name, {}).get(text, text) for name, text in fields.items()}


def _fill(template: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def turn(task: Task, wording: Wording, fields: Mapping[str, str]) -> Turn:
    """The item as a turn of a conversation. The answer's part is the template's last line, or what follows a field in
    that line; whitespace between the two parts is left out, as the template of a chat separates them."""
    values = {**wording.words, **_worded(wording, fields)}
    asked, answered = _parts(task)
    return Turn(_fill(asked, values).strip(), _fill(answered, values))


def _parts(task: Task) -> tuple[str, str]:
    """(the question's part of the template, the answer's)."""
    template = answer_slot(task)[0]
    start = max(template.rfind("\n") + 1, _last_field_end(task, template))
    return template[:start], template[start:].lstrip()


def _last_field_end(task: Task, template: str) -> int:
    return max((m.end() for m in PLACEHOLDER.finditer(template) if m[1] in task.fields), default=0)


def answer_slot(task: Task) -> tuple[str, str, str]:
    """(the template up to where an answer starts, what stands right before an answer and is scored with it, what closes
    an answer in a shot). A blank before `{choice}` belongs to the answer: tokenizers join it to the word behind it."""
    if task.kind == "labels":
        return task.template, "", '"'
    before, _, after = task.template.partition(f"{{{CHOICE}}}")
    return before.rstrip(), before[len(before.rstrip()) :], after


def answers(task: Task, label_set: str, language: str) -> tuple[str, ...]:
    """The label words of a set for one language, in the order of `task.labels`. ConfigError names an unknown set."""
    words: Mapping[str, str]
    if label_set == "native":
        words = wording_of(task, language).labels
    elif label_set in task.label_sets:
        words = task.label_sets[label_set]
    else:
        raise ConfigError(
            f"label set {label_set!r} is not in task {task.name}", hint=f"it has native, {', '.join(task.label_sets)}"
        )
    return tuple(words[label] for label in task.labels)


def solved(task: Task, example: Example) -> str:
    """The right answer of an item with a label as it stands behind it, in its own language, and what closes it."""
    _, blank, end = answer_slot(task)
    if task.kind == "labels":
        return wording_of(task, example.language).labels[example.label or ""] + end
    return blank + example.choices[int(example.label or 0)] + end


def shot_block(task: Task, label_set: str, language: str, shots: str = OWN_SHOTS) -> str:
    """The few-shot block for items in `language`: each shot with its label word from the items' own label set.

    shots: as `resolve_shots` gives it: "own" for shots in the items' language, or the languages that they shall be in.
    """
    return "".join(
        f"{sentence}{fill(task, wording, fields)}{answer}\n\n"
        for sentence, wording, fields, answer in _solved_shots(task, label_set, language, shots)
    )


def shot_turns(task: Task, label_set: str, language: str, shots: str = OWN_SHOTS) -> tuple[Turn, ...]:
    """The shots of `shot_block` as turns with their answers."""
    return tuple(
        Turn(sentence + asked.question, (asked.answer + answer).strip())
        for sentence, wording, fields, answer in _solved_shots(task, label_set, language, shots)
        for asked in [turn(task, wording, fields)]
    )


def _solved_shots(
    task: Task, label_set: str, language: str, shots: str
) -> Iterator[tuple[str, Wording, Mapping[str, str], str]]:
    """(the sentence in front of a shot, its wording, its fields, its answer with what closes it) of every shot."""
    _, before, after = answer_slot(task)
    words = {} if task.kind == "choices" else dict(zip(task.labels, answers(task, label_set, language), strict=True))
    for (shot, gold), place in zip(task.shots.items(), shot_plan(task, shots, language), strict=True):
        wording = wording_of(task, place.language)
        if shots != OWN_SHOTS and "shots" in wording.borrowed:
            raise ConfigError(
                f"evaluate.shots: {shots}: {task.name} has no shots in {place.language}, only those it would borrow",
                hint=f"--shots {wording.lender}, or --shots {OWN_SHOTS}",
            )
        fields = wording.shots[shot]
        sentence = f"{place.sentence}\n\n" if place.sentence else ""
        yield sentence, wording, fields, before + (words[gold] if words else fields[CHOICE]) + after


def render(task: Task, examples: Sequence[Example], *, label_set: str, shots: str = OWN_SHOTS) -> list[Prompt]:
    """One prompt for each example, all of one language, all with the same prefix. label_set: for label words alone.
    shots: as `resolve_shots` gives it. A pair has no text before its answers."""
    if not examples:
        return []
    language = examples[0].language
    if task.kind == "pairs":
        return [_prompt(task, example, "", "", example.choices, ()) for example in examples]
    prefix = shot_block(task, label_set, language, shots)
    before = shot_turns(task, label_set, language, shots)
    blank = answer_slot(task)[1]
    words = answers(task, label_set, language) if task.kind == "labels" else ()
    return [
        _prompt(
            task,
            example,
            prefix,
            question(task, example),
            words or tuple(blank + choice for choice in example.choices),
            (*before, turn(task, wording_of(task, language), example.fields)),
        )
        for example in examples
    ]


def _prompt(
    task: Task, example: Example, prefix: str, body: str, words: tuple[str, ...], turns: tuple[Turn, ...]
) -> Prompt:
    content = content_hash(task, example)
    return Prompt(example.id, example.language, prefix, body, words, example.label, content, example.cluster, turns)


def content_hash(task: Task, example: Example) -> str:
    """A hash of what an item says, whatever its id and the wording around it."""
    return hash_of([*(example.fields[name] for name in task.fields), *example.choices])


def wording_of(task: Task, language: str) -> Wording:
    """The task's wording in a language. ConfigError when the task has none."""
    if language not in task.wordings:
        raise ConfigError(
            f"task {task.name} has no wording in {language!r}",
            hint=f"it has {', '.join(task.wordings)}; CONTRIBUTING.md shows how to add a language",
        )
    return task.wordings[language]


def content_free(task: Task, prompt: Prompt, texts: Sequence[str]) -> list[Prompt]:
    """`prompt` with each of `texts` ("N/A", "", ...) in place of all its fields, for contextual calibration."""
    if not texts:
        return []
    wording = wording_of(task, prompt.wording_language)
    return [
        replace(
            prompt,
            example_id=f"content-free:{i}",
            body=fill(task, wording, fields),
            gold=None,
            content="",
            turns=(*prompt.turns[:-1], turn(task, wording, fields)),
        )
        for i, text in enumerate(texts)
        for fields in [dict.fromkeys(task.fields, text)]
    ]


def answer_prompt(task: Task, prompt: Prompt) -> Prompt:
    """What stands in the template after its last field, without shots: the answer's own context, for PMI."""
    words = wording_of(task, prompt.wording_language).words
    template = answer_slot(task)[0]
    body = _fill(template[_last_field_end(task, template) :].lstrip(), words)
    answer = _fill(_parts(task)[1], words)
    alone = Turn(body.removesuffix(answer).strip(), answer)
    return Prompt("answer-prompt", prompt.language, "", body, prompt.answers, turns=(alone,))
