"""Text of unknown origin, made safe to show: nothing in it can move a cursor, hide, or reorder what is read.

Covered: control characters and escape sequences, text-direction and other invisible characters, private-use
and unpaired code points, line breaks, length. Not covered: letters that merely look like others.
Markup is another matter: each format escapes its own (`rich.text.Text` interprets none).
"""

from __future__ import annotations

from posttrainbench.auditing.exposing import unhidden


def visible(text: str, length: int = 200) -> str:
    """The text on one line with hidden characters written out (`\\x1b`), cut to `length` with an ellipsis."""
    shown = unhidden(text[: length + 1])
    return shown if len(text) <= length and len(shown) <= length else shown[: length - 1] + "…"
