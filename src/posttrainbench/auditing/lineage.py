"""Where a final model's weights come from, as far as geometry can tell.

What is compared, tensor by tensor, is how far the final model moved from its base, and whether a known
sibling (an instruct model, a published adapter on the base) moved the same way. docs/lineage.md says with
figures what separates; in short:

- a digest of the values, whatever their sharding and number format, proves a verbatim copy;
- tensors in which every value is the sibling's, or zero, are copies (whole, in part, pruned);
- a cosine above .99 between both movements is a merge, or a copy at another precision;
- a low cosine with the base's own values is permuted or foreign weights, and sorted norms of rows and
  columns, which no permutation changes, tell whose.

What does not separate: a sibling that was trained further or noised (cosine .79 and .90) from an honest model
that was trained on data like the sibling's (.94). No threshold parts these, so none is drawn here: for them
the download ledger (`egress`) carries the weight.

Pure, and in constant memory: tensors come in blocks of rows. Large tensors are looked at in blocks that
nobody can foresee, drawn by the final model's own digest; a verbatim copy is proven by digests of all values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

from posttrainbench.auditing.verdict import report
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength

Floats = npt.NDArray[np.float32]

CHECK = "lineage"
MERGE_COSINE = 0.99  # of movements; honest .97 at most, merges above .99
# Of a tensor with the base model's. Honest fine-tuning of the tiny models left every tensor above .88 and all
# weights together at .96; permuted and foreign tensors lie near 0.
FOREIGN_COSINE = 0.5
SHARE = 0.1  # of the weights that a finding must concern: one small odd tensor is not a lineage
TAKEN = 64  # values of a tensor that moved to exactly the sibling's: fewer may be chance in coarse formats
SAME_NORMS = 0.02  # relative distance of sorted norms: copies lie below .001, other models' above .1
_SKETCH = 16  # columns of the sketch that ranks are estimated from
SHOWN = 3
_PRODUCT_VALUES = 8 * 1024  # larger products wake the linear algebra's threads: a loss on a busy machine


@dataclass(frozen=True, slots=True)
class Block:
    """The same rows of one tensor in every model, [rows, columns]; a sibling without that tensor has None.

    Base and siblings come rounded to the final model's number format: a copy at that precision is then equal.
    """

    tensor: str
    weight: float  # how many of the tensor's values each value of the block stands for
    base: Floats
    final: Floats
    siblings: tuple[Floats | None, ...]


# --- measures -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Beside:
    """One tensor of the final model beside a sibling's, in sums over the values looked at."""

    sibling_moved: float = 0.0  # squared length of the sibling's movement
    both_moved: float = 0.0  # inner product of both movements
    equal: bool = True
    equal_or_zero: bool = True
    taken: int = 0  # values that are the sibling's and not the base's

    @property
    def is_copy(self) -> bool:
        """Whether all of it is the sibling's, zeros aside."""
        return self.equal_or_zero and self.taken >= TAKEN


