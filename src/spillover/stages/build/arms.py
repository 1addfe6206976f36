"""Arms: the real training pairs, and placebos of them that lack what should help.

translate   the real arm: each question into the target language
shuffled    each question with the translation of another: format and English, but no correspondence
copy        each target question with itself: format and English, but no other language
template    each question with another question of its own language: format, but no translation and no English
off-domain  translation of another task's questions (`build.off_domain`): translation, but not of this task
labelled    target-language questions with their answers, each behind another: the task itself, but no other language

All arms have as many pairs as the real one, so as many steps, and its mix of languages where they have languages.
`matched` draws again until the UTF-8 bytes of all pairs come within 1 % of the real arm's, where the texts allow it;
tokens are known only to a model, and `train` counts them. Replay (sampling.py) is added to every arm alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spillover.core.errors import DataError
from spillover.core.types import Example, Task, TrainingPair
from spillover.tasks.prompts import question, solved

TOLERANCE = 0.01
REAL_ARM = "translate"
FROM_PAIRS = ("translate", "shuffled", "copy", "template")


def apply_arm(arm: str, pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[TrainingPair]:
    """The pairs of one of the arms `FROM_PAIRS`, made from the real pairs alone; "translate" returns these."""
    if arm == "shuffled":
        return shuffled(pairs, rng)
    if arm == "copy":
        return matched_by_source([copied(pair) for pair in pairs], pairs, rng)
    if arm == "template":
        return matched_by_source(templated(pairs, rng), pairs, rng)
    return list(pairs)


def shuffled(pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[TrainingPair]:
    """Completions moved along a random cycle within each direction, so that none stays where it was."""
    result = list(pairs)
    for i, other in _cycles(pairs, rng):
        result[i] = replace(pairs[i], completion=pairs[other].completion)
    return result


def copied(pair: TrainingPair) -> TrainingPair:
    """The pair with its own target question in place of the source question, the instruction kept."""
    return replace(pair, prompt=pair.completion + _split(pair)[1])


def templated(pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[TrainingPair]:
    """Each prompt with the question of another pair, in its source language, as completion."""
    result = list(pairs)
    for i, other in _cycles(pairs, rng):
        result[i] = replace(pairs[i], completion=_split(pairs[other])[0])
    return result


def labelled(
    task: Task, questions: Sequence[Example], pairs: Sequence[TrainingPair], rng: np.random.Generator
) -> list[TrainingPair]:
    """As many pairs as `pairs`: a question with its answer, then another, whose answer is the completion.

    Two questions, since a real pair holds two. DataError names questions without a label.
    """
    unlabelled = [example.id for example in questions if example.label is None]
    if unlabelled:
        raise DataError(
            f"build.arm: {len(unlabelled)} training questions of {task.name} have no label: "
            f"{', '.join(unlabelled[:5])}",
            hint="give them a label, or choose another arm",
        )
    labelled_pairs = []
    for number in range(len(pairs)):
        first, last = questions[int(rng.integers(len(questions)))], questions[number % len(questions)]
        prompt = question(task, first) + solved(task, first) + "\n\n" + question(task, last)
        completion = solved(task, last)
        pair_id = f"{last.id}:{number}:labelled"
        labelled_pairs.append(TrainingPair(pair_id, last.language, last.language, prompt, completion))
    return matched(labelled_pairs, pairs, rng)


def matched_by_source(
    candidates: Sequence[TrainingPair], real: Sequence[TrainingPair], rng: np.random.Generator
) -> list[TrainingPair]:
    """`matched` within each source language, so that an arm has the real one's mix of languages too."""
    result = []
    for code in dict.fromkeys(pair.source for pair in real):
        of_source = [pair for pair in candidates if pair.source == code]
        result += matched(of_source, [pair for pair in real if pair.source == code], rng)
    return result


def matched(
    candidates: Sequence[TrainingPair], real: Sequence[TrainingPair], rng: np.random.Generator
) -> list[TrainingPair]:
    """As many of the candidates as there are real pairs, with the bytes of the real ones within TOLERANCE where the
    texts allow it.

    Each candidate is used once (or as evenly as the number allows); then random ones are replaced by longer or shorter
    ones.
    """
    sizes = np.array([size(pair) for pair in candidates])
    wanted = sum(map(size, real))
    chosen = np.resize(rng.permutation(len(candidates)), len(real))
    total = int(sizes[chosen].sum())
    longer, shorter = (np.flatnonzero(half) for half in (sizes > np.median(sizes), sizes < np.median(sizes)))
    for i in rng.permutation(len(chosen)):
        if abs(total - wanted) <= TOLERANCE * wanted:
            break
        better = longer if total < wanted else shorter
        other = int(rng.choice(better)) if len(better) else chosen[i]
        gain = int(sizes[other] - sizes[chosen[i]])
        if abs(total + gain - wanted) < abs(total - wanted):
            chosen[i], total = other, total + gain
    return [candidates[int(i)] for i in chosen]


def size(pair: TrainingPair) -> int:
    """UTF-8 bytes of a pair."""
    return len((pair.prompt + pair.completion).encode())


def _split(pair: TrainingPair) -> tuple[str, str]:
    """(question, instruction with the line break before it) of a prompt."""
    return pair.question, pair.prompt[len(pair.question) :]


def _cycles(pairs: Sequence[TrainingPair], rng: np.random.Generator) -> list[tuple[int, int]]:
    """(index, index of another pair of the same direction) for every pair, along a random cycle."""
    directions: dict[tuple[str, str], list[int]] = {}
    for i, pair in enumerate(pairs):
        directions.setdefault((pair.source, pair.target), []).append(i)
    moves: list[tuple[int, int]] = []
    for (source, target), indices in directions.items():
        if len(indices) < 2:
            raise DataError(
                f"build.arm: one pair from {source} to {target} cannot be shuffled", hint="--pairs 2 or more"
            )
        cycle = rng.permutation(indices)
        moves += zip(cycle.tolist(), np.roll(cycle, 1).tolist(), strict=True)
    return moves
