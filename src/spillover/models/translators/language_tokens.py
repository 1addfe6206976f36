"""Language codes and prefixes of a translation model, read from what the model brings.

1. Tokens of its vocabulary that name a language: `deu_Latn` (NLLB), `de_DE` (mBART), `__de__` (M2M100), `<2de>`
   (MADLAD), `>>deu<<` (opus-mt of several languages).
2. Else the prefixes by task in its config (T5).
3. Else the one source and target language of its tokenizer (opus-mt).

Their codes are matched with ours by langcodes, as CLDR counts the distance of languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spillover.core.errors import ModelError
from spillover.core.types import Language

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKED_TOKEN = re.compile(r"__(\w+)__|<2(\w+)>|>>([\w-]+)<<")
BARE_TOKEN = re.compile(r"[a-z]{2,3}_[A-Z][a-z]{3}|[a-z]{2}_[A-Z]{2}")
TASK = re.compile(r"translation_(\w+)_to_(\w+)")
ANY_REGION = "-XX"  # mBART's, of a language of no one country
FARTHEST = 9  # CLDR's distance: regions are 4 apart, Danish is 12 from Norwegian
LISTED = 12


@dataclass(frozen=True)
class Direction:
    """How one direction is asked for. prefix: stands before the text. source, target: language tokens that the
    tokenizer and the decoder begin with; "" where the prefix says all."""

    prefix: str = ""
    source: str = ""
    target: str = ""

    @property
    def prompt(self) -> str:
        """What the model reads, with {text} in place of a text."""
        tokens = f"[{self.source}] {{text}} -> [{self.target}]" if self.target else "{text}"
        return self.prefix + tokens


def direction(
    name: str, tokenizer: PreTrainedTokenizerBase, config: Any, source: Language, target: Language
) -> Direction:
    """How a model is asked to translate from `source` to `target`. ModelError where it does not know them."""
    tokens = language_tokens(tokenizer)
    if tokens:
        token = tokens[_closest(name, target, tokens)]
        if not hasattr(tokenizer, "src_lang"):
            _check_marker(name, tokenizer, token)
            return Direction(prefix=f"{token} ")
        return Direction(source=tokens[_closest(name, source, tokens)], target=token)
    prefixes = _task_prefixes(config)
    if prefixes:
        for (prefix_source, prefix_target), prefix in prefixes.items():
            if _is_near(source, prefix_source) and _is_near(target, prefix_target):
                return Direction(prefix=prefix)
        known = ", ".join(f"{first} to {second}" for first, second in prefixes)
        raise ModelError(f"{name}: does not translate {source.name} to {target.name}", hint=f"it translates {known}")
    _check_pair(name, tokenizer, source, target)
    return Direction()


def language_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """BCP-47 code → token of a vocabulary that names this language; empty where none does."""
    special = {str(token) for token in tokenizer.all_special_tokens}
    special |= {token.content for token in tokenizer.added_tokens_decoder.values()}
    special |= set(getattr(tokenizer, "lang_token_to_id", ()))  # M2M100's are in no vocabulary
    tokens: dict[str, str] = {}
    for token in sorted({*tokenizer.get_vocab(), *special}):
        match = MARKED_TOKEN.fullmatch(token)
        named = next(filter(None, match.groups()), "") if match else ""
        if not match and token in special and BARE_TOKEN.fullmatch(token):
            named = token
        if named and (code := bcp47(named)):
            tokens.setdefault(code, token)
    return tokens


def bcp47(code: str) -> str | None:
    """The standard code of a language that a model names in its own way; None for what names none."""
    import langcodes

    try:
        tag = langcodes.standardize_tag(code.replace("_", "-").removesuffix(ANY_REGION), macro=True)
    except langcodes.LanguageTagError:
        return None
    return tag if langcodes.Language.get(tag).is_valid() else None


def _closest(name: str, wanted: Language, tokens: Iterable[str]) -> str:
    import langcodes

    codes = sorted(tokens)
    found, _ = langcodes.closest_match(wanted.code, codes, max_distance=FARTHEST)
    if found not in codes:
        listed = " ".join(codes[:LISTED]) + (" ..." if len(codes) > LISTED else "")
        raise ModelError(
            f"{name}: has no language token for {wanted.name} ({wanted.code}) among its {len(codes)}",
            hint=f"another model, or another language: it has {listed}",
        )
    return str(found)


def _check_marker(name: str, tokenizer: PreTrainedTokenizerBase, token: str) -> None:
    """ModelError where the tokenizer reads a language token as ordinary text."""
    if tokenizer.convert_tokens_to_ids(token) not in tokenizer(f"{token} .")["input_ids"]:
        raise ModelError(
            f"{name}: its tokenizer splits its own language token {token}", hint="give the tokenizer that it came with"
        )


def _is_near(wanted: Language, code: str) -> bool:
    import langcodes

    tag = bcp47(code)
    return tag is not None and langcodes.tag_distance(wanted.code, tag) <= FARTHEST


def _task_prefixes(config: Any) -> dict[tuple[str, str], str]:
    """(source, target) → prefix, from the tasks of a T5 config."""
    tasks: Mapping[str, Any] = getattr(config, "task_specific_params", None) or {}
    prefixes = {}
    for task, settings in tasks.items():
        if (match := TASK.fullmatch(task)) and isinstance(settings, Mapping) and settings.get("prefix"):
            prefixes[match[1], match[2]] = str(settings["prefix"])
    return prefixes


def _check_pair(name: str, tokenizer: PreTrainedTokenizerBase, source: Language, target: Language) -> None:
    """ModelError unless the tokenizer's own two languages are these; a group of languages (`roa`) may hold them."""
    for side, wanted in (("source", source), ("target", target)):
        code = getattr(tokenizer, f"{side}_lang", None)
        if not isinstance(code, str) or not code:
            raise ModelError(
                f"{name}: nothing says which languages it translates: no language tokens, no prefixes, no "
                f"{side}_lang in its tokenizer_config.json",
                hint="take NLLB, M2M100, MADLAD or opus-mt",
            )
        tag = bcp47(code)
        is_group = tag is None or len(tag.partition("-")[0]) > 2
        if not is_group and not _is_near(wanted, code):
            raise ModelError(
                f"{name}: its {side} language is {code}, not {wanted.name} ({wanted.code})",
                hint="take the model of this pair, or one of many languages",
            )
