"""Logit lens: what each layer would answer, if it were the last (nostalgebraist 2020; Wendler et al. 2024).

1. A layer's residual goes through the model's own final norm and unembedding, once at every layer, the last one too.
2. At the last token before the label: the mass of each label's first token, the rank of the answer, entropy, energy.
3. At the label's own tokens too: the probability of the exact sequence, each token predicted by the same layer.

All of it is read in the pass that scores the items, from states that are never rounded or kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.errors import DataError
from spillover.core.types import ScoredBatch, States
from spillover.models.batching import Item, Plan
from spillover.models.fast.unembedding import float32_product
from spillover.models.hidden_states import final_norm, residuals
from spillover.models.label_tokens import vocabulary_bytes
from spillover.models.load import Model
from spillover.stages.probe.lens_targets import Sought, token_text

# Rows whose logits over the whole vocabulary are in memory at once.
ROWS = 128
BITS = 1 / math.log(2)
ENERGY_SLICE = 1 << 14


class Lens:
    """A model's final norm and unembedding, for residuals of any layer. ModelError when its final norm is not found."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.norm = final_norm(model.module)
        self.head: Any = model.module.get_output_embeddings()
        config = model.module.config.get_text_config()
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._factor = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def normed(self, residuals: Tensor) -> Tensor:
        """[n, hidden] of any layer, as the unembedding takes them."""
        states: Tensor = self.norm(residuals.to(self.model.device, self.model.dtype))
        return states

    def logits(self, normed: Tensor, *, exact: bool = True) -> Tensor:
        """[n, hidden] normed → [n, vocab] float32, scaled and soft-capped as the model does it. exact: multiplied in
        float32; else in the model's own type, whose rounding is under 0.1 in the logits of a bfloat16 model."""
        if exact and type(self.head) is torch.nn.Linear:
            logits = float32_product(self.head, normed)
        else:
            logits = self.head(normed).float()
        if self._factor != 1.0:
            logits = logits * self._factor
        return self._cap * torch.tanh(logits / self._cap) if self._cap else logits

    def logprobs(self, residuals: Tensor) -> Tensor:
        """[n, hidden] residuals → [n, vocab] float32 natural log-probabilities."""
        with torch.inference_mode():
            return self.logits(self.normed(residuals)).log_softmax(dim=-1)

    def energy(self, normed: Tensor) -> Tensor:
        """[n, hidden] normed → [n]: how much of a latent lies where the unembedding's rows lie (Wendler et al. 2024):
        its root mean square cosine with them, over that of the rows among themselves. 1: as much as a token's own row;
        0: at right angles to all. The norm's weights are applied to the latent; the authors fold them into the rows."""
        gram, vocabulary = self._gram
        unit = torch.nn.functional.normalize(normed.float(), dim=-1)
        squared = ((unit @ gram) * unit).sum(dim=-1).clamp(min=0) * vocabulary
        energy: Tensor = squared.sqrt() / gram.norm()
        return energy

    @cached_property
    def _gram(self) -> tuple[Tensor, int]:
        """(sum over the vocabulary of the outer product of each unembedding row at length 1, rows)."""
        weight = self.head.weight
        gram = torch.zeros(weight.shape[1], weight.shape[1], device=weight.device)
        with torch.inference_mode():
            for rows in torch.split(weight, ENERGY_SLICE):
                unit = torch.nn.functional.normalize(rows.float(), dim=-1)
                gram = gram + unit.T @ unit
        return gram, len(weight)


def measure_batch(lens: Lens, sought: Sought, plan: Plan, batch: ScoredBatch) -> dict[str, NDArray[np.float32]]:
    """What the lens sees of a batch of b items, for every layer:

    lens.first: [b, layers, kinds, labels] mass of the label's own first tokens (NaN where it has none).
    lens.sequence, lens.control: the same shape, natural log-probability of the exact word, and of a random one with as
    many tokens. lens.pool: [b, layers] mean probability of a random token that looks like a word.
    lens.rank: [b, layers, kinds] of the right label's first token, 1 is the top.
    lens.entropy (bits), lens.energy: [b, layers].
    """
    states = batch.states
    assert isinstance(states, States)
    items = [plan.items[i] for i in batch.index]
    rights = [sought.right(plan.prompts[i].gold) for i in batch.index]
    layers = states.last.shape[1]
    parts = [
        _some_layers(lens, sought, items, rights, _rows(states.last, own), _rows(states.nodes, own), exact=exact)
        for own, exact in ((slice(0, layers - 1), False), (slice(layers - 1, layers), True))
    ]
    return {f"lens.{name}": torch.cat([part[name] for part in parts], dim=1).float().numpy() for name in parts[0]}


def _rows(states: NDArray[np.float32], layers: slice) -> Tensor:
    """[n, layers, hidden] of these layers."""
    return torch.from_numpy(np.ascontiguousarray(states[:, layers]))


def top_tokens(model: Model, text: str, *, places: int, top: int) -> dict[str, Any]:
    """What each layer would say next, after each of the last `places` tokens of a text.

    `tokens`: those tokens. `layers`: `layer`, 0 is the embedding, and `places`, for each of the tokens the `top`
    likeliest next ones with their `probability`. Bytes that are no whole character are shown as hex.
    """
    ids = model.tokenizer(text)["input_ids"]
    if not ids or len(ids) > model.context:
        raise DataError(f"the text has {len(ids)} tokens", hint=f"give 1 to {model.context}")
    raw = vocabulary_bytes(model.tokenizer)
    lens = Lens(model)
    seen: list[Tensor] = []
    with torch.inference_mode(), residuals(model.module, lambda states: seen.append(states[-places:].clone())):
        model.module(torch.tensor([ids], device=model.device), use_cache=False)
    rows = [
        {"layer": layer, "places": [_likeliest(raw, place, top) for place in lens.logprobs(states)]}
        for layer, states in enumerate(seen)
    ]
    return {"tokens": [_name(raw, i) for i in ids[-places:]], "layers": rows}


