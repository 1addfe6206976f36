"""The logit lens: what each layer would predict if it were the last (nostalgebraist 2020; Wendler et al. 2024).

1. A layer's residual stream goes through the model's own final norm and unembedding, at every layer, the last included.
2. At the last token before the label: the probability of each label's first tokens, the rank of the gold label's,
   entropy, energy.
3. At the label's own tokens: the probability of the whole word, each token predicted by the same layer.

All of it is computed in the pass that scores the items, from states in float32 that are not kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from accelerate.utils import align_module_device
from numpy.typing import NDArray
from torch import Tensor

from spillover.core.errors import ConfigError, DataError
from spillover.core.notebook import block, paragraph, table
from spillover.core.types import Prompt, ScoredBatch, States
from spillover.models.batching import Item, Plan
from spillover.models.blocks import final_norm
from spillover.models.fast.unembedding import float32_product
from spillover.models.hidden_states import residuals
from spillover.models.load import Model
from spillover.models.local import LocalEngine
from spillover.models.served_model import ServedModel, refuse_server
from spillover.stages.probe.lens_targets import LensTargets, token_text

# Rows whose logits over the whole vocabulary are in memory at once.
ROWS = 128
BITS = 1 / math.log(2)
ENERGY_SLICE = 1 << 14


class LogitLens:
    """A model's final norm and unembedding, applied to the residual stream of any layer. ModelError when its final norm
    is not found."""

    def __init__(self, model: Model) -> None:
        """Take the norm and the unembedding from the model."""
        self.model = model
        self.norm = final_norm(model.module)
        self.unembedding: Any = model.module.get_output_embeddings()
        config = model.module.config.get_text_config()
        self._cap = getattr(config, "final_logit_softcapping", None)
        self._factor = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)

    def normed(self, residuals: Tensor) -> Tensor:
        """[n, hidden] of any layer → [n, hidden] after the final norm: the unembedding's input."""
        device = next((weight.device for weight in self.norm.parameters() if not weight.is_meta), self.model.device)
        states: Tensor = self.norm(residuals.to(device, self.model.dtype))
        return states

    def logits(self, normed: Tensor, *, exact: bool = True) -> Tensor:
        """[n, hidden] normed → [n, vocab] float32, with the model's logit scaling and soft cap. exact: multiplied in
        float32; else in the model's own dtype, whose rounding is under 0.1 in the logits of a bfloat16 model."""
        if exact and type(self.unembedding) is torch.nn.Linear:
            logits = float32_product(self.unembedding, normed)
        else:
            logits = self.unembedding(normed).float()
        logits = logits.to(normed.device)
        if self._factor != 1.0:
            logits = logits * self._factor
        return self._cap * torch.tanh(logits / self._cap) if self._cap else logits

    def logprobs(self, residuals: Tensor) -> Tensor:
        """[n, hidden] residuals → [n, vocab] float32 natural log-probabilities."""
        with torch.inference_mode():
            return self.logits(self.normed(residuals)).log_softmax(dim=-1)

    def energy(self, normed: Tensor) -> Tensor:
        """[n, hidden] normed → [n]: the energy of a latent in the unembedding (Wendler et al. 2024).

        Its root mean square cosine with the unembedding's rows, over that of the rows among themselves. 1: as much as
        an average row; 0: orthogonal to all. The norm's weights are applied to the latent; the authors fold them into
        the rows."""
        gram, vocabulary = self._gram
        gram = gram.to(normed.device)
        unit = torch.nn.functional.normalize(normed.float(), dim=-1)
        squared = ((unit @ gram) * unit).sum(dim=-1).clamp(min=0) * vocabulary
        energy: Tensor = squared.sqrt() / gram.norm()
        return energy

    @cached_property
    def _gram(self) -> tuple[Tensor, int]:
        """(sum of the outer products of the unembedding's rows as unit vectors, number of rows)."""
        with torch.inference_mode(), align_module_device(self.unembedding):
            weight = self.unembedding.weight
            gram = torch.zeros(weight.shape[1], weight.shape[1], device=weight.device)
            for rows in torch.split(weight, ENERGY_SLICE):
                unit = torch.nn.functional.normalize(rows.float(), dim=-1)
                gram = gram + unit.T @ unit
            return gram, len(weight)


