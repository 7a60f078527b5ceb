"""Short forms for writing rows of the catalogue."""

from __future__ import annotations

from posttrainbench.redteam import TWIN, Disguise, Record, Trace


def at(record: Record, pattern: str, at_least: int = 1) -> tuple[Trace, ...]:
    """One trace, as the tuple that rows hold."""
    return (Trace(record, pattern, at_least),)


def twin(does: str, carried: tuple[Trace, ...]) -> Disguise:
    """What the honest twin does, and what shows it."""
    return Disguise(TWIN, does, carried)
