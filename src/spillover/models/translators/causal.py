"""A causal language model as a translator: a few-shot prompt for each line, greedy, up to the end of the line.

1. Prompts are padded on the left, so that all of a batch continue at the same place.
2. Every token that holds a line break ends a translation, beside those that end a text.
3. On a retry the examples stand in the reverse order: greedy decoding would repeat itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from spillover.core.config import TranslatorConfig
from spillover.core.errors import ConfigError
from spillover.core.types import Language
from spillover.models.chat import end_tokens
from spillover.models.load import Model, without_warnings
from spillover.models.translators.few_shot import Sentences, continued_text, examples
from spillover.models.translators.translator import Line, by_line, too_long, unfinished


class CausalTranslator:
    """A loaded model that translates. config: few-shot examples, batch and length. sentences: as `few_shot.examples`.
    ConfigError for a model with an intervention, which is no part of its module."""

    def __init__(
        self, model: Model, config: TranslatorConfig | None = None, *, sentences: Sentences | None = None
    ) -> None:
        if model.intervention is not None:
            raise ConfigError(
                f"{model.ref.name} with the intervention {model.ref.steer}: does not translate",
                hint="translate with the model alone",
            )
        self.model, self.config, self.sentences = model, config or TranslatorConfig(), sentences
        self.name, self.fingerprint = model.ref.name, model.ref.fingerprint

    def prompt(self, source: Language, target: Language) -> str:
        """The few-shot prompt with {text} in place of a line. Errors as `few_shot.examples`."""
        return continued_text(examples(self.config, source, target, self.sentences), source, target)

    def translate(self, texts: Sequence[str], source: Language, target: Language, *, retry: bool = False) -> list[str]:
        """As `Translator.translate`; a retry has the examples in the reverse order."""
        shots = examples(self.config, source, target, self.sentences)
        shots = shots[::-1] if retry else shots

        def translate_lines(lines: list[str]) -> list[Line]:
            translated: list[Line] = []
            for start in range(0, len(lines), self.config.batch):
                batch = lines[start : start + self.config.batch]
                translated += self._continued([continued_text(shots, source, target, line) for line in batch])
            return translated

        return by_line(self.name, texts, translate_lines)

    @cached_property
    def _ends(self) -> list[int]:
        line_breaks = (number for number, text in enumerate(self.model.token_bytes) if b"\n" in text)
        return sorted({*end_tokens(self.model), *line_breaks})

    def _continued(self, prompts: Sequence[str]) -> list[Line]:
        """The rest of the line after each prompt."""
        model, limit = self.model, self.model.context - self.config.max_new_tokens
        rows = model.tokenizer(list(prompts))["input_ids"]
        lines = [Line("", too_long(len(ids), limit) if len(ids) > limit else "") for ids in rows]
        fitting = [number for number, line in enumerate(lines) if not line.problem]
        for number, ids in zip(fitting, self._generated([rows[i] for i in fitting]), strict=True):
            text, line_break, _ = model.tokenizer.decode(ids, skip_special_tokens=True).partition("\n")
            ended = bool(line_break) or not set(self._ends).isdisjoint(ids)
            lines[number] = Line(text.strip(), "" if ended else unfinished(self.config.max_new_tokens))
        return lines

    def _generated(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        """The tokens that follow each prompt, padding at the end included."""
        if not rows:
            return []
        width = max(map(len, rows))
        padding = next(iter(self._ends), 0)
        ids = torch.tensor([[*[padding] * (width - len(row)), *row] for row in rows], device=self.model.device)
        mask = torch.tensor([[*[0] * (width - len(row)), *[1] * len(row)] for row in rows], device=self.model.device)
        with torch.inference_mode(), without_warnings():
            generated = self.model.module.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=self.config.max_new_tokens, do_sample=False,
                num_beams=1, eos_token_id=self._ends or None, pad_token_id=padding,
            )  # fmt: skip
        return [row[width:].tolist() for row in generated]
