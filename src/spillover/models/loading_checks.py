"""What was loaded is what was asked for: checks of a model and an adapter, before anything is computed.

transformers and peft fill what a file lacks with fresh weights and go on with a warning; the scores of such a model
look like any others. Here each such thing is a ModelError that names the tensors.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict

from spillover.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

NAMED = 2
# Two passes of one shape over the same leading tokens are equal, or differ by rounding where tokens are routed to
# experts; relative to the largest logit. Those of a bidirectional model differ by far more.
ROUNDING = {torch.float32: 1e-5}
ROUNDING_16_BIT = 1e-2
ABOVE_CHANCE = 0.1  # nats a token
# Ordinary text, which any language model finds likelier than chance.
REFERENCE_TEXT = "The train to the coast leaves at nine in the morning, and the trip takes two hours and a half."


def check_loading_report(name: str, report: Mapping[str, Any], ignored: Sequence[str] = ()) -> None:
    """ModelError when transformers' `output_loading_info` says that a weight is missing, has another shape, or is in
    the file and not in the model. ignored: regular expressions of weights that the model may have no place for."""
    problems = []
    missing = sorted(report.get("missing_keys") or ())
    mismatched = sorted(key[0] if isinstance(key, tuple) else key for key in report.get("mismatched_keys") or ())
    unexpected = [
        key
        for key in sorted(report.get("unexpected_keys") or ())
        if not any(re.search(pattern, key) for pattern in ignored)
    ]
    if missing:
        problems.append(f"{_listed(missing)} missing from its files, so that random weights would take their place")
    if mismatched:
        problems.append(f"{_listed(mismatched)} of another shape than its config says")
    if unexpected:
        problems.append(f"{_listed(unexpected)} in its files that the model has no place for")
    problems += [str(message).splitlines()[0] for message in report.get("error_msgs") or ()]
    if not problems:
        return
    hint = "give the whole checkpoint of a causal language model"
    if unexpected and not (missing or mismatched):
        hint = f"if the model does not need them: --set 'model.ignore_weights=[\"{_pattern(unexpected)}\"]'"
    raise ModelError(f"model {name!r}: {'; '.join(problems)}", hint=hint)


def check_adapter_weights(adapter: str, base: str, saved: Collection[str], module: Any, whole: Collection[str]) -> None:
    """ModelError when the names of an adapter's saved tensors are not those of the adapter in `module`, where peft has
    put it onto the base. whole: names of the base's own tensors, which an adapter's file may hold too."""
    expected = set(get_peft_model_state_dict(module, save_embedding_layers=False))
    unexpected = [key for key in sorted(saved) if key not in expected and key.replace(".base_layer.", ".") not in whole]
    missing = sorted(expected - set(saved))
    if not (missing or unexpected):
        return
    hint = "its file was renamed or cut: save it again with save_pretrained of the trained model"
    if unexpected:
        fits = len(set(saved) & expected)
        number = f"only {fits}" if fits else "none"
        raise ModelError(
            f"adapter {adapter!r}: {number} of its {len(set(saved))} tensors fits {base} (first that does not: "
            f"{unexpected[0]})",
            hint=hint,
        )
    raise ModelError(f"adapter {adapter!r}: {_listed(missing)} missing from its file", hint=hint)


def check_finite(name: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """ModelError when a weight is NaN or infinite."""
    bad = [
        key
        for key, tensor in tensors
        if tensor.is_floating_point()
        and tensor.numel()
        and not tensor.is_meta
        and not all(bool(torch.isfinite(end)) for end in torch.aminmax(_in_range(tensor.detach())))
    ]
    if bad:
        raise ModelError(f"{name}: {_listed(bad)} with NaN or infinite values", hint="--dtype float32, or another file")


def check_causal(name: str, logits: Tensor, changed: Tensor) -> None:
    """ModelError when a model's logits depend on later tokens. logits, changed: [t, vocab] of the same tokens, before
    different ones."""
    moved = float((logits - changed).abs().max())
    if moved > ROUNDING.get(logits.dtype, ROUNDING_16_BIT) * float(logits.abs().max()):
        raise ModelError(
            f"model {name!r} reads to the right (logits before a token depend on it): not a causal language model",
            hint="encoders and masked language models cannot be scored by their next token; give a causal model",
        )


def warn_above_chance(name: str, logits: Tensor, ids: Tensor) -> None:
    """Log a warning when ordinary text is less likely than by chance, as with the tokenizer of another model or damaged
    weights. logits: [t, vocab] for the tokens `ids` [t]."""
    loss = float(torch.nn.functional.cross_entropy(logits[:-1].float(), ids[1:]))
    chance = float(torch.log(torch.tensor(float(logits.shape[-1]))))
    if loss > chance + ABOVE_CHANCE:
        log.warning(
            "%s finds ordinary text less likely than chance (loss %.1f, chance %.1f): its weights are random or "
            "damaged, or the tokenizer is another model's",
            name, loss, chance,
        )  # fmt: skip


def check_token_ids(name: str, ids: Iterable[int], rows: int) -> None:
    """ModelError when a used token id has no row in the embedding matrix. Many good models have spare ids in their
    tokenizer, so only those that occur count."""
    largest = max(ids, default=-1)
    if largest >= rows:
        raise ModelError(
            f"{name}: its tokenizer gives ids up to {largest}, the model has {rows} embeddings",
            hint="give the tokenizer that belongs to the model, or resize its embeddings and train them",
        )


def _in_range(tensor: Tensor) -> Tensor:
    # aminmax lacks the 8-bit floats.
    return tensor if tensor.dtype.itemsize > 1 else tensor.float()


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{len(keys)} {'tensor' if len(keys) == 1 else 'tensors'} ({', '.join(keys[:NAMED])}{more})"


def _pattern(keys: Sequence[str]) -> str:
    """A regular expression that finds all of them, by the modules at their beginnings."""
    return "|".join(dict.fromkeys(f"^{re.escape(key.partition('.')[0])}" for key in keys))
