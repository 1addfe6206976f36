"""Training pairs → token rows with the completion marked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from spillover.core.config import TrainConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import TrainingPair
from spillover.models.label_tokens import split_at
from spillover.models.load import Model
from spillover.models.loading_checks import check_token_ids

log = logging.getLogger(__name__)

IGNORE = -100
LISTED = 5


class Row(TypedDict):
    """One pair. labels: the token to predict at each position, IGNORE up to where the completion starts. number: the
    pair's index in the list of pairs."""

    input_ids: list[int]
    labels: list[int]
    number: int


def tokenize_pairs(base: Model, pairs: Sequence[TrainingPair], config: TrainConfig) -> list[Row]:
    """One row a pair. One that is longer than `config.max_tokens` or the model's context is a DataError, or is dropped
    or cut and named in a log line, as `config.long_pairs` says."""
    if not pairs:
        raise DataError("no training pairs", hint="`spillover build` makes them")
    end = [base.tokenizer.eos_token_id] if config.end_of_text and base.tokenizer.eos_token_id is not None else []
    limit = min(config.max_tokens, base.context)
    rows: list[Row] = []
    long: list[str] = []
    for number, (pair, (ids, start)) in enumerate(zip(pairs, _tokens(base, pairs, config), strict=True)):
        ids = ids + end
        if len(ids) > limit:
            long.append(f"{pair.id} ({len(ids)} tokens)")
            if config.long_pairs == "cut" and start < limit:
                ids = ids[:limit]
            else:
                continue
        start = max(start, 1)  # no token precedes the first one to predict it
        rows.append({"input_ids": ids, "labels": [IGNORE] * start + ids[start:], "number": number})
    check_token_ids(base.ref.name, (max(row["input_ids"]) for row in rows), base.embeddings)
    if long:
        _report_long_pairs(long, limit, config.long_pairs, n_kept=len(rows))
    return rows


def _report_long_pairs(long: list[str], limit: int, rule: str, *, n_kept: int) -> None:
    listed = ", ".join(long[:LISTED]) + (f" and {len(long) - LISTED} more" if len(long) > LISTED else "")
    message = f"{len(long)} training pair{'s' if len(long) > 1 else ''} of more than {limit} tokens: {listed}"
    if rule == "refuse" or not n_kept:
        hint = "--set train.long_pairs=drop or cut, or raise train.max_tokens"
        raise DataError(message, hint=hint if n_kept else "raise train.max_tokens")
    outcome = "left out" if rule == "drop" else "cut at the end, or left out if only a prompt remains"
    log.warning("%s; %s", message, outcome)


def _tokens(base: Model, pairs: Sequence[TrainingPair], config: TrainConfig) -> list[tuple[list[int], int]]:
    """(tokens, where the completion starts) of each pair."""
    prompts = [_in_chat(base, pair.prompt) if config.chat_template else pair.prompt for pair in pairs]
    texts = [prompt + pair.completion for prompt, pair in zip(prompts, pairs, strict=True)]
    # A chat template writes the special tokens itself.
    encodings = base.tokenizer(texts, add_special_tokens=not config.chat_template).encodings or []
    split_texts = (split_at(encoding, len(prompt)) for encoding, prompt in zip(encodings, prompts, strict=True))
    return [(list(ids), start) for ids, start, _ in split_texts]


def _in_chat(base: Model, prompt: str) -> str:
    if not base.tokenizer.chat_template:
        raise ConfigError(f"train.chat_template: {base.ref.name} has no chat template", hint="leave it off")
    messages = [{"role": "user", "content": prompt}]
    return str(base.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def split(rows: list[Row], share: float, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """(training rows, validation rows): a random `share`, at least one row of each when there is a share at all."""
    n = max(1, round(share * len(rows))) if share and len(rows) > 1 else 0
    order = rng.permutation(len(rows))
    return [rows[i] for i in order[n:]], [rows[i] for i in order[:n]]
