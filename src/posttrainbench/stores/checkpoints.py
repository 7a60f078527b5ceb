"""Model folders read and written without torch: safetensors headers, tensor bytes, admitted copies.

Covered: headers are parsed here with every rule of the format (length, duplicate keys, dtype, shape x dtype =
bytes, no gap, no overlap, file size equal); files are opened without following links; copies are checked for
NaN and infinity on the very bytes that are written; memory stays at a few megabytes for models of any size.
Not covered: formats other than safetensors, which are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

import numpy as np
import numpy.typing as npt

from posttrainbench.auditing.weight_files import WEIGHTS, TensorFact, quoted
from posttrainbench.budget import GIB, MIB
from posttrainbench.digest import canonical_json, sha256_text
from posttrainbench.errors import Refused
from posttrainbench.stores.trees import open_regular

Floats = npt.NDArray[np.float32]

DTYPE_BYTES: Mapping[str, int] = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
# The bits of the exponent: all set means NaN or infinity.
_EXPONENT = {"BF16": ("<u2", 0x7F80), "F16": ("<u2", 0x7C00), "F32": ("<u4", 0x7F800000)}
_SMALLEST_HALF = 2.0**-14  # of float16's normal numbers
_MAX_HEADER_BYTES = 8 * MIB  # 40,000 tensors or so
_MAX_NAME = 512
_MAX_AXES = 8
_CHUNK_BYTES = 4 * MIB  # a multiple of every item size
_SHARD_BYTES = 4 * GIB


# --- headers ------------------------------------------------------------------------------------------------


def parse_header(header: bytes, file: str, data_bytes: int) -> tuple[TensorFact, ...]:
    """The tensors that a safetensors header declares, in order of their bytes.

    `header` is the JSON text without its length; `data_bytes` is what the file holds after it.

    Raises:
        Refused: a rule of the format does not hold; the text says which.
    """
    entries = _parse_json(header, file)
    facts = [
        _fact(name, entry, file, 8 + len(header)) for name, entry in entries.items() if name != "__metadata__"
    ]
    facts.sort(key=lambda fact: (fact.begin, fact.end, fact.name))
    _check_contiguous(facts, file, 8 + len(header), data_bytes)
    return tuple(facts)


def _parse_json(header: bytes, file: str) -> dict[str, object]:
    if not header.startswith(b"{"):
        _refuse(file, "its header is not a JSON object")
    try:
        parsed = json.loads(header, object_pairs_hook=_unique, parse_constant=_no_constant)
    except Refused as problem:
        _refuse(file, str(problem))
    except (ValueError, RecursionError, MemoryError):
        _refuse(file, "its header is not JSON")
    return cast(dict[str, object], parsed)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, value in pairs:
        if key in made:
            raise Refused(f"its header has the key {quoted(key)} twice")
        made[key] = value
    return made


def _no_constant(name: str) -> NoReturn:
    raise Refused(f"its header holds {name}")


def _fact(name: str, entry: object, file: str, base: int) -> TensorFact:
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        _refuse(file, f"a tensor has the name {quoted(name)}")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(file, f"the entry of {quoted(name)} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], _naturals(entry["shape"]), _naturals(entry["data_offsets"])
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        _refuse(file, f"{quoted(name)} has the unknown dtype {quoted(str(dtype))}")
    if shape is None or len(shape) > _MAX_AXES:
        _refuse(file, f"{quoted(name)} has the shape {quoted(str(entry['shape']))}")
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(file, f"{quoted(name)} has the data_offsets {quoted(str(entry['data_offsets']))}")
    begin, end = offsets
    wanted = math.prod(shape) * DTYPE_BYTES[dtype]
    if end - begin != wanted:
        _refuse(file, f"{quoted(name)} has {end - begin} bytes; its shape and dtype need {wanted}")
    return TensorFact(name, dtype, shape, file, base + begin, base + end)


def _naturals(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list):
        return None
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**48 for one in value):
        return None
    return tuple(value)


def _check_contiguous(facts: Sequence[TensorFact], file: str, start: int, data_bytes: int) -> None:
    """The tensors fill the file from `start` to its end: bytes that nobody declares could hold anything."""
    at = start
    for fact in facts:
        if fact.begin != at:
            what = "overlaps the tensor before it" if fact.begin < at else "leaves a gap before it"
            _refuse(file, f"{quoted(fact.name)} {what}")
        at = fact.end
    if at - start > data_bytes:
        _refuse(
            file, f"it holds {data_bytes} bytes of tensors, its header promises {at - start}: half-written?"
        )
    if at - start < data_bytes:
        _refuse(file, f"{data_bytes - (at - start)} bytes follow its last tensor")


def _refuse(file: str, what: str) -> NoReturn:
    raise Refused(
        f"{file} is not a sound safetensors file: {what}; save it again with model.save_pretrained(...)"
    )


def read_header(handle: BinaryIO, file: str) -> tuple[TensorFact, ...]:
    """The tensors of an open safetensors file.

    Raises:
        Refused: see `parse_header`.
    """
    size_bytes = os.fstat(handle.fileno()).st_size
    handle.seek(0)
    start = handle.read(8)
    if len(start) < 8:
        _refuse(file, f"it holds {size_bytes} bytes: half-written?")
    length = int.from_bytes(start, "little")
    if not 2 <= length <= _MAX_HEADER_BYTES:
        _refuse(file, f"its header would be {length} bytes long, expected 2 to {_MAX_HEADER_BYTES}")
    if 8 + length > size_bytes:
        _refuse(file, f"it holds {size_bytes} bytes, its header alone {8 + length}: half-written?")
    header = handle.read(length)
    if len(header) != length:
        _refuse(file, "it changed while it was read")
    return parse_header(header, file, size_bytes - 8 - length)


# --- tensors ------------------------------------------------------------------------------------------------


class Checkpoint:
    """The open safetensors files of one model folder: what they declare, and their bytes.

    The files stay open from the check to the copy, so that nobody can put others in their place between.
    """

    def __init__(self, handles: Mapping[str, BinaryIO]) -> None:
        self._handles = handles
        self.tensors = tuple(fact for file, handle in handles.items() for fact in read_header(handle, file))

    def chunks(self, fact: TensorFact) -> Iterator[bytes]:
        """A tensor's bytes, a few megabytes at a time.

        Raises:
            Refused: the file became shorter.
        """
        handle, at = self._handles[fact.file], fact.begin
        handle.seek(at)
        while at < fact.end:
            chunk = handle.read(min(_CHUNK_BYTES, fact.end - at))
            # A short read would shift the pieces of two models against each other: take whole chunks only.
            if len(chunk) != min(_CHUNK_BYTES, fact.end - at):
                _refuse(fact.file, "it became shorter while it was read")
            at += len(chunk)
            yield chunk

    def values(self, fact: TensorFact, count: int) -> Iterator[Floats]:
        """A tensor's values, flat, in pieces of `count` float32 values (the last one shorter)."""
        item_bytes = DTYPE_BYTES[fact.dtype]
        handle, at = self._handles[fact.file], fact.begin
        while at < fact.end:
            handle.seek(at)  # readers of two tensors may take turns
            wanted = min(count * item_bytes, fact.end - at)
            chunk = handle.read(wanted)
            if len(chunk) != wanted:
                _refuse(fact.file, "it became shorter while it was read")
            at += wanted
            yield as_float32(chunk, fact.dtype)

    def rows(self, fact: TensorFact, first: int, count: int) -> Floats:
        """`count` rows of a tensor from row `first` on, [count, columns]; see `extent`."""
        _, columns = extent(fact)
        row_bytes = columns * DTYPE_BYTES[fact.dtype]
        handle = self._handles[fact.file]
        handle.seek(fact.begin + first * row_bytes)
        raw = handle.read(count * row_bytes)
        if len(raw) != count * row_bytes:
            _refuse(fact.file, "it became shorter while it was read")
        return as_float32(raw, fact.dtype).reshape(count, columns)

    def same_values(self, one: TensorFact, other: TensorFact) -> bool:
        """Whether two tensors hold the same values, whatever their dtypes."""
        count = _CHUNK_BYTES // 4
        pairs = zip(self.values(one, count), self.values(other, count), strict=True)
        return one.shape == other.shape and all(np.array_equal(left, right) for left, right in pairs)