@dataclass(slots=True)
class TensorMeasure:
    """One tensor of the final model beside the base's: sums over the values looked at."""

    values: float = 0.0  # in the whole tensor
    looked_at: int = 0
    base: float = 0.0  # squared lengths
    final: float = 0.0
    both: float = 0.0  # inner product
    moved: float = 0.0  # squared length of the difference
    unchanged: int = 0
    zeroed: int = 0  # zero now, not zero in the base
    beside: list[Beside | None] = field(default_factory=list)
    _sketch: npt.NDArray[np.float64] | None = None  # [_SKETCH, _SKETCH]

    def add(self, block: Block) -> None:
        base, final = block.base.ravel(), block.final.ravel()
        change = final - base
        self.values += block.weight * base.size
        self.looked_at += base.size
        self.base += float(base @ base)
        self.final += float(final @ final)
        self.both += float(base @ final)
        self.moved += float(change @ change)
        stayed = change == 0
        self.unchanged += int(np.count_nonzero(stayed))
        zero = final == 0
        self.zeroed += int(np.count_nonzero(zero & ~stayed))
        self._add_to_sketch(change.reshape(block.base.shape))
        if not self.beside:
            self.beside = [None if other is None else Beside() for other in block.siblings]
        for beside, other in zip(self.beside, block.siblings, strict=True):
            if beside is not None and other is not None:
                _add_beside(beside, other.ravel(), base, final, change, stayed, zero)

    def _add_to_sketch(self, change: Floats) -> None:
        directions = _directions(change.shape[1])
        height = max(1, _PRODUCT_VALUES // change.shape[1])
        parts = [change[at : at + height] @ directions for at in range(0, len(change), height)]
        projected = np.concatenate(parts)
        product = (projected.T @ projected).astype(np.float64)
        self._sketch = product if self._sketch is None else self._sketch + product

    @property
    def cosine(self) -> float | None:
        """With the base's values; None where one of the two is zero."""
        return _cosine(self.both, self.base, self.final)

    @property
    def relative_norm(self) -> float | None:
        """How far it moved, in lengths of the base's."""
        return math.sqrt(self.moved / self.base) if self.base else None

    @property
    def effective_rank(self) -> float | None:
        """(sum of squared singular values)^2 / sum of their fourth powers of the movement; None without one.

        An estimate, good to a factor of two: (u' M' M v)^2 for random signs u and v has the mean of the
        denominator.
        """
        if self._sketch is None or not self.moved:
            return None
        apart = self._sketch[~np.eye(_SKETCH, dtype=bool)]
        fourth = float(np.mean(apart**2))
        return self.moved**2 / fourth if fourth else None

    def movement_cosine(self, sibling: int) -> float | None:
        """Of both movements; None where one of them is zero or the sibling has no such tensor."""
        beside = self.beside[sibling]
        return None if beside is None else _cosine(beside.both_moved, self.moved, beside.sibling_moved)


def _add_beside(
    beside: Beside,
    other: Floats,
    base: Floats,
    final: Floats,
    change: Floats,
    stayed: npt.NDArray[np.bool_],
    zero: npt.NDArray[np.bool_],
) -> None:
    moved = other - base
    beside.sibling_moved += float(moved @ moved)
    beside.both_moved += float(moved @ change)
    if beside.equal_or_zero:
        same = final == other
        beside.equal = beside.equal and bool(same.all())
        beside.equal_or_zero = beside.equal or bool((same | zero).all())
        beside.taken += int(np.count_nonzero(same & ~stayed))


@cache
def _directions(columns: int) -> Floats:
    """Random signs, [columns, _SKETCH], the same for every block of that width."""
    drawn = np.random.default_rng(columns).integers(0, 2, (columns, _SKETCH), dtype=np.int8)
    return (2 * drawn - 1).astype(np.float32)


def _cosine(both: float, left: float, right: float) -> float | None:
    length = math.sqrt(left) * math.sqrt(right)
    return both / length if length else None


Measures = Mapping[str, TensorMeasure]


def measure(blocks: Iterable[Block]) -> dict[str, TensorMeasure]:
    """What the blocks come to, by tensor."""
    tensors: dict[str, TensorMeasure] = {}
    for block in blocks:
        tensors.setdefault(block.tensor, TensorMeasure()).add(block)
    return tensors


def foreign(tensors: Measures) -> tuple[str, ...]:
    """The tensors that point elsewhere than the base's, farthest first; none if they are a small part."""
    # A tensor that is all zeros in the base model (a bias, say) has no direction to keep.
    far = {
        n: one.cosine or 0.0
        for n, one in tensors.items()
        if one.base and (one.cosine or 0.0) < FOREIGN_COSINE
    }
    return tuple(sorted(far, key=far.__getitem__)) if _share(tensors, far) >= SHARE else ()


def looks_equal(tensors: Measures, sibling: int | None) -> bool:
    """Whether no value looked at differs from the sibling's, or (None) from the base's."""
    if sibling is None:
        return all(one.moved == 0 for one in tensors.values())
    beside = [one.beside[sibling] for one in tensors.values()]
    shared = sum(one.values for one in tensors.values() if one.beside[sibling] is not None)
    # A sibling that shares only a few tensors says nothing: half of the weights must have been compared.
    return 2 * shared >= _values(tensors) and all(one.equal for one in beside if one is not None)


def _share(tensors: Measures, names: Iterable[str]) -> float:
    return sum(tensors[name].values for name in names) / (_values(tensors) or 1.0)


def _values(tensors: Measures) -> float:
    return sum(one.values for one in tensors.values())


# --- norms that no permutation changes ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Norms:
    """The norms of a tensor's rows and of its columns, each sorted: no permutation of either changes them."""

    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]

    @classmethod
    def of(cls, blocks: Iterable[Floats]) -> Norms:
        """Of a tensor that comes in blocks of rows."""
        rows: list[npt.NDArray[np.float64]] = []
        columns: npt.NDArray[np.float64] | None = None
        for block in blocks:
            squares = np.square(block, dtype=np.float64)
            rows.append(squares.sum(axis=1))
            here = squares.sum(axis=0)
            columns = here if columns is None else columns + here
        flat = np.concatenate(rows) if rows else np.zeros(0)
        return cls(np.sort(np.sqrt(flat)), np.sort(np.sqrt(columns if columns is not None else flat)))

    def distance(self, other: Norms) -> float:
        """The larger of both relative distances; infinite between different shapes."""
        return max(_distance(self.rows, other.rows), _distance(self.columns, other.columns))


