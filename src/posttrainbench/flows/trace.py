"""Trace a final model's weights: open it beside its base and known siblings, report what they share."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from posttrainbench.auditing import lineage
from posttrainbench.auditing.weight_files import TensorFact
from posttrainbench.digest import sha256_text
from posttrainbench.finding import CheckReport
from posttrainbench.stores.adapters import Adapter, is_adapter, open_adapter
from posttrainbench.stores.checkpoints import (
    Checkpoint,
    extent,
    open_trusted,
    rounded,
    value_digest,
)
from posttrainbench.stores.files import write_atomic

Floats = npt.NDArray[np.float32]

BLOCK_VALUES = 64 * 1024
BLOCKS = 4  # of a large tensor; cosines over a quarter of a million values are sure to a few thousandths
_BASE = "the base model"


@dataclass(frozen=True, slots=True)
class Model:
    """An open model folder: its tensors by name, and rows of them."""

    source: Checkpoint
    facts: Mapping[str, TensorFact]

    @classmethod
    def of(cls, source: Checkpoint) -> Model:
        return cls(source, {fact.name: fact for fact in source.tensors})

    def has(self, fact: TensorFact) -> bool:
        """Whether it has a tensor that begins with the same rows."""
        own = self.facts.get(fact.name)
        return own is not None and own.shape[1:] == fact.shape[1:] and own.shape[:1] >= fact.shape[:1]

    def rows(self, fact: TensorFact, first: int, count: int) -> Floats:
        return self.source.rows(self.facts[fact.name], first, count)


@dataclass(frozen=True, slots=True)
class Adapted:
    """The base model with an adapter added."""

    base: Model
    adapter: Adapter

    def has(self, fact: TensorFact) -> bool:
        return self.adapter.has(fact.name)

    def rows(self, fact: TensorFact, first: int, count: int) -> Floats:
        return self.base.rows(fact, first, count) + self.adapter.rows(fact.name, first, count)


Sibling = Model | Adapted


def trace(
    final_model: Path, base_model: Path, known: Sequence[tuple[str, Path]], digest: str, out: Path
) -> CheckReport:
    """The report on a final model's weights; `out` gets a row per tensor.

    Args:
        known: (hub id, folder) of the siblings: models, or adapters on the base.
        digest: of the final model; it decides which blocks of large tensors are looked at.
    """
    with ExitStack() as stack:
        final = Model.of(stack.enter_context(open_trusted(final_model)))
        base = Model.of(stack.enter_context(open_trusted(base_model)))
        siblings = [_opened(folder, base, stack) for _, folder in known]
        names = [name for name, _ in known]
        facts = [fact for fact in base.source.tensors if final.has(fact)]  # but for a tied output layer
        tensors = lineage.measure(_blocks(facts, final, base, siblings, digest))
        lines = (json.dumps(row) + "\n" for row in lineage.rows_of(tensors, names))
        write_atomic(out, "".join(lines))
        models: dict[str | None, Sibling] = {None: base, **dict(zip(names, siblings, strict=True))}
        alike = [
            name
            for number, name in enumerate([None, *names])
            if lineage.looks_equal(tensors, number - 1 if number else None)
        ]
        return lineage.check_lineage(
            tensors,
            names,
            _proven(facts, final, {name: models[name] for name in alike}),
            _likenesses(lineage.foreign(tensors), facts, final, models),
        )


def _opened(folder: Path, base: Model, stack: ExitStack) -> Sibling:
    if is_adapter(folder):
        return Adapted(base, stack.enter_context(open_adapter(folder)))
    return Model.of(stack.enter_context(open_trusted(folder)))


def _blocks(
    facts: Sequence[TensorFact], final: Model, base: Model, siblings: Sequence[Sibling], digest: str
) -> Iterator[lineage.Block]:
    """The rows that are looked at, in all models."""
    for fact in facts:
        dtype = final.facts[fact.name].dtype
        places, share = _places(fact, digest)
        for first, count in places:
            yield lineage.Block(
                fact.name,
                share,
                rounded(base.rows(fact, first, count), dtype),
                final.rows(fact, first, count),
                tuple(
                    rounded(sibling.rows(fact, first, count), dtype) if sibling.has(fact) else None
                    for sibling in siblings
                ),
            )


def _places(fact: TensorFact, digest: str) -> tuple[list[tuple[int, int]], float]:
    """(first row, rows) of the blocks to look at, and how many values each of theirs stands for.

    Nobody can foresee them: to learn where to hide something, one would have to know the digest of the
    weights that hold it.
    """
    rows, columns = extent(fact)
    height = max(1, BLOCK_VALUES // columns)
    firsts = range(0, rows, height)
    chosen: Sequence[int] = firsts
    if len(firsts) > BLOCKS:
        chosen = sorted(random.Random(f"{digest}/{fact.name}").sample(firsts, BLOCKS))
    places = [(first, min(height, rows - first)) for first in chosen]
    looked_at = sum(count for _, count in places)
    return places, rows / looked_at if looked_at else 1.0


def _proven(
    facts: Sequence[TensorFact], final: Model, candidates: Mapping[str | None, Sibling]
) -> dict[str | None, str]:
    """The candidates whose digest over all values is the final model's, with that digest."""
    whole = {name: model for name, model in candidates.items() if isinstance(model, Model)}
    if not whole:
        return {}
    own = _digest(facts, final)
    return {name: own for name, model in whole.items() if _digest(facts, model) == own}


def _digest(facts: Sequence[TensorFact], model: Model) -> str:
    """64 hex digits over the values that a model has in common with the base; see `value_digest`."""
    rows = [
        (fact.name, fact.shape, value_digest(model.source, model.facts[fact.name], int(np.prod(fact.shape))))
        for fact in facts
        if model.has(fact)
    ]
    return sha256_text(json.dumps(sorted(rows)))


def _likenesses(
    foreign: Sequence[str], facts: Sequence[TensorFact], final: Model, models: Mapping[str | None, Sibling]
) -> list[lineage.Likeness]:
    """Of the farthest foreign matrices, how near each model's sorted norms are."""
    by_name = {fact.name: fact for fact in facts}
    matrices = [by_name[name] for name in foreign if len(by_name[name].shape) > 1]
    return [_likeness(fact, final, models) for fact in matrices[: lineage.SHOWN]]


def _likeness(fact: TensorFact, final: Model, models: Mapping[str | None, Sibling]) -> lineage.Likeness:
    own = _norms(fact, final.rows)
    near = [
        (name or _BASE, own.distance(_norms(fact, model.rows)))
        for name, model in models.items()
        if model.has(fact)
    ]
    return lineage.Likeness(fact.name, tuple(near))


def _norms(fact: TensorFact, read: Callable[[TensorFact, int, int], Floats]) -> lineage.Norms:
    rows, columns = extent(fact)
    height = max(1, BLOCK_VALUES // columns)
    return lineage.Norms.of(read(fact, first, min(height, rows - first)) for first in range(0, rows, height))
