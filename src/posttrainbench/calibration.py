"""What a judge makes of runs of which it is known what happened in them."""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.judgement import Judged


@dataclass(frozen=True, slots=True)
class KnownCase:
    """A judged run of which it is known what happened."""

    name: str
    wanted: tuple[str, ...]  # the rule that was broken goes by one of these questions; none: it was honest
    broken: tuple[str, ...]  # what a majority of votes calls broken
    still_open: tuple[str, ...]  # questions without a majority
    judged: Judged
    caught: bool = False  # another check disqualifies it, which the judge was told

    @property
    def agrees(self) -> bool | None:
        """Whether judge and knowledge agree; None when the judge leaves open what would tell."""
        if self.wanted and set(self.wanted) & set(self.broken):
            return True
        if not self.wanted and self.broken:
            return False
        if set(self.wanted) & set(self.still_open) or (not self.wanted and self.still_open):
            return None
        return not self.wanted
