"""What an LLM behind an endpoint is asked, what it replies, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

PER = 1_000_000  # tokens that a price is for


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of what an LLM is shown."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one reply took; `cached` of the prompt's tokens were served from the provider's own cache."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came; `tokens` is None when the endpoint did not tell."""

    text: str
    model: str  # as the endpoint names it, which may be more precise than what was asked for
    tokens: Tokens | None


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens; `cached_usd` (for cached prompt tokens) is the prompt's price when None."""

    prompt_usd: float
    completion_usd: float
    cached_usd: float | None = None

    def cost_usd(self, tokens: Tokens) -> float:
        """What these tokens cost."""
        cached_usd = self.prompt_usd if self.cached_usd is None else self.cached_usd
        prompt = (tokens.prompt - tokens.cached) * self.prompt_usd + tokens.cached * cached_usd
        return (prompt + tokens.completion * self.completion_usd) / PER


@dataclass(frozen=True, slots=True)
class LlmSpend:
    """What all replies until now took.

    `tokens` is None when a reply did not tell its usage, `cost_usd` then too, or when no price is known.
    Requests that brought no reply (`lost`: errors, hangs) are in neither; a provider may still charge them.
    """

    requests: int
    lost: int
    tokens: Tokens | None
    cost_usd: float | None
