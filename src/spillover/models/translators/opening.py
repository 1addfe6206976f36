"""Which translator a config asks for."""

from __future__ import annotations

from spillover.core.config import TRANSLATORS, TranslatorConfig
from spillover.core.errors import ConfigError
from spillover.core.types import Progress, no_progress
from spillover.models.translators.few_shot import Sentences
from spillover.models.translators.translator import Translator


def open_translator(
    config: TranslatorConfig, *, sentences: Sentences | None = None, progress: Progress = no_progress
) -> Translator:
    """The translator of a config, loaded or asked for its models. sentences: parallel ones by language, examples for a
    few-shot prompt where the config has no file of them; those that come with the package unless given.

    ConfigError where the config names no translator, ModelError for one that cannot be loaded or does not answer,
    MissingExtra for a package that is not installed."""
    if config.seq2seq:
        from spillover.models.translators.seq2seq import load_seq2seq

        return load_seq2seq(config)
    if config.server:
        from spillover.models.translators.served import ServedTranslator

        return ServedTranslator(config, sentences=sentences)
    if config.causal:
        from spillover.models.load import load_model
        from spillover.models.translators.causal import CausalTranslator

        model = load_model(
            config.causal, revision=config.revision, dtype=config.dtype, device=config.device, progress=progress
        )
        return CausalTranslator(model, config, sentences=sentences)
    if config.command:
        from spillover.models.translators.command import CommandTranslator

        return CommandTranslator(config)
    raise ConfigError(
        "translate.translator: none given",
        hint=f"one of {', '.join(f'--{name}' for name in TRANSLATORS)} (docs/translate.md)",
    )
