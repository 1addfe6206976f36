"""Whether a server gives exact scores of the model that was asked for; one that does not prove it is refused.

At first contact, on a text of several scripts:
1. It serves the model, and the adapter on that model, by their names, and refuses a name that nobody has.
2. It makes the tokens of the tokenizer that prompts are made with.
3. Next-token reads of tokens from all over the vocabulary come back whole, and do not move with the sampling settings.
4. The same text read as a whole gives its last tokens the same log-probabilities.
5. With the adapter they are others than without, by more than a repetition of the request makes them differ.

Before the first item of an evaluation: five of its items, by reads and as whole texts, on every server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover.core.errors import ConfigError, ModelError
from spillover.models.server_client import NEUTRAL, ServerClient

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = 'The answer, in 2024: "positive". Die Größe überrascht nicht; ça va? Хорошо, 很好, ดีมาก, नमस्ते, 🙂!'
NOBODY = "a-model-that-nobody-serves"
OTHER_SAMPLING = {"temperature": 1.7, "top_p": 0.5, "presence_penalty": 1.5, "frequency_penalty": 1.0}
SPREAD = 32
LAST_TOKENS = 3
# In nats: sums of 32-bit numbers in another order, or numbers rounded to 16 bits.
TOLERANCE_32, TOLERANCE_16 = 1e-3, 0.5
NOISE_FACTOR = 4.0
SMALLEST_CHANGE = 1e-4


@dataclass(frozen=True)
class Admitted:
    """What an admitted server says of itself. root: where it read the model from, and the adapter. context: tokens of
    prompt and answer together. version: None where it does not say. probe: log-probabilities after a fixed text."""

    root: str
    context: int
    version: str | None
    probe: tuple[float, ...]


def tolerance(dtype: str) -> float:
    """How far two ways of reading one log-probability may differ, in nats; `dtype` as the config says it."""
    return TOLERANCE_32 if dtype == "float32" else TOLERANCE_16


def admit(
    client: ServerClient, name: str, adapter: str | None, tokenizer: PreTrainedTokenizerBase, *, within: float
) -> Admitted:
    """What the server says of itself, after all checks that need no item. within: the tolerance, in nats.

    ModelError or ConfigError says in one line why it is refused."""
    cards = _cards(client, name, adapter)
    served = adapter or name
    _check_tokenizer(client, served, tokenizer)
    _check_names(client)
    ids = _probe_ids(tokenizer)
    tokens = _spread_tokens(tokenizer)
    found = client.next_token(served, ids, tokens)
    _check_raw(client, found, client.next_token(served, ids, tokens, OTHER_SAMPLING), within)
    _check_reads(client, served, ids, within)
    if adapter is not None:
        _check_adapter(client, name, adapter, ids, tokens)
    root = " + ".join(str(card.get("root") or card["id"]) for card in cards)
    context = int(cards[0].get("max_model_len") or 10**9)
    return Admitted(root, context, client.version(), tuple(found[token] for token in tokens))


def agree(client: ServerClient, what: str, reads: Sequence[float], whole: Sequence[float], within: float) -> None:
    """ModelError where two ways to read the same log-probabilities differ by more than `within` nats."""
    worst = max((abs(a - b) for a, b in zip(reads, whole, strict=True)), default=0.0)
    if not worst <= within:
        raise ModelError(
            f"{client.url}: {what}: read token by token and as a whole text, log-probabilities differ by {worst:.3g} "
            f"(allowed: {within:g})",
            hint="its scores are not exact; start it with vLLM as in examples/serving",
        )


def _cards(client: ServerClient, name: str, adapter: str | None) -> list[dict[str, Any]]:
    """What the server lists of the model, and of the adapter. ConfigError for a name that it does not serve so."""
    cards = {card["id"]: card for card in client.models()}
    for key, wanted in (("model.name", name), ("model.adapter", adapter)):
        if wanted is not None and wanted not in cards:
            raise ConfigError(
                f"{key}: {client.url} does not serve {wanted!r}; it serves {', '.join(map(repr, cards))}",
                hint="its names are those of --served-model-name and --lora-modules",
            )
    parent = cards[name].get("parent")
    if parent and parent != name:
        raise ConfigError(
            f"model.name: {name!r} is an adapter of {parent!r} on {client.url}",
            hint=f"--model {parent} --adapter {name}",
        )
    if adapter is not None and cards[adapter].get("parent", name) not in (name, cards[name].get("root")):
        raise ConfigError(
            f"model.adapter: {client.url} serves {adapter!r} on {cards[adapter]['parent']!r}, not on {name!r}",
            hint="give the name of its base as --model, and the adapter's as --adapter",
        )
    return [cards[name], *([cards[adapter]] if adapter is not None else [])]


def _check_tokenizer(client: ServerClient, served: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """By token ids where the server tells them, else by the number of tokens."""
    expected: list[int] = tokenizer(PROBE, add_special_tokens=False)["input_ids"]
    theirs = client.token_ids(served, PROBE)
    if theirs is None:
        length = client.text_length(served, PROBE)
        ours = len(tokenizer(PROBE)["input_ids"])
        same, seen = length in (ours, len(expected)), f"{length} tokens for a text of {ours}"
    else:
        at = next((i for i, pair in enumerate(zip(theirs, expected, strict=False)) if pair[0] != pair[1]), -1)
        same, seen = theirs == expected, f"other token ids for the same text (first at token {at})"
    if not same:
        raise ModelError(
            f"{client.url}: {served!r} has another tokenizer than {tokenizer.name_or_path!r}: {seen}",
            hint="--tokenizer HUB-ID or folder: the one that the server was started with",
        )


def _check_names(client: ServerClient) -> None:
    try:
        client.next_token(NOBODY, [1], [1])
    except ModelError:
        return
    raise ModelError(
        f"{client.url}: answers to any model name, so nothing says which model or adapter answers",
        hint="start it with vLLM as in examples/serving; llama-cpp-python does this",
    )


def _check_raw(client: ServerClient, found: dict[int, float], again: dict[int, float], within: float) -> None:
    """That log-probabilities are those of the model, not what sampling settings make of them."""
    worst = max(abs(found[token] - again[token]) for token in found)
    if not worst <= within:
        raise ModelError(
            f"{client.url}: its log-probabilities move with temperature and penalties (by {worst:.3g})",
            hint="start it with --logprobs-mode raw_logprobs, vLLM's default",
        )


def _check_reads(client: ServerClient, served: str, ids: Sequence[int], within: float) -> None:
    whole = client.whole_text(served, ids)[-LAST_TOKENS:]
    starts = range(len(ids) - LAST_TOKENS, len(ids))
    reads = [client.next_token(served, ids[:at], [ids[at]])[ids[at]] for at in starts]
    agree(client, "a text", reads, whole, within)


def _check_adapter(client: ServerClient, name: str, adapter: str, ids: Sequence[int], tokens: Sequence[int]) -> None:
    """ModelError where the adapter's log-probabilities are the base's, as far as one can tell."""
    base, again, tuned = (client.next_token(model, ids, tokens, NEUTRAL) for model in (name, name, adapter))
    noise = max(abs(base[token] - again[token]) for token in tokens)
    change = max(abs(base[token] - tuned[token]) for token in tokens)
    if not change > max(SMALLEST_CHANGE, NOISE_FACTOR * noise):
        raise ModelError(
            f"{client.url}: {adapter!r} gives the scores of {name!r} (differing by {change:.2g}, a repeated request by "
            f"{noise:.2g}): the adapter is not on, or changes nothing",
            hint="start vLLM with --enable-lora --lora-modules NAME=FOLDER, and look into its log",
        )


def _probe_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return [int(token) for token in tokenizer(PROBE)["input_ids"]]


def _spread_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids from all over the vocabulary: a server that returns its most probable tokens alone lacks most."""
    size = len(tokenizer)
    return sorted({math.floor(i * size / SPREAD) for i in range(SPREAD)})