@contextmanager
def open_checkpoint(root: Path, relative: str, files: Sequence[str]) -> Iterator[Checkpoint]:
    """The named safetensors files of `root/relative`, opened without following links.

    Raises:
        Refused: one of them cannot be opened or is not sound.
    """
    with ExitStack() as stack:
        handles = {}
        for file in files:
            try:
                handles[file] = stack.enter_context(open_regular(root, f"{relative}/{file}"))
            except OSError as problem:
                raise Refused(f"{file} cannot be opened: {problem.strerror}") from problem
        yield Checkpoint(handles)


@contextmanager
def open_trusted(folder: Path) -> Iterator[Checkpoint]:
    """The weights of a folder of our own; links are followed, since a hub's cache is made of them.

    Raises:
        Refused: a file is not sound.
    """
    with ExitStack() as stack:
        yield Checkpoint(
            {file: stack.enter_context((folder / file).open("rb")) for file in weight_files(folder)}
        )


def weight_files(folder: Path) -> tuple[str, ...]:
    """The safetensors files of a folder of our own, in order; repositories hold others beside the model's."""
    whole = folder / WEIGHTS
    return (
        (WEIGHTS,)
        if whole.exists()
        else tuple(sorted(path.name for path in folder.glob("model-*.safetensors")))
    )


def as_float32(raw: bytes, dtype: str) -> Floats:
    """The values of raw little-endian tensor bytes.

    Raises:
        Refused: a dtype that is not a plain float.
    """
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return np.frombuffer(raw, "<f2").astype(np.float32)
    if dtype == "F32":
        return np.frombuffer(raw, "<f4")
    raise Refused(f"dtype {dtype} is not one of {', '.join(_EXPONENT)}")


