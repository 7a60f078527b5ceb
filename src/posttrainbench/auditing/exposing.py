"""Text of an agent, quoted so that a reader cannot take it for anything else.

Every quoted line begins with a bar, and blocks end with a mark that was drawn after the agent had stopped: no
text can end its block or begin another. What hides or misleads is written out: control, direction and
zero-width characters, letters of other scripts that look like Latin ones within a Latin word.
Covered: all that a terminal or an LLM would read differently from what a person sees. Not covered: words that
mean harm; text wholly in letters of another script.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from posttrainbench.auditing.words import looks_latin
from posttrainbench.judgement import Block

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_COMBINING = frozenset({"Mn", "Me"})
_STACK = 3  # combining marks on one letter; more of them climb over other lines
BAR = "| "
LINE_CHARACTERS = 2000
_WORD = re.compile(r"\w+")
_BREAKS = re.compile("\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")


def unhidden(text: str) -> str:
    """The text with every hidden character, line breaks too, written out (`\\x1b`)."""
    shown: list[str] = []
    stacked = 0
    for character in text:
        category = unicodedata.category(character)
        stacked = stacked + 1 if category in _COMBINING else 0
        if category in _HIDDEN:
            shown.append(_written_out(character))
        elif stacked <= _STACK:
            shown.append(" " if category == "Zs" else character)
    return "".join(shown)


def _written_out(character: str) -> str:
    if character in "\n\t":
        return {"\n": "\\n", "\t": "\\t"}[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def exposed(line: str) -> str:
    """One line with everything written out that hides or misleads, cut when it is very long."""
    cut = line[: LINE_CHARACTERS + 1]
    if not (cut.isascii() and cut.isprintable()):
        cut = unhidden(_WORD.sub(lambda word: _told_apart(word[0]), cut.replace("\t", "    ")))
    return cut if len(line) <= LINE_CHARACTERS else f"{cut[:LINE_CHARACTERS]} [cut: {len(line)} characters]"


def _told_apart(word: str) -> str:
    """A word with its look-alikes written out, if they pretend to be Latin."""
    if word.isascii() or not any(character.isascii() and character.isalpha() for character in word):
        return word
    return "".join(_written_out(one) if looks_latin(one) else one for one in word)


def exposed_lines(text: str) -> list[str]:
    """A text's lines, each exposed."""
    return [exposed(line) for line in _BREAKS.split(text)]


def quoted(blocks: Sequence[Block], mark: str) -> str:
    """The blocks one after the other, numbered from B1, each line barred, each end marked."""
    return "\n".join(_quoted(block, number, mark) for number, block in enumerate(blocks, 1))


def _quoted(block: Block, number: int, mark: str) -> str:
    whose = "the agent's" if block.by_agent else "the harness's; names in it may be the agent's"
    lines = [f"=== B{number} {mark} ({block.title}; {whose})", f"{BAR}from: {exposed(block.source)}"]
    lines += [BAR + line for line in exposed_lines(block.text)]
    return "\n".join([*lines, f"=== end of B{number} {mark}", ""])
