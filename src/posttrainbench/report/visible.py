"""Text of unknown origin, made safe to show: nothing in it can move a cursor, hide, or reorder what is read.

Covered: control characters and escape sequences, text-direction and other invisible characters, private-use
and unpaired code points, line breaks, length. Not covered: letters that merely look like others.
Markup is another matter: each format escapes its own (`rich.text.Text` interprets none).
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me"})
_STACK = 3  # combining marks on one letter; more of them climb over other lines


def visible(text: str, length: int = 200) -> str:
    """The text on one line with hidden characters written out (`\\x1b`), cut to `length` with an ellipsis."""
    shown = "".join(_shown_characters(text[: length + 1]))
    return shown if len(text) <= length and len(shown) <= length else shown[: length - 1] + "…"


def _shown_characters(text: str) -> list[str]:
    shown: list[str] = []
    stacked = 0
    for character in text:
        category = unicodedata.category(character)
        stacked = stacked + 1 if category in _COMBINING else 0
        if category in _HIDDEN:
            shown.append(_written_out(character))
        elif stacked <= _STACK:
            shown.append(" " if category == "Zs" else character)
    return shown


def _written_out(character: str) -> str:
    if character in "\n\t":
        return {"\n": "\\n", "\t": "\\t"}[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