def extent(fact: TensorFact) -> tuple[int, int]:
    """A tensor's rows and columns: its last axis makes the columns, a vector has one."""
    if len(fact.shape) < 2:
        return math.prod(fact.shape), 1
    return math.prod(fact.shape[:-1]), fact.shape[-1]


def rounded(values: Floats, dtype: str) -> Floats:
    """The values as a file of that dtype would hold them, to the nearest, ties to even."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(values).view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    return values


def value_digest(source: Checkpoint, fact: TensorFact, values: int) -> str:
    """64 hex digits over a tensor's first values, whatever the sharding and, in most cases, the dtype.

    Values are rounded to bfloat16, and what is too small for a half-precision float is taken for zero: so a
    bfloat16 model has the same digest as its copies in float32 and float16, and a float32 model the same as
    its copy in bfloat16. Not the same: a float32 model and its copy in float16, which rounds twice here.
    """
    digest = hashlib.sha256()
    left = values
    for piece in source.values(fact, _CHUNK_BYTES // 4):
        kept = rounded(piece[:left], "BF16")
        bits = (kept.view(np.uint32) >> 16).astype("<u2")
        bits[np.abs(kept) < _SMALLEST_HALF] = 0
        digest.update(bits.tobytes())
        left -= kept.size
        if not left:
            break
    return digest.hexdigest()


def first_not_finite(raw: bytes, dtype: str) -> int | None:
    """The position of the first NaN or infinity among raw tensor values, or None."""
    kind, mask = _EXPONENT[dtype]
    bad = (np.frombuffer(raw, kind) & mask) == mask
    return int(bad.argmax()) if bad.any() else None


# --- copies -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file to write: its name and its tensors, in the order of their bytes."""

    name: str
    facts: tuple[TensorFact, ...]


def write_admitted(
    source: Checkpoint, facts: Sequence[TensorFact], out: Path, shard_bytes: int = _SHARD_BYTES
) -> str:
    """Copies tensors into safetensors files in `out`; returns the digest over them (see `tensors_digest`).

    Raises:
        Refused: a tensor holds a NaN or an infinity, or its file changed meanwhile.
    """
    digests: dict[TensorFact, str] = {}
    shards = _shards(facts, shard_bytes)
    for shard in shards:
        digests |= _write_shard(source, shard, out / shard.name)
    if len(shards) > 1:
        total = sum(fact.end - fact.begin for fact in facts)
        weight_map = {fact.name: shard.name for shard in shards for fact in shard.facts}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / "model.safetensors.index.json").write_text(canonical_json(index), encoding="utf-8")
    return _digest_of(digests)


def tensors_digest(source: Checkpoint) -> str:
    """64 hex digits over names, dtypes, shapes and bytes of every tensor, whatever the sharding."""
    return _digest_of({fact: _sha256(source, fact) for fact in source.tensors})


def _sha256(source: Checkpoint, fact: TensorFact) -> str:
    digest = hashlib.sha256()
    for chunk in source.chunks(fact):
        digest.update(chunk)
    return digest.hexdigest()


def _digest_of(digests: Mapping[TensorFact, str]) -> str:
    rows = sorted((fact.name, fact.dtype, fact.shape, digest) for fact, digest in digests.items())
    return sha256_text(canonical_json(rows))


def _shards(facts: Sequence[TensorFact], shard_bytes: int) -> tuple[_Shard, ...]:
    """The tensors by name, in as many files as their bytes need; wide dtypes first, to align them all."""
    groups: list[list[TensorFact]] = [[]]
    filled = 0
    for fact in sorted(facts, key=lambda fact: fact.name):
        size = fact.end - fact.begin
        if groups[-1] and filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(fact)
        filled += size
    ordered = [
        tuple(sorted(group, key=lambda fact: (-DTYPE_BYTES[fact.dtype], fact.name))) for group in groups
    ]
    if len(ordered) == 1:
        return (_Shard("model.safetensors", ordered[0]),)
    return tuple(
        _Shard(f"model-{number:05d}-of-{len(ordered):05d}.safetensors", group)
        for number, group in enumerate(ordered, 1)
    )


def _write_shard(source: Checkpoint, shard: _Shard, path: Path) -> dict[TensorFact, str]:
    digests = {}
    with path.open("wb") as file:
        file.write(_header(shard.facts))
        for fact in shard.facts:
            digest, at = hashlib.sha256(), 0
            for chunk in source.chunks(fact):
                bad = first_not_finite(chunk, fact.dtype)
                if bad is not None:
                    where = at // DTYPE_BYTES[fact.dtype] + bad
                    raise Refused(
                        f"tensor {fact.name} holds a NaN or an infinity (value {where}); expected numbers"
                    )
                file.write(chunk)
                digest.update(chunk)
                at += len(chunk)
            digests[fact] = digest.hexdigest()
        file.flush()
        os.fsync(file.fileno())
    return digests


def _header(facts: Sequence[TensorFact]) -> bytes:
    """A safetensors header with its length, padded with blanks so that the tensors start aligned."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for fact in facts:
        size = fact.end - fact.begin
        entries[fact.name] = {"dtype": fact.dtype, "shape": list(fact.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
