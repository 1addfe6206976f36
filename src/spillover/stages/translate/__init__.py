"""Translate: questions of one's own into training questions in more languages, each row checked."""

from __future__ import annotations

from spillover.stages.translate.stage import translate_questions

__all__ = ["translate_questions"]