def _likeliest(raw: Sequence[bytes], logprobs: Tensor, top: int) -> list[dict[str, Any]]:
    best = logprobs.exp().topk(top)
    return [
        {"token": _name(raw, token), "probability": probability}
        for probability, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _name(raw: Sequence[bytes], token: int) -> str:
    """A token as text; one without any, a special one or a row beyond the vocabulary, by its number."""
    return token_text(raw[token]) if token < len(raw) and raw[token] else f"<{token}>"


def _some_layers(
    lens: Lens,
    sought: Sought,
    items: Sequence[Item],
    rights: Sequence[Sequence[int]],
    last: Tensor,
    nodes: Tensor,
    *,
    exact: bool,
) -> dict[str, Tensor]:
    """What `measure_batch` finds, [b, layers, ...] each, for last [b, layers, hidden] and nodes [n, layers, hidden]."""
    layers = last.shape[1]
    rows, targets, owners = _steps(items)
    # All layers go through the same norm and unembedding, so they stand in one matrix: a few rows alone would wait for
    # the unembedding to be read from memory, once for every layer.
    rows = (rows[:, None] * layers + torch.arange(layers)).flatten()
    targets = targets.repeat_interleave(layers)
    logprobs = torch.zeros(len(rows))
    parts: dict[str, list[Tensor]] = {}
    flat_rights = [right for right in rights for _ in range(layers)]
    flat_last, flat_nodes = last.flatten(0, 1), nodes.flatten(0, 1)
    with torch.inference_mode():
        for start in range(0, len(flat_last), ROWS):
            normed = lens.normed(flat_last[start : start + ROWS])
            logits = lens.logits(normed, exact=exact)
            own, total = _at_last(lens, sought, flat_rights[start : start + ROWS], normed, logits)
            for name, values in own.items():
                parts.setdefault(name, []).append(values.cpu())
            _fill(logprobs, rows, targets, logits, total, start)
        for start in range(0, len(flat_nodes), ROWS):
            logits = lens.logits(lens.normed(flat_nodes[start : start + ROWS]), exact=exact)
            _fill(logprobs, rows, targets, logits, logits.logsumexp(dim=-1), len(flat_last) + start)
    words = torch.zeros(len(items) * sought.words, layers).index_add_(0, owners, logprobs.view(-1, layers))
    words = words.view(len(items), sought.words, layers).movedim(2, 1)
    together = {name: torch.unflatten(torch.cat(values), 0, (-1, layers)) for name, values in parts.items()}
    return together | {
        "sequence": words[..., torch.tensor(sought.columns)],
        "control": words[..., torch.tensor(sought.controls)],
    }


def _at_last(
    lens: Lens, sought: Sought, rights: Sequence[Sequence[int]], normed: Tensor, logits: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """(what is read at the token that predicts the label, [b, ...] each; the log-sum-exp of the logits [b])."""
    largest = logits.max(dim=-1, keepdim=True).values
    # One exponential of every logit serves all: this and the products are what the lens costs.
    weights = torch.exp(logits - largest)
    sums = weights.sum(dim=-1)
    total = largest.squeeze(-1) + sums.log()
    first = [
        [weights[:, ids].sum(dim=-1) / sums if ids else torch.full_like(sums, math.nan) for ids in kind]
        for kind in sought.first
    ]
    right = torch.tensor(rights, device=logits.device)
    bar = logits.gather(1, right)
    rank = [1 + (logits > bar[:, k : k + 1]).sum(dim=-1) for k in range(right.shape[1])]
    pool = torch.zeros(logits.shape[1], device=logits.device)
    pool[sought.pool] = 1 / len(sought.pool)
    found = {
        "first": torch.stack([torch.stack(kind, dim=-1) for kind in first], dim=1),
        "rank": torch.stack(rank, dim=-1),
        "entropy": (total - torch.linalg.vecdot(weights, logits) / sums) * BITS,
        "energy": lens.energy(normed),
        "pool": weights @ pool / sums,
    }
    return found, total


def _steps(items: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """For every token of every word of every item: the row that predicts it (an item's last token, or behind all of
    these a node of the items' trees), the token, and the word that it belongs to."""
    steps = []
    nodes = len(items)
    for number, item in enumerate(items):
        for word, (path, label) in enumerate(zip(item.tree.paths, item.labels, strict=True)):
            owner = number * len(item.labels) + word
            steps += [(number if node < 0 else nodes + node, token, owner) for node, token in zip(path, label)]  # noqa: B905
        nodes += len(item.tree.tokens)
    rows, targets, owners = zip(*steps, strict=True)
    return torch.tensor(rows), torch.tensor(targets), torch.tensor(owners)


def _fill(out: Tensor, rows: Tensor, targets: Tensor, logits: Tensor, total: Tensor, start: int) -> None:
    """Write the log-probabilities that rows `start` and on predict."""
    here = (rows >= start) & (rows < start + len(logits))
    at = (rows[here] - start).to(logits.device)
    out[here] = (logits[at, targets[here].to(logits.device)] - total[at]).cpu()
