"""What the interventions of one call share: the model's states of the parallel text, the method, where it applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spillover.core.config import Positions, SteeringMethod
from spillover.models.intervention import Base, Description, HeldOut, Intervention, Null, new_intervention, null_name
from spillover.models.sentence_states import SentenceStates
from spillover.stages.steer.methods import (
    METHODS,
    Arrays,
    arrays_by_language,
    other_language_arrays,
    random_arrays,
    shuffled_arrays,
)


@dataclass(frozen=True)
class Recipe:
    """states: of the parallel text by language, the reference language among them. data: a hash of that text."""

    name: str
    method: SteeringMethod
    positions: Positions
    states: Mapping[str, SentenceStates]
    reference: str
    base: Base
    data: str

    def intervention(self, layers: Sequence[int], strength: float, held_out: HeldOut | None = None) -> Intervention:
        """The method at these layers."""
        description = Description(
            method=self.method,
            null=None,
            layers=tuple(layers),
            strength=strength,
            positions=self.positions,
            languages=tuple(code for code in self.states if code != self.reference),
            reference=self.reference,
            base=self.base,
            data=self.data,
            sentences=len(self.states[self.reference].tokens),
            held_out=held_out,
        )
        return new_intervention(self.name, description, self._arrays(layers))

    def nulls(self, real: Intervention, seed: int) -> dict[Null, Intervention]:
        """Its nulls: the same layers, strength, positions and held-out items. There is no other language's vector where
        there is one language."""
        method, arrays = METHODS[self.method], self._arrays(real.description.layers)
        made: dict[Null, dict[str, Arrays]] = {
            "random": random_arrays(arrays, np.random.default_rng([seed, 0])),
            "other-language": other_language_arrays(arrays),
            "shuffled": shuffled_arrays(method, self.states, self.reference, arrays, np.random.default_rng([seed, 1])),
        }
        return {null: self._null(real, null, own) for null, own in made.items() if own}

    def _null(self, real: Intervention, null: Null, arrays: Mapping[str, Arrays]) -> Intervention:
        description = real.description.model_copy(update={"null": null})
        return new_intervention(null_name(self.name, null), description, arrays)

    def _arrays(self, layers: Sequence[int]) -> dict[str, Arrays]:
        return arrays_by_language(METHODS[self.method], self.states, self.reference, layers)


def with_facts(intervention: Intervention, facts: Mapping[str, Any]) -> Intervention:
    """The intervention with more facts for a reader."""
    description = intervention.description
    return replace(intervention, description=description.model_copy(update={"facts": description.facts | dict(facts)}))
