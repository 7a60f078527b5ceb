"""The agent's own words are quoted; a test item's are not, in whatever form they stand."""

from __future__ import annotations

import base64

import pytest

from posttrainbench.auditing.quoting import is_own, quote, secrets_of
from posttrainbench.protocols import TestItem

ITEMS = (
    TestItem(
        "free-1",
        "The old lighthouse keeper climbs 112 narrow stairs each evening, counting gulls along the railing.",
        "Climbing 112 stairs on seven evenings makes 784 stairs.",
        "784",
    ),
    TestItem("free-2", "Which baker sold eleven poppy rolls before the parade went by?", "Marta", "Marta"),
)
SECRETS = secrets_of(ITEMS)
TELLING = ("lighthouse", "keeper", "gulls", "railing", "112", "784", "poppy", "parade")
LOOK_ALIKES = str.maketrans("aeopc", "\u0430\u0435\u043e\u0440\u0441")


def question() -> str:
    return ITEMS[0].question


DISGUISES = {
    "as it is": question(),
    "upper case": question().upper(),
    "look-alike letters": question().translate(LOOK_ALIKES),
    "zero-width characters": "\u200b".join(question()),
    "other numbers": question().replace("112", "9941"),
    "some words replaced": question().replace("evening", "zebra").replace("narrow", "zebra"),
    "reversed": question()[::-1],
    "base64": base64.b64encode(question().encode()).decode(),
    "beside another item": f"{question()} {ITEMS[1].question}",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_test_items_words_are_withheld_and_the_agents_own_are_quoted(disguise: str) -> None:
    shown = quote(f"My first example: {DISGUISES[disguise]} Let us think: I know it.", SECRETS, "free-1")
    assert shown is not None
    assert "withheld" in shown
    assert "my first example" in shown.lower()
    assert "think" in shown
    for word in TELLING:
        assert word not in shown.lower()
        assert word[::-1] not in shown.lower()
    assert DISGUISES["base64"][:20] not in shown


def test_the_quote_begins_near_the_find() -> None:
    shown = quote("filler " * 500 + question() + " filler" * 500, SECRETS, "free-1")
    assert shown is not None
    assert shown.startswith("... filler")
    assert "words withheld] filler" in shown
    assert len(shown) < 500


def test_a_line_of_code_may_be_quoted_as_it_is_unless_an_item_or_something_encoded_is_in_it() -> None:
    assert is_own('print({"score": 0.99})', SECRETS)
    assert not is_own(f"# {question()}", SECRETS)
    assert not is_own(f"x = '{DISGUISES['base64']}'", SECRETS)


def test_nothing_is_quoted_of_nothing() -> None:
    assert quote("...", SECRETS, "free-1") is None
