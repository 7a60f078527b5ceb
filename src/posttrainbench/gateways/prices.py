"""What a call costs, in USD: the operator's own table first, then the genai-prices package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, ValidationError

from posttrainbench.errors import InvalidFile
from posttrainbench.gateways.dialects import Usage

VARIABLE = "PTB_PRICES"
_MILLION = 1_000_000


class Price(BaseModel):
    """USD per million tokens; what is cached or written to a cache costs as input unless said otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached: NonNegativeFloat | None = None
    cache_write: NonNegativeFloat | None = None

    def cost_usd(self, usage: Usage) -> float:
        """The price of one call."""
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        total = max(0, plain) * self.input + usage.cached_tokens * cached + usage.cache_write_tokens * written
        return (total + usage.output_tokens * self.output) / _MILLION


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: dict[str, Price]


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by model name; the operator's own may hold patterns such as `glm-*`."""

    own: Mapping[str, Price] = field(default_factory=dict)

    def cost_usd(self, provider: str | None, model: str, usage: Usage) -> float | None:
        """The price of one call, None when nobody knows the model's."""
        for pattern, price in self.own.items():
            if fnmatchcase(model, pattern):
                return price.cost_usd(usage)
        return _published(provider, model, usage)

    def per_million(self, provider: str | None, model: str) -> Price | None:
        """What a million tokens of small calls cost, None when nobody knows."""
        small = 1000
        asked = (Usage(small, 0), Usage(0, small), Usage(small, 0, small), Usage(small, 0, 0, small))
        costs = [self.cost_usd(provider, model, usage) for usage in asked]
        if any(cost is None for cost in costs):
            return None
        scaled = [round((cost or 0.0) * _MILLION / small, 6) for cost in costs]
        return Price(input=scaled[0], output=scaled[1], cached=scaled[2], cache_write=scaled[3])

    def knows(self, provider: str | None, model: str) -> bool:
        return self.cost_usd(provider, model, Usage(1, 1)) is not None


def read_prices(path: Path) -> Prices:
    """The operator's table: `[models."glm-4.6"]` with `input`, `output`, maybe `cached` and `cache_write`.

    Raises:
        InvalidFile: it cannot be read as such; the text says what is wrong.
    """
    try:
        table = _Table.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as wrong:
        raise InvalidFile(f"{path} is no table of prices: {wrong}") from wrong
    return Prices(table.models)


def _published(provider: str | None, model: str, usage: Usage) -> float | None:
    import genai_prices

    told = genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        cache_write_1h_tokens=usage.cache_write_1h_tokens or None,
        web_searches=usage.searches or None,
    )
    try:
        return float(genai_prices.calc_price(told, model_ref=model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None
