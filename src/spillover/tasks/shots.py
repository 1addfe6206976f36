"""In which languages the shots of a prompt are: `evaluate.shots` in words → a language for each position.

1. `resolve_shots` checks what was asked for against a task, and puts languages in the place of `mixed` and
   `unrelated`, in turn over the positions: the seed says which comes first. The shots, by id, are always the same.
2. `shot_plan` reads the resolved text. It is what an evaluation records, and resolving it again changes nothing.

Mixed shots, and English shots behind unrelated sentences as their placebo: Tu et al. 2025 (arXiv 2502.11364).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spillover.core.errors import ConfigError
from spillover.core.files import hash_of
from spillover.core.languages import high_resource_languages, unrelated_sentences
from spillover.core.languages import language as language_of
from spillover.core.types import Task

OWN_SHOTS = "own"
MIXED = "mixed"
UNRELATED = "unrelated"
FORMS = f"{OWN_SHOTS}, CODE, {MIXED}, {MIXED}:CODE,CODE,..., CODE,CODE,... (one for each shot), CODE+{UNRELATED}"


@dataclass(frozen=True)
class ShotPlace:
    """One position among the shots: the language of its shot, and a sentence in front of it, "" for none."""

    language: str
    sentence: str


def resolve_shots(task: Task, shots: str, seed: int) -> str:
    """`shots` with a language for each position: `own`, `de`, `zh,de` or `en+unrelated:zh,de`. Of a pair, which has no
    shots, as it is.

    ConfigError for what is none of the forms, a language without wording or sentences, and lists that are too short.
    """
    if task.kind == "pairs":
        return shots
    asked, plus, suffix = shots.replace(" ", "").partition("+")
    languages = _resolve_languages(task, shots, asked, seed)
    if not plus:
        return languages
    kind, _, listed = suffix.partition(":")
    if kind != UNRELATED or languages == OWN_SHOTS or "," in languages:
        raise ConfigError(f"evaluate.shots: {shots!r} is not understood", hint=f"one of {FORMS}")
    available = [code for code in unrelated_sentences() if code != languages]
    codes = _codes(listed) or [code for code in high_resource_languages() if code in available]
    _check_codes(shots, codes, available, "no unrelated sentences in")
    return f"{languages}+{UNRELATED}:{','.join(_in_turn(codes, len(task.shots), seed if not listed else 0))}"


def _resolve_languages(task: Task, shots: str, asked: str, seed: int) -> str:
    """The languages of the shots themselves."""
    if asked == OWN_SHOTS:
        return asked
    kind, _, listed = asked.partition(":")
    if kind != MIXED:
        codes = _codes(asked)
        _check_codes(shots, codes, task.wordings, f"task {task.name} has no wording in")
        if len(codes) not in (1, len(task.shots)):
            raise ConfigError(
                f"evaluate.shots: {shots!r}: {len(codes)} languages for the {len(task.shots)} shots of {task.name}",
                hint=f"one for each shot, or {MIXED}:{','.join(codes)}",
            )
        return ",".join(codes)
    codes = _codes(listed) or [code for code in high_resource_languages() if code in task.wordings]
    _check_codes(shots, codes, task.wordings, f"task {task.name} has no wording in")
    if len(task.shots) < 2 or len(set(codes)) < len(task.shots):
        raise ConfigError(
            f"evaluate.shots: {shots!r}: {task.name} has {_counted(len(task.shots), 'shot')}, for "
            f"{_counted(len(set(codes)), 'language')}",
            hint=f"each shot is in another language: a task with two shots or more, and as many codes in {MIXED}:...",
        )
    return ",".join(_in_turn(list(dict.fromkeys(codes)), len(task.shots), seed))


def shot_plan(task: Task, shots: str, language: str) -> list[ShotPlace]:
    """The place of each shot for items in `language`. shots: as `resolve_shots` gives it."""
    asked, _, suffix = shots.partition("+")
    codes = [language] if asked == OWN_SHOTS else _codes(asked)
    sentences = [
        unrelated_sentences()[code][i % len(unrelated_sentences()[code])]
        for i, code in enumerate(_codes(suffix.partition(":")[2]))
    ]
    n_shots = len(task.shots)
    places = zip(_in_turn(codes, n_shots, 0), sentences or [""] * n_shots, strict=True)
    return [ShotPlace(code, sentence) for code, sentence in places]


def sentences_hash(shots: str) -> dict[str, str]:
    """What settings record of the sentences that stand in prompts; nothing where none do."""
    return {UNRELATED: hash_of(unrelated_sentences())} if f"+{UNRELATED}" in shots else {}


def shot_sentences(task: Task) -> dict[str, list[str]]:
    """The texts of a task's shots as parallel sentences by language, line breaks as spaces: the same position is the
    same text. Languages that borrow their shots are left out."""
    return {
        code: [" ".join(wording.shots[shot][name].split()) for shot in task.shots for name in task.text_fields]
        for code, wording in task.wordings.items()
        if wording.shots and "shots" not in wording.borrowed
    }


def _codes(text: str) -> list[str]:
    return [code for code in text.split(",") if code]


def _in_turn(codes: Sequence[str], places: int, first: int) -> list[str]:
    """A code for each place, in turn, from number `first` on: over as many seeds as codes, each stands once in each."""
    return [codes[(first + place) % len(codes)] for place in range(places)]


def _check_codes(shots: str, codes: Sequence[str], available: Collection[str], lacking: str) -> None:
    for code in codes:
        if code not in available:
            language_of(code)
            raise ConfigError(
                f"evaluate.shots: {shots!r}: {lacking} {code!r}", hint=f"choose from {' '.join(available)}"
            )
    if not codes:
        raise ConfigError(f"evaluate.shots: {shots!r} names no language", hint=f"one of {FORMS}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
