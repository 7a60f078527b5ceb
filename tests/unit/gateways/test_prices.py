"""What calls cost: the operator's table first, then published prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrainbench.errors import InvalidFile
from posttrainbench.gateways.dialects import Usage
from posttrainbench.gateways.prices import read_prices

USAGE = Usage(input_tokens=1000, output_tokens=100, cached_tokens=600, cache_write_tokens=100)


def test_the_operators_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[models."glm-*"]\ninput = 1\noutput = 10\ncached = 0.1\ncache_write = 2\n')
    cost_usd = read_prices(path).cost_usd(None, "glm-5", USAGE)
    assert cost_usd == pytest.approx((300 * 1 + 600 * 0.1 + 100 * 2 + 100 * 10) / 1e6)


def test_what_is_cached_costs_as_input_unless_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[models."m"]\ninput = 1\noutput = 10\n')
    assert read_prices(path).cost_usd(None, "m", USAGE) == pytest.approx((1000 + 100 * 10) / 1e6)


@pytest.mark.parametrize(
    "text", ["[models.m]\ninput = 1", "models = 3", "[models.m]\ninput=-1\noutput=1", "["]
)
def test_a_table_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(InvalidFile, match="no table of prices"):
        read_prices(path)


def test_searches_and_long_caches_cost_extra(tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("[models]\n")
    prices = read_prices(tmp_path / "none.toml")
    plain = prices.cost_usd("anthropic", "claude-sonnet-4-5", Usage(1000, 0, 0, 100))
    hour = prices.cost_usd("anthropic", "claude-sonnet-4-5", Usage(1000, 0, 0, 100, 100))
    search = prices.cost_usd("anthropic", "claude-sonnet-4-5", Usage(1000, 0, 0, 100, searches=1))
    assert plain is not None and hour is not None and search is not None
    assert hour - plain == pytest.approx(100 * (6 - 3.75) / 1e6)
    assert search - plain == pytest.approx(0.01)
