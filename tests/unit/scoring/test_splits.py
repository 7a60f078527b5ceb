"""Splits: stable, disjoint, about a third, and blind to order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.errors import UnknownName
from posttrainbench.scoring.splits import select, split_of

IDS = st.lists(st.text(max_size=12), unique=True, max_size=40)


@given(IDS)
def test_dev_and_sealed_together_are_the_test_set_and_share_nothing(ids: list[str]) -> None:
    dev, sealed = (select("made_up", ids, str, split) for split in ("dev", "sealed"))
    assert not set(dev) & set(sealed)
    assert sorted(dev + sealed) == sorted(select("made_up", ids, str, "test")) == sorted(ids)


@given(IDS)
def test_the_order_of_the_rows_moves_no_item(ids: list[str]) -> None:
    assert set(select("made_up", ids, str, "dev")) == set(select("made_up", ids[::-1], str, "dev"))


def test_about_a_third_is_dev() -> None:
    dev = select("made_up", range(3000), str, "dev")
    assert 900 < len(dev) < 1100


def test_the_rule_is_frozen() -> None:
    """A score on sealed items means nothing when the rule moves between versions."""
    dev, sealed = "dev", "sealed"
    assert [split_of("made_up", str(n)) for n in range(6)] == [dev, sealed, sealed, dev, sealed, sealed]
    assert [split_of("other", str(n)) for n in range(6)] == [sealed, sealed, sealed, dev, dev, sealed]


def test_train_rows_are_not_chosen_from_the_test_set() -> None:
    with pytest.raises(UnknownName, match="split"):
        select("made_up", ("1",), str, "train")