def measure_batch(
    lens: LogitLens, targets: LensTargets, plan: Plan, batch: ScoredBatch, *, energy: bool = True
) -> dict[str, NDArray[np.float32]]:
    """What the lens reads of a batch of b items, for every layer:

    lens.first: [b, layers, sets, labels] probability of the label's first tokens (NaN where it has none of its own).
    lens.sequence, lens.control: the same shape, natural log-probability of the whole word, and of a random one with as
    many tokens. lens.pool: [b, layers] mean probability of a token of letters alone.
    lens.rank: [b, layers, sets] of the gold label's first token, 1 is the top.
    lens.entropy (bits), lens.energy: [b, layers]. energy: whether to measure it; its first time reads the whole
    unembedding.
    """
    states = batch.states
    assert isinstance(states, States)
    items = [plan.items[i] for i in batch.index]
    gold_tokens = [targets.gold_tokens(plan.prompts[i].gold) for i in batch.index]
    last_layer = states.last.shape[1] - 1
    inner, last = slice(0, last_layer), slice(last_layer, last_layer + 1)
    measured = [
        _measure_layers(
            lens,
            targets,
            items,
            gold_tokens,
            _layers(states.last, chosen),
            _layers(states.nodes, chosen),
            exact=exact,
            energy=energy,
        )
        for chosen, exact in ((inner, False), (last, True))
    ]
    return {f"lens.{name}": torch.cat([part[name] for part in measured], dim=1).float().numpy() for name in measured[0]}


def _layers(states: NDArray[np.float32], layers: slice) -> Tensor:
    """[n, layers, hidden] of these layers."""
    return torch.from_numpy(np.ascontiguousarray(states[:, layers]))


class TopTokens(dict[str, Any]):
    """What `top_tokens` returns: `tokens` and `layers`. In a notebook a table, the last layer first."""

    def _repr_html_(self) -> str:
        rows = [
            (row["layer"], *((_with_share(place[0]), place[0]["probability"]) for place in row["places"]))
            for row in reversed(self["layers"])
        ]
        headings = ("layer", *(map(_shown_token, self["tokens"])))
        note = "Each cell: the layer's most probable next token after the one above it, and its probability in %."
        return block("", table(headings, rows, shades=True), paragraph(note))


def _with_share(prediction: Mapping[str, Any]) -> str:
    return f"{_shown_token(prediction['token'])} {100 * prediction['probability']:.0f}"


def _shown_token(token: str) -> str:
    """A token with its spaces visible."""
    return token.replace(" ", "·")


def top_tokens(model: Model | ServedModel, text: str, *, places: int = 5, top: int = 5) -> TopTokens:
    """The next tokens that each layer predicts, at each of the last `places` tokens of a text.

    `tokens`: those tokens. `layers`: `layer`, 0 is the embedding, and `places`, for each of the tokens the `top`
    most probable next ones with their `probability`. Bytes that are no complete character are shown as hex.
    """
    if isinstance(model, ServedModel):
        refuse_server("probe lens")
    if model.intervention:
        raise ConfigError(
            f"model.steer: {model.ref.steer} changes states by language, and a bare text has none",
            hint="`spillover probe --steer` reads items",
        )
    ids = model.tokenizer(text)["input_ids"]
    if not ids or len(ids) > model.context:
        raise DataError(f"the text has {len(ids)} tokens", hint=f"give 1 to {model.context}")
    by_layer: list[Tensor] = []
    with torch.inference_mode(), residuals(model.module, lambda states: by_layer.append(states[-places:].clone())):
        model.module(torch.tensor([ids], device=model.device), use_cache=False)
    return _predictions_by_layer(LogitLens(model), ids[-places:], by_layer, top)


def top_tokens_of_prompt(lens: LogitLens, engine: LocalEngine, prompt: Prompt, *, places: int, top: int) -> TopTokens:
    """As `top_tokens`, at the last tokens of a prompt before its answer, asked as the engine asks: in the chat
    template, with the intervention. engine: one of the lens's model that computes prompts whole (`prefix_cache` off).
    """
    plan = engine.plan([replace(prompt, answers=prompt.answers[:1])])
    context = (*plan.prefix, *plan.items[0].body)
    kept = slice(max(0, len(context) - places), len(context))
    by_layer: list[Tensor] = []
    with residuals(lens.model.module, lambda states: by_layer.append(states[kept].clone())):
        list(engine.score(plan))
    return _predictions_by_layer(lens, context[kept], by_layer, top)


