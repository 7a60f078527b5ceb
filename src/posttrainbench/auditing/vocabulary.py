"""What a tokenizer.json says of its tokens, and which of those that an agent added are kept.

Covered: added tokens that look like special ones, numbered on from the base model's; changes to tokens that
were there are dropped. Not covered: merges, normalisers and vocabularies, which are the base model's anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAX_ADDED = 64
# New tokens look like <pad> or [PAD]: a plain word added as a token would change how every prompt is cut.
_TOKEN_SHAPE = re.compile(r"[<\[][^\s<>\[\]]{1,30}[>\]]")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that a tokenizer has beyond its vocabulary."""

    id: int
    content: str
    special: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a tokenizer.json says of its tokens."""

    size: int  # the largest id + 1
    added: tuple[AddedToken, ...]
    contents: frozenset[str]


def vocabulary_of(tokenizer: object) -> Vocabulary | None:
    """What a parsed tokenizer.json says of its tokens; None when it does not have that form."""
    if not isinstance(tokenizer, Mapping):
        return None
    model, entries = tokenizer.get("model"), tokenizer.get("added_tokens")
    vocab = model.get("vocab") if isinstance(model, Mapping) else None
    ids = _ids(vocab)
    if ids is None or not isinstance(entries, list):
        return None
    added = [_added_token(entry) for entry in entries]
    tokens = tuple(token for token in added if token is not None)
    if len(tokens) != len(entries):
        return None
    size = max([*ids.values(), *(token.id for token in tokens)], default=-1) + 1
    return Vocabulary(size, tokens, frozenset(ids) | {token.content for token in tokens})


def _ids(vocab: object) -> dict[str, int] | None:
    """Token -> id, of the two forms that a vocabulary has: an object, or a list of [token, score]."""
    if isinstance(vocab, Mapping):
        return {str(key): value for key, value in vocab.items() if is_id(value)}
    if isinstance(vocab, list) and all(isinstance(row, list) and row for row in vocab):
        return {str(row[0]): number for number, row in enumerate(vocab)}
    return None


def is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _added_token(entry: object) -> AddedToken | None:
    if not isinstance(entry, Mapping):
        return None
    number, content = entry.get("id"), entry.get("content")
    if not isinstance(number, int) or not is_id(number) or not isinstance(content, str):
        return None
    return AddedToken(number, content, entry.get("special") is True)


def new_tokens(final: Vocabulary | None, base: Vocabulary) -> tuple[tuple[AddedToken, ...], tuple[str, ...]]:
    """The tokens that may be added to the base tokenizer, and what was left out."""
    if final is None:
        return (), ("tokenizer.json is missing or unreadable: re-emitted from the base model",)
    notes = []
    known = {token.content: token.id for token in base.added}
    moved = [token for token in final.added if known.get(token.content, token.id) != token.id]
    gone = known.keys() - {token.content for token in final.added}
    if moved or gone:
        notes.append("changes to the base tokenizer's own special tokens were dropped")
    fresh = sorted((t for t in final.added if t.content not in base.contents), key=lambda token: token.id)
    kept: list[AddedToken] = []
    for token in fresh[:MAX_ADDED]:
        # Ids must follow on without a gap: a loader numbers added tokens by itself.
        if token.id == base.size + len(kept) and _TOKEN_SHAPE.fullmatch(token.content):
            kept.append(token)
    if len(kept) < len(fresh):
        notes.append(
            f"{len(fresh) - len(kept)} added tokens were dropped: kept are those like <pad>, ids in order"
        )
    return tuple(kept), tuple(notes)
