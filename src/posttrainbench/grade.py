"""What grading took."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.llm import Tokens


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
