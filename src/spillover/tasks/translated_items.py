"""Items in another language's words: what is translated of an item, and the prompts that ask the translation.

Of an item every field is translated that is text, not a code, and each of its answers. It keeps its id, gold label,
language and the hash of its own text, so that its scores are paired with those of the item as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from spillover.core.errors import DataError
from spillover.core.files import hash_of
from spillover.core.types import Example, Prompt, Task
from spillover.tasks.choices import check_choices
from spillover.tasks.prompts import content_hash, render


@dataclass(frozen=True)
class TranslatedItems:
    """The items of a benchmark in `target`, by their language and id. A language that is not among them is asked as it
    is: the target itself. by: what translated them, as tables say it."""

    target: str
    by: str
    items: Mapping[str, Mapping[str, Example]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What an evaluation records of the text of its items: who translated it, and a hash of all of it."""
        return f"translated into {self.target} by {self.by}, text {self.key[:8]}"

    @property
    def key(self) -> str:
        """A hash of every text."""
        return hash_of(
            {
                code: {name: [dict(row.fields), row.choices] for name, row in own.items()}
                for code, own in self.items.items()
            }
        )

    def prompts(self, task: Task, examples: Sequence[Example], *, labels: str, shots: str) -> list[Prompt]:
        """The prompts of `examples`, all of one language: template, shots, label words and text of `target`."""
        if not examples:
            return []
        own = self.items.get(examples[0].language, {})
        rows = [replace(own.get(example.id, example), language=self.target) for example in examples]
        return [
            replace(prompt, language=example.language, content=content_hash(task, example), asked_in=self.target)
            for example, prompt in zip(examples, render(task, rows, label_set=labels, shots=shots), strict=True)
        ]

    def shuffled(self, task: Task, seed: int) -> TranslatedItems:
        """Each item with the translated fields of another item of its language, and its own label and answers: text
        that says nothing of the item. The same exchange in every language that has as many items."""
        items = {}
        for code, own in self.items.items():
            rows = list(own.values())
            others = [rows[i] for i in other_positions(len(rows), np.random.default_rng(seed))]
            items[code] = {
                row.id: replace(row, fields={**row.fields, **{name: other.fields[name] for name in task.text_fields}})
                for row, other in zip(rows, others, strict=True)
            }
        return TranslatedItems(self.target, f"{self.by}, of other items", items)


def item_texts(task: Task, example: Example) -> list[str]:
    """What is translated of an item: its fields, then its answers."""
    return [*(example.fields[name] for name in task.text_fields), *example.choices]


def with_texts(task: Task, example: Example, texts: Sequence[str]) -> Example:
    """The item with these texts in the place of `item_texts`. An empty field is put in as it is. Answers that could not
    be scored, as one is empty or two are equal, all stay as they were (`answers_kept`)."""
    names = task.text_fields
    fields = {**example.fields, **dict(zip(names, texts, strict=False))}
    translated = replace(example, fields=fields, choices=tuple(texts[len(names) :]))
    return replace(translated, choices=example.choices) if _unscorable(task, translated) else translated


def answers_kept(task: Task, example: Example, texts: Sequence[str]) -> bool:
    """Whether an item keeps its own answers, since their translations cannot be scored."""
    return _unscorable(task, replace(example, choices=tuple(texts[len(task.text_fields) :])))


def _unscorable(task: Task, example: Example) -> bool:
    if not example.choices:
        return False
    try:
        check_choices("", example, task)
    except DataError:
        return True
    return False


def other_positions(n: int, rng: np.random.Generator) -> list[int]:
    """For each of n positions another one, all different: they are moved round a random circle. One alone stays."""
    order = rng.permutation(n)
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)
    return [int(i) for i in others]
