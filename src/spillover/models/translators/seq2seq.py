"""A translation model of transformers: NLLB, M2M100, MADLAD, opus-mt, and what is built like one of them.

Beams and the like are those of the model's own settings for generation; nothing is sampled. On a retry more beams
search, and no four tokens may repeat: what fails most often is a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers

from spillover.core.config import TranslatorConfig
from spillover.core.errors import MissingExtra, ModelError, SpilloverError, first_line
from spillover.core.types import Language
from spillover.models import loading_checks
from spillover.models.fingerprint import fingerprint_of
from spillover.models.load import HUB_ID, device_named, dtype_named, without_warnings
from spillover.models.translators.language_tokens import Direction, direction
from spillover.models.translators.translator import Line, by_line, too_long, unfinished

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RETRY_BEAMS = 5
RETRY_NGRAM = 4
# Packages that transformers asks for by name where a tokenizer needs them.
TOKENIZER_PACKAGES = ("sentencepiece", "sacremoses")


class Seq2SeqTranslator:
    """A loaded translation model. fingerprint: of its weights."""

    def __init__(
        self, name: str, fingerprint: str, module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
        config: TranslatorConfig | None = None,
    ) -> None:  # fmt: skip
        self.name, self.fingerprint = name, fingerprint
        self.module, self.tokenizer, self.config = module, tokenizer, config or TranslatorConfig()

    def prompt(self, source: Language, target: Language) -> str:
        """Language tokens and prefix around {text}. ModelError as `direction`."""
        return self._direction(source, target).prompt

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        """As `Translator.translate`; a retry searches with more beams and without repetition."""
        asked = self._direction(source, target)
        if asked.source:
            # The tokenizer's name of a language is the token, or what stands between its marks (M2M100).
            codes = getattr(self.tokenizer, "lang_token_to_id", {})
            self.tokenizer.src_lang = asked.source.strip("_") if asked.source in codes else asked.source

        def translate_lines(lines: list[str]) -> list[Line]:
            translated: list[Line] = []
            for start in range(0, len(lines), self.config.batch):
                batch = lines[start : start + self.config.batch]
                translated += self._translated([asked.prefix + line for line in batch], asked, retry)
            return translated

        return by_line(self.name, texts, translate_lines)

    def _direction(self, source: Language, target: Language) -> Direction:
        return direction(self.name, self.tokenizer, self.module.config, source, target)

    @property
    def _limit(self) -> int:
        """Longest text in tokens, as far as the model says."""
        limits = [getattr(self.module.config, "max_position_embeddings", None), self.tokenizer.model_max_length]
        return min(int(limit) for limit in limits if limit)

    def _translated(self, texts: Sequence[str], asked: Direction, retry: bool) -> list[Line]:
        rows = self.tokenizer(list(texts))["input_ids"]
        lines = [Line("", too_long(len(ids), self._limit) if len(ids) > self._limit else "") for ids in rows]
        fitting = [number for number, line in enumerate(lines) if not line.problem]
        end, start = self.module.config.eos_token_id, self._target_id(asked)
        for number, ids in zip(fitting, self._generated([rows[i] for i in fitting], asked, retry), strict=True):
            # M2M100's language tokens need not be special ones: they would be read as text.
            written = [token for token in ids if token != start]
            text = self.tokenizer.decode(written, skip_special_tokens=True).strip()
            # Many decoders begin with the end token.
            lines[number] = Line(text, "" if end in ids[1:] else unfinished(self.config.max_new_tokens))
        return lines

    def _generated(self, rows: Sequence[Sequence[int]], asked: Direction, retry: bool) -> list[list[int]]:
        """The decoder's tokens of each text, padding at the end included."""
        if not rows:
            return []
        width, padding = max(map(len, rows)), self.module.config.pad_token_id or 0
        device = self.module.device
        ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], device=device)
        mask = torch.tensor([[*[1] * len(row), *[0] * (width - len(row))] for row in rows], device=device)
        with torch.inference_mode(), without_warnings():
            generated = self.module.generate(
                input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=self.config.max_new_tokens,
                **self._options(asked, retry),
            )  # fmt: skip
        return [row.tolist() for row in generated]

    def _target_id(self, asked: Direction) -> int | None:
        """The token that the decoder begins with; None where the prefix names the language."""
        return int(self.tokenizer.convert_tokens_to_ids(asked.target)) if asked.target else None

    def _options(self, asked: Direction, retry: bool) -> dict[str, Any]:
        beams = self.config.beams or self.module.generation_config.num_beams or 1
        options: dict[str, Any] = {"num_beams": beams}
        if asked.target:
            options["forced_bos_token_id"] = self._target_id(asked)
        if retry:
            options |= {"num_beams": max(beams, RETRY_BEAMS), "no_repeat_ngram_size": RETRY_NGRAM}
        return options


def load_seq2seq(config: TranslatorConfig) -> Seq2SeqTranslator:
    """The translator of `config.seq2seq`. ModelError for what cannot be loaded, or whose weights are not all there;
    MissingExtra for a tokenizer that needs a package."""
    name = config.seq2seq or ""
    device = device_named(config.device)
    dtype = dtype_named(config.dtype, device)
    try:
        if not (HUB_ID.fullmatch(name) or Path(name).is_dir()):
            raise OSError("no such folder")
        with without_warnings():
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, revision=config.revision)
            module, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(
                name, revision=config.revision, dtype=dtype, output_loading_info=True
            )
    except SpilloverError:
        raise
    except Exception as error:  # noqa: BLE001  # tokenizers and safetensors raise types of their own
        raise _loading_error(name, error) from None
    loading_checks.check_loading_report(name, report)
    loading_checks.check_finite(f"model {name!r}", module.named_parameters())
    fingerprint = fingerprint_of(name, module)
    return Seq2SeqTranslator(name, fingerprint, module.to(device).eval(), tokenizer, config)


def _loading_error(name: str, error: Exception) -> SpilloverError:
    text = str(error)
    if package := next((package for package in TOKENIZER_PACKAGES if package in text.lower()), None):
        return MissingExtra(
            f"the tokenizer of {name!r} needs {package}, which is not installed",
            hint="pip install 'spillover[translate]'",
        )
    if "configuration class" in text:
        return ModelError(
            f"model {name!r}: not a translation model of transformers (AutoModelForSeq2SeqLM)",
            hint="NLLB, M2M100, MADLAD or opus-mt; a causal language model goes with --causal",
        )
    return ModelError(f"model {name!r} cannot be loaded: {first_line(error)}", hint="give a hub id or a folder")