def _predictions_by_layer(lens: LogitLens, ids: Sequence[int], by_layer: Sequence[Tensor], top: int) -> TopTokens:
    """What `top_tokens` gives. by_layer: [places, hidden] residuals of each layer. All layers go through one product:
    the unembedding is read from memory once for many rows."""
    raw = lens.model.token_bytes
    rows = torch.cat([states.to(by_layer[0].device) for states in by_layer])
    places = []
    for chunk in torch.split(rows, ROWS):
        best = lens.logprobs(chunk).topk(top)
        places += [
            [
                {"token": _token_name(raw, token), "probability": math.exp(logprob)}
                for logprob, token in zip(*row, strict=True)
            ]
            for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
    layers = [
        {"layer": layer, "places": places[layer * len(ids) : (layer + 1) * len(ids)]} for layer in range(len(by_layer))
    ]
    return TopTokens(tokens=[_token_name(raw, i) for i in ids], layers=layers)


def _token_name(raw: Sequence[bytes], token: int) -> str:
    """A token as text; by its id where it has none: special tokens and rows beyond the vocabulary."""
    return token_text(raw[token]) if token < len(raw) and raw[token] else f"<{token}>"


def _measure_layers(
    lens: LogitLens,
    targets: LensTargets,
    items: Sequence[Item],
    gold_tokens: Sequence[Sequence[int]],
    last: Tensor,
    nodes: Tensor,
    *,
    exact: bool,
    energy: bool,
) -> dict[str, Tensor]:
    """The arrays of `measure_batch`, [b, layers, ...] each, from last [b, layers, hidden] and nodes [n, layers,
    hidden]."""
    layers = last.shape[1]
    rows, tokens, words = _predictions(items)
    # All layers go through the same norm and unembedding, so they are one matrix: the unembedding is read from memory
    # once for many rows instead of once per layer.
    rows = (rows[:, None] * layers + torch.arange(layers)).flatten()
    tokens = tokens.repeat_interleave(layers)
    token_logprobs = torch.zeros(len(rows))
    parts: dict[str, list[Tensor]] = {}
    flat_gold = [gold for gold in gold_tokens for _ in range(layers)]
    flat_last, flat_nodes = last.flatten(0, 1), nodes.flatten(0, 1)
    with torch.inference_mode():
        for start in range(0, len(flat_last), ROWS):
            normed = lens.normed(flat_last[start : start + ROWS])
            logits = lens.logits(normed, exact=exact)
            measured, total = _at_last_token(targets, flat_gold[start : start + ROWS], logits)
            if energy:
                measured["energy"] = lens.energy(normed)
            for name, values in measured.items():
                parts.setdefault(name, []).append(values.cpu())
            _fill(token_logprobs, rows, tokens, logits, total, start)
        for start in range(0, len(flat_nodes), ROWS):
            logits = lens.logits(lens.normed(flat_nodes[start : start + ROWS]), exact=exact)
            _fill(token_logprobs, rows, tokens, logits, logits.logsumexp(dim=-1), len(flat_last) + start)
    word_logprobs = torch.zeros(len(items) * targets.n_words, layers)
    word_logprobs.index_add_(0, words, token_logprobs.view(-1, layers))
    word_logprobs = word_logprobs.view(len(items), targets.n_words, layers).movedim(2, 1)
    measures = {name: torch.unflatten(torch.cat(values), 0, (-1, layers)) for name, values in parts.items()}
    return measures | {
        "sequence": word_logprobs[..., torch.tensor(targets.word_index)],
        "control": word_logprobs[..., torch.tensor(targets.control_index)],
    }


def _at_last_token(
    targets: LensTargets, gold_tokens: Sequence[Sequence[int]], logits: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """(what is measured at the token that predicts the label, [b, ...] each; the log-sum-exp of the logits [b])."""
    largest = logits.max(dim=-1, keepdim=True).values
    # One exponential of every logit serves all measures: it and the matrix products are the cost of the lens.
    weights = torch.exp(logits - largest)
    sums = weights.sum(dim=-1)
    total = largest.squeeze(-1) + sums.log()
    first = [
        [weights[:, ids].sum(dim=-1) / sums if ids else torch.full_like(sums, math.nan) for ids in by_label]
        for by_label in targets.first_tokens
    ]
    gold = torch.tensor(gold_tokens, device=logits.device)
    gold_logits = logits.gather(1, gold)
    rank = [1 + (logits > gold_logits[:, k : k + 1]).sum(dim=-1) for k in range(gold.shape[1])]
    pool = torch.zeros(logits.shape[1], device=logits.device)
    pool[targets.token_pool] = 1 / len(targets.token_pool)
    measures = {
        "first": torch.stack([torch.stack(by_label, dim=-1) for by_label in first], dim=1),
        "rank": torch.stack(rank, dim=-1),
        "entropy": (total - torch.linalg.vecdot(weights, logits) / sums) * BITS,
        "pool": weights @ pool / sums,
    }
    return measures, total


def _predictions(items: Sequence[Item]) -> tuple[Tensor, Tensor, Tensor]:
    """(row, token, word) of every token of every word of every item. row: the state that predicts the token, an item's
    last token or, behind all of these, a node of the items' trees. word: counted over all items."""
    predictions = []
    nodes = len(items)
    for number, item in enumerate(items):
        for i, (path, word) in enumerate(zip(item.tree.paths, item.labels, strict=True)):
            index = number * len(item.labels) + i
            predictions += [
                (number if node < 0 else nodes + node, token, index)
                for node, token in zip(path, word)  # noqa: B905
            ]
        nodes += len(item.tree.tokens)
    rows, tokens, words = zip(*predictions, strict=True)
    return torch.tensor(rows), torch.tensor(tokens), torch.tensor(words)


def _fill(out: Tensor, rows: Tensor, tokens: Tensor, logits: Tensor, total: Tensor, start: int) -> None:
    """Write into `out` the log-probabilities predicted by the rows from `start` on. total: [b] log-sum-exps."""
    predicted = (rows >= start) & (rows < start + len(logits))
    local_rows = (rows[predicted] - start).to(logits.device)
    out[predicted] = (logits[local_rows, tokens[predicted].to(logits.device)] - total[local_rows]).cpu()
