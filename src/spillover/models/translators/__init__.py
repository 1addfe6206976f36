"""Translators: texts in one language → the same in another, by a model, a server, or a command of one's own."""

from __future__ import annotations

from spillover.models.translators.opening import open_translator
from spillover.models.translators.translator import IncompleteTranslation, Translator

__all__ = ["IncompleteTranslation", "Translator", "open_translator"]
