"""What a sample records when it got fewer tokens than its task allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LOWERED = "lowered_max_tokens"  # in an output's metadata: a token limit that could not be kept, and why
DEFAULT_MAX_TOKENS = 1024  # where a task sets no limit
LEAST_TOKENS = 16  # a limit below this is no answer to anything


@dataclass(frozen=True, slots=True)
class Lowered:
    """A token limit that could not be kept: what was asked, what was given, and for want of what."""

    asked: int
    given: int
    why: Literal["context", "memory"]
