"""Training pairs → token rows with the completion marked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from spillover.core.config import EvaluateConfig, TrainConfig
from spillover.core.errors import ConfigError, DataError
from spillover.core.types import TrainingPair
from spillover.models.chat import AUTO_FORM, ChatTemplate, open_chat
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


def open_pair_chat(base: Model, config: TrainConfig, evaluate: EvaluateConfig) -> ChatTemplate | None:
    """The chat template that pairs are wrapped in, as `config.chat_template` and else `evaluate.chat` say; None for
    plain text. Errors as `open_chat`."""
    if config.chat_template is False:
        return None
    if config.chat_template and not base.tokenizer.chat_template:
        raise ConfigError(f"train.chat_template: {base.ref.name} has no chat template", hint="leave it out")
    if config.chat_template and evaluate.chat in ("off", "auto"):
        evaluate = evaluate.model_copy(update={"chat": AUTO_FORM})
    return open_chat(base, evaluate)


def tokenize_pairs(
    base: Model, pairs: Sequence[TrainingPair], config: TrainConfig, chat: ChatTemplate | None = None
) -> list[Row]:
    """One row a pair, wrapped in the chat template if one is given. One that is longer than `config.max_tokens` or the
    model's context is a DataError, or is dropped or cut and named in a log line, as `config.long_pairs` says."""
    if not pairs:
        raise DataError("no training pairs", hint="`spillover build` makes them")
    ended = bool(chat and chat.end_of_turn) or base.tokenizer.eos_token_id is None
    end = [base.tokenizer.eos_token_id] if config.end_of_text and not ended else []
    limit = min(config.max_tokens, base.context)
    rows: list[Row] = []
    long: list[str] = []
    for number, (pair, (ids, start)) in enumerate(zip(pairs, _tokens(base, pairs, config, chat), strict=True)):
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


def _tokens(
    base: Model, pairs: Sequence[TrainingPair], config: TrainConfig, chat: ChatTemplate | None
) -> list[tuple[list[int], int]]:
    """(tokens, where the completion starts) of each pair."""
    parts = [chat.pair(pair) if chat else (pair.prompt, pair.completion) for pair in pairs]
    end = chat.end_of_turn if chat and config.end_of_text else ""
    texts = [prompt + completion + end for prompt, completion in parts]
    # A chat template writes the special tokens itself.
    encodings = base.tokenizer(texts, add_special_tokens=chat is None).encodings or []
    split_texts = (split_at(encoding, len(prompt)) for encoding, (prompt, _) in zip(encodings, parts, strict=True))
    return [(list(ids), start) for ids, start, _ in split_texts]


def split(rows: list[Row], share: float, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """(training rows, validation rows): a random `share`, at least one row of each when there is a share at all."""
    n = max(1, round(share * len(rows))) if share and len(rows) > 1 else 0
    order = rng.permutation(len(rows))
    return [rows[i] for i in order[n:]], [rows[i] for i in order[:n]]
