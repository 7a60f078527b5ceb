"""What the model calls of a run came to, and which budget that passes."""

from __future__ import annotations

from posttrainbench.budget import Budget, Spend
from posttrainbench.gateways.dialects import Reading, Usage


class Total:
    """What all calls of a run came to, those of earlier attempts among them."""

    def __init__(self, spent: Spend) -> None:
        self._unpriced = spent.tokens is not None and spent.tokens > 0 and spent.cost_usd is None
        self._cost_usd, self._tokens = spent.cost_usd or 0.0, spent.tokens or 0
        self._broken_off = spent.broken_off or 0
        self._lacking_usd, self._lacking_tokens = spent.broken_off_usd or 0.0, spent.broken_off_tokens or 0

    def add(
        self, reading: Reading, cost_usd: float | None, estimated: Usage | None, estimated_usd: float | None
    ) -> None:
        """One more call: what it told, and what it is taken for where it broke off."""
        told = _tokens(reading.usage)
        self._tokens += told
        self._cost_usd += cost_usd or 0.0
        self._unpriced = self._unpriced or (told > 0 and cost_usd is None)
        if estimated is not None:
            self._broken_off += 1
            self._lacking_tokens += _tokens(estimated) - told
            self._lacking_usd += (estimated_usd or 0.0) - (cost_usd or 0.0)

    def beyond(self, budget: Budget) -> str | None:
        """Which budget is spent, in words; None when none is."""
        cost_usd, tokens = self._cost_usd + self._lacking_usd, self._tokens + self._lacking_tokens
        if budget.cost_usd is not None and cost_usd >= budget.cost_usd:
            return f"{cost_usd:.2f} of {budget.cost_usd:.2f} USD"
        if budget.tokens is not None and tokens >= budget.tokens:
            return f"{tokens} of {budget.tokens} tokens"
        return None

    def spend(self) -> Spend:
        return Spend(
            cost_usd=None if self._unpriced else round(self._cost_usd, 9),
            tokens=self._tokens,
            broken_off=self._broken_off,
            broken_off_usd=round(self._lacking_usd, 9) if self._broken_off else None,
            broken_off_tokens=self._lacking_tokens if self._broken_off else None,
        )


def _tokens(usage: Usage | None) -> int:
    return usage.input_tokens + usage.output_tokens if usage else 0
