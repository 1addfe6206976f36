"""How many prompt tokens were sent to servers, and how many of them came from their prefix caches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PromptTokens:
    """Prompt tokens of requests that were answered. cached: of those sent, read from the server's prefix cache as it
    reports them; None where it does not."""

    sent: int = 0
    cached: int | None = None

    def __add__(self, other: PromptTokens) -> PromptTokens:
        known = [tokens.cached for tokens in (self, other) if tokens.cached is not None]
        return PromptTokens(self.sent + other.sent, sum(known) if known else None)
