"""Each key's line is found, whatever TOML it is written in."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.suites.lines import key_lines, line_of

TEXT = '''# a comment = 1
name = "x"  # name = 2

[budget]
wall_s = 60
"odd key" = 'a # b'
a.b.c = 1

[[models]]
id = "first"
note = """
id = "not a key"
[models]
a \\""" quote"""

[[models]]
id = "second"
[models.limits]
pids = 3
[[models.tags]]
t = 1
[[models.tags]]
t = 2

[deep.er]
list = [
  1,  # one
  [2, 3],
  { x = 1, y = "}" },
]
table = { p = 1, q = { r = 2 } }
last = true'''

EXPECTED = {
    ("name",): 2,
    ("budget",): 4,
    ("budget", "wall_s"): 5,
    ("budget", "odd key"): 6,
    ("budget", "a", "b", "c"): 7,
    ("models", 0): 9,
    ("models", 0, "id"): 10,
    ("models", 0, "note"): 11,
    ("models", 1): 16,
    ("models", 1, "id"): 17,
    ("models", 1, "limits"): 18,
    ("models", 1, "limits", "pids"): 19,
    ("models", 1, "tags", 0, "t"): 21,
    ("models", 1, "tags", 1): 22,
    ("models", 1, "tags", 1, "t"): 23,
    ("deep", "er"): 25,
    ("deep", "er", "list"): 26,
    ("deep", "er", "list", 0): 27,
    ("deep", "er", "list", 1, 1): 28,
    ("deep", "er", "list", 2, "y"): 29,
    ("deep", "er", "table", "q", "r"): 31,
    ("deep", "er", "last"): 32,
}


@pytest.mark.parametrize(("path", "line"), EXPECTED.items())
def test_a_key_is_found_on_its_line(path, line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_line_ends_of_other_systems_count_once() -> None:
    assert key_lines("a = 1\r\n\r\nb = 2\r\n")["b",] == 3


def test_a_key_that_is_not_there_is_placed_at_its_table() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("budget", "gpus")) == 4
    assert line_of(lines, ("models", 1, "revision")) == 16
    assert line_of(lines, ("nowhere",)) == 1


def paths(value: object, before: tuple = ()) -> set[tuple]:
    """Every path of a parsed document."""
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    found = {before} if before else set()
    return found.union(*(paths(child, (*before, key)) for key, child in children))


KEY = st.text("abcdef", min_size=1, max_size=3)
SCALAR = st.sampled_from(
    ["1", "-2.5", "true", "1979-05-27T07:32:00Z", "'a # b = ]'", '"q\\" }"', '"""m\nn"""']
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ",\n".join(items) + " ] "),
        st.dictionaries(KEY, inner, max_size=2).map(
            lambda pairs: "{ " + ", ".join(f"{k} = {v}" for k, v in pairs.items()) + " }"
        ),
    ),
    max_leaves=6,
)


@given(st.dictionaries(KEY, VALUE, max_size=4), st.lists(st.dictionaries(KEY, VALUE, max_size=3), max_size=3))
def test_every_key_of_a_valid_text_is_found(top: dict[str, str], rows: list[dict[str, str]]) -> None:
    blocks = [top, *rows]
    text = "\n[[zz]]\n".join("\n".join(f"{k} = {v}" for k, v in block.items()) for block in blocks)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # not TOML: inline tables may not hold line ends
    lines = key_lines(text)
    assert paths(document) <= set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
