"""Where a final model's weights come from, as far as geometry can tell.

What separates, measured on tiny models (one seed; the red-team suite's trial): equal values catch verbatim
copies; a cosine above .99 between the final model's and a sibling's difference from the base catches merges
and copies at another precision; a low cosine to the base catches permuted and foreign weights. What does not:
an honest model trained on instruct-like data had a cosine of .94 with the instruct model's difference, a
noised instruct model .90, a further tuned one .79. No threshold parts these, so none is drawn here: for them
the download ledger (`egress`) carries the weight.

Pure, and in constant memory: tensors come in pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from posttrainbench.auditing.verdict import report
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength

Floats = npt.NDArray[np.float32]

CHECK = "lineage"
MERGE_COSINE = 0.99  # of differences from the base; honest .94 at most, merges above .99
# Of a tensor with the base model's. Honest fine-tuning of the tiny models (60 s, learning rate 2e-3) left
# every tensor above .88 and all weights together at .96; permuted and foreign tensors lie near 0.
FOREIGN_COSINE = 0.5
FOREIGN_SHARE = 0.1  # of all weights: permuting one kind of layer is enough, one small odd tensor is not


@dataclass(frozen=True, slots=True)
class Piece:
    """The same stretch of one tensor in every model, flat; a sibling without that tensor has None."""

    tensor: str
    final: Floats
    base: Floats
    siblings: tuple[Floats | None, ...]


@dataclass(slots=True)
class _Products:
    """Sums of products of two vectors that come in pieces."""

    left: float = 0.0
    right: float = 0.0
    both: float = 0.0
    equal: bool = True
    compared: int = 0

    def add(self, left: Floats, right: Floats) -> None:
        wide_left, wide_right = left.astype(np.float64), right.astype(np.float64)
        self.left += float(wide_left @ wide_left)
        self.right += float(wide_right @ wide_right)
        self.both += float(wide_left @ wide_right)
        self.equal = self.equal and bool(np.array_equal(left, right))
        self.compared += left.size

    @property
    def cosine(self) -> float | None:
        """None when one of the vectors is zero."""
        length = math.sqrt(self.left) * math.sqrt(self.right)
        return self.both / length if length else None


def check_lineage(pieces: Iterable[Piece], siblings: Sequence[str]) -> CheckReport:
    """The report on a final model's weights beside its base model's and the named siblings'."""
    weights = _Products()
    same = [_Products() for _ in siblings]
    moved = [_Products() for _ in siblings]
    tensors: dict[str, _Products] = {}
    for piece in pieces:
        weights.add(piece.final, piece.base)
        tensors.setdefault(piece.tensor, _Products()).add(piece.final, piece.base)
        change = piece.final - piece.base
        for number, other in enumerate(piece.siblings):
            if other is not None:
                same[number].add(piece.final, other)
                moved[number].add(change, other - piece.base)
    findings = [*_beside_base(weights, tensors)]
    for number, name in enumerate(siblings):
        findings += _beside_sibling(name, weights, same[number], moved[number])
    compared = [name for name, products in zip(siblings, same, strict=True) if products.compared]
    covered = (
        f"covered {len(tensors)} tensors beside the base model and {', '.join(compared) or 'no sibling'}"
    )
    return report(CHECK, covered, findings)


def _beside_base(weights: _Products, tensors: dict[str, _Products]) -> list[Finding]:
    if weights.equal:
        return [Finding(CHECK, Strength.NOTE, "untouched base: every weight is the base model's")]
    # A tensor that is all zeros in the base model (a bias, say) has no direction to keep.
    foreign = {n: one for n, one in tensors.items() if one.right and (one.cosine or 0.0) < FOREIGN_COSINE}
    share = sum(one.compared for one in foreign.values()) / weights.compared
    if share < FOREIGN_SHARE:
        return []
    farthest = sorted(foreign.items(), key=lambda item: item[1].cosine or 0.0)[:3]
    evidence = tuple(
        Evidence(name, "weights", f"cosine {one.cosine or 0.0:.3f} with the base model's")
        for name, one in farthest
    )
    summary = (
        f"foreign or permuted weights: {share:.0%} of them lie in tensors whose cosine with the base model's "
        f"is below {FOREIGN_COSINE}"
    )
    return [Finding(CHECK, Strength.DISQUALIFYING, summary, evidence)]


def _beside_sibling(name: str, weights: _Products, same: _Products, moved: _Products) -> list[Finding]:
    # A sibling that shares only a few tensors says nothing: half of the weights must have been compared.
    if same.compared * 2 < weights.compared or weights.equal:
        return []
    if same.equal:
        evidence = (Evidence(name, "all tensors", f"{same.compared} values are equal"),)
        return [Finding(CHECK, Strength.DISQUALIFYING, f"the weights are those of {name}", evidence)]
    cosine = moved.cosine
    if cosine is None or cosine <= MERGE_COSINE:
        return []
    detail = (
        f"cosine {cosine:.4f} between both models' differences from the base, expected below {MERGE_COSINE}"
    )
    summary = f"a merge with {name}, or a near copy of it"
    return [Finding(CHECK, Strength.DISQUALIFYING, summary, (Evidence(name, "all tensors", detail),))]
