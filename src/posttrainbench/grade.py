"""What a grader is asked, what it replies, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

PER = 1_000_000  # tokens that a price is for


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of what a grader is shown."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one reply took; `cached` of the prompt's tokens were served from the provider's own cache."""

    prompt: int
    completion: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's reply as it came; `tokens` is None when the endpoint did not tell."""

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
class GradingSpend:
    """What grading took: requests sent, grades that were on the disk already, tokens and USD.

    `tokens` is None when a reply did not tell its usage, `cost_usd` then too, or when no price is known.
    Requests that brought no reply (`lost`: errors, hangs) are in neither; a provider may still charge them.
    """

    grader: str
    requests: int
    from_cache: int
    lost: int
    tokens: Tokens | None
    cost_usd: float | None

    def since(self, earlier: GradingSpend) -> GradingSpend:
        """What was spent after `earlier`, which is of the same grader."""
        tokens = cost_usd = None
        if self.tokens is not None and earlier.tokens is not None:
            tokens = Tokens(
                self.tokens.prompt - earlier.tokens.prompt,
                self.tokens.completion - earlier.tokens.completion,
                self.tokens.cached - earlier.tokens.cached,
            )
        if self.cost_usd is not None and earlier.cost_usd is not None:
            cost_usd = self.cost_usd - earlier.cost_usd
        return GradingSpend(
            self.grader,
            self.requests - earlier.requests,
            self.from_cache - earlier.from_cache,
            self.lost - earlier.lost,
            tokens,
            cost_usd,
        )