def _distance(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float:
    if left.shape != right.shape:
        return math.inf
    length = float(np.linalg.norm(right))
    return float(np.linalg.norm(left - right)) / length if length else math.inf


# --- the report ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Likeness:
    """A tensor whose direction is not the base's, and how near each model's sorted norms are to its own."""

    tensor: str
    distances: tuple[tuple[str, float], ...]  # by model


def check_lineage(
    tensors: Measures,
    siblings: Sequence[str],
    equal: Mapping[str | None, str],
    likenesses: Sequence[Likeness] = (),
) -> CheckReport:
    """The report on a final model's weights beside its base model's and the named siblings'.

    Args:
        equal: of the models (None: the base) whose digests of all values are the final model's: that digest.
        likenesses: of the tensors that are `foreign`.
    """
    findings = [*_beside_base(tensors, equal.get(None), likenesses)]
    if not looks_equal(tensors, None):
        for number, name in enumerate(siblings):
            findings += _beside_sibling(number, name, tensors, equal.get(name))
    compared = [
        name
        for number, name in enumerate(siblings)
        if any(one.beside[number] is not None for one in tensors.values())
    ]
    looked_at = sum(one.looked_at for one in tensors.values()) / (_values(tensors) or 1.0)
    covered = (
        f"covered {len(tensors)} tensors beside the base model and {', '.join(compared) or 'no sibling'}"
    )
    part = "" if looked_at > 0.999 else f", {looked_at:.1%} of their values"
    return report(CHECK, covered + part, findings)


def _beside_base(tensors: Measures, digest: str | None, likenesses: Sequence[Likeness]) -> list[Finding]:
    if looks_equal(tensors, None):
        if digest is None:
            return [Finding(CHECK, Strength.NOTE, "no value looked at differs from the base model's")]
        evidence = Evidence("base model", f"values {digest[:16]}", "the digest of all values is the same")
        return [
            Finding(CHECK, Strength.NOTE, "untouched base: every weight is the base model's", (evidence,))
        ]
    findings = []
    far = foreign(tensors)
    if far:
        findings.append(_foreign(tensors, far, likenesses))
    zeroed = sum(one.zeroed / one.looked_at * one.values for one in tensors.values()) / _values(tensors)
    if zeroed >= SHARE:
        findings.append(
            Finding(CHECK, Strength.NOTE, f"pruned: {zeroed:.0%} of the weights were set to zero")
        )
    return findings


def _foreign(tensors: Measures, far: Sequence[str], likenesses: Sequence[Likeness]) -> Finding:
    alike = {like.tensor: _nearest(like) for like in likenesses}
    evidence = tuple(
        Evidence(
            name,
            "weights",
            f"cosine {tensors[name].cosine or 0.0:.3f} with the base model's{alike.get(name, ('', ''))[1]}",
        )
        for name in far[:SHOWN]
    )
    owners = {owner for owner, _ in alike.values() if owner}
    whose = f"; permuted from {', '.join(sorted(owners))}" if owners else "; of no known model"
    summary = (
        f"foreign or permuted weights: {_share(tensors, far):.0%} of them lie in tensors whose cosine with "
        f"the base model's is below {FOREIGN_COSINE}{whose if likenesses else ''}"
    )
    return Finding(CHECK, Strength.DISQUALIFYING, summary, evidence)


def _nearest(like: Likeness) -> tuple[str, str]:
    """(the model whose sorted norms these are, or "", and the words for it)."""
    if not like.distances:
        return "", ""
    name, distance = min(like.distances, key=lambda one: one[1])
    words = f"; its sorted norms are nearest to {name}'s, {distance:.4f} off"
    return (name if distance < SAME_NORMS else ""), words


def _beside_sibling(number: int, name: str, tensors: Measures, digest: str | None) -> list[Finding]:
    if digest is not None:
        evidence = Evidence(name, f"values {digest[:16]}", "the digest of all values is the same")
        return [Finding(CHECK, Strength.DISQUALIFYING, f"the weights are those of {name}", (evidence,))]
    moved = {n: one for n, one in tensors.items() if (b := one.beside[number]) and b.sibling_moved > 0}
    # An adapter moves few tensors; a sibling that shares only few of those that moved says nothing.
    if _share(tensors, moved) < SHARE:
        return []
    return _copied(number, name, moved) or _merged(number, name, moved)


def _copied(number: int, name: str, moved: Measures) -> list[Finding]:
    """Tensors taken over as they are, zeros aside."""
    copies = [n for n, one in moved.items() if (b := one.beside[number]) and b.is_copy]
    share = _share(moved, copies)
    if share < SHARE:
        return []
    pruned = any(moved[n].zeroed for n in copies)
    largest = sorted(copies, key=lambda n: -moved[n].values)[:SHOWN]
    evidence = tuple(
        Evidence(
            n, "weights", f"all {moved[n].looked_at} values looked at are {name}'s" + (" or zero" * pruned)
        )
        for n in largest
    )
    what = "pruned copies" if pruned else "copies"
    summary = f"{share:.0%} of the weights that {name} changed are {what} of its own"
    return [Finding(CHECK, Strength.DISQUALIFYING, summary, evidence)]


def _merged(number: int, name: str, moved: Measures) -> list[Finding]:
    """Movements in the sibling's direction: all of them together, or those of many tensors each."""
    besides = [(one.moved, beside) for one in moved.values() if (beside := one.beside[number])]
    cosine = _cosine(
        sum(beside.both_moved for _, beside in besides),
        sum(length for length, _ in besides),
        sum(beside.sibling_moved for _, beside in besides),
    )
    along = [n for n, one in moved.items() if (one.movement_cosine(number) or 0.0) > MERGE_COSINE]
    share = _share(moved, along)
    if (cosine or 0.0) <= MERGE_COSINE and share < SHARE:
        return []
    detail = (
        f"cosine {cosine or 0.0:.4f} between both models' differences from the base; above {MERGE_COSINE} in "
        f"tensors that hold {share:.0%} of the weights, expected in none"
    )
    summary = f"a merge with {name}, or a near copy of it"
    return [Finding(CHECK, Strength.DISQUALIFYING, summary, (Evidence(name, "all tensors", detail),))]


def rows_of(tensors: Measures, siblings: Sequence[str]) -> list[dict[str, object]]:
    """Every tensor's movement, as rows for a file: who doubts a finding can look at each."""
    return [
        {
            "tensor": name,
            "values": round(one.values),
            "looked_at": one.looked_at,
            "cosine": _short(one.cosine),
            "relative_norm": _short(one.relative_norm),
            "effective_rank": _short(one.effective_rank),
            "unchanged": _short(one.unchanged / one.looked_at),
            "zeroed": _short(one.zeroed / one.looked_at),
            "movement_cosines": {
                sibling: _short(one.movement_cosine(number)) for number, sibling in enumerate(siblings)
            },
        }
        for name, one in tensors.items()
    ]


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
