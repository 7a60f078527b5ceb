"""safetensors read by our own rules, and written so that others read the same."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from safetensors.numpy import load_file, save_file

from posttrainbench.errors import Refused
from posttrainbench.stores.checkpoints import (
    as_float32,
    first_not_finite,
    open_checkpoint,
    parse_header,
    tensors_digest,
    weight_files,
    write_admitted,
)


def saved(folder: Path, held: dict[str, np.ndarray], name: str = "model.safetensors") -> Path:
    folder.mkdir(exist_ok=True)
    save_file(held, folder / name)
    return folder


def opened(folder: Path):
    return open_checkpoint(folder.parent, folder.name, weight_files(folder))


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def parsed(header: object, data_bytes: int) -> list[str]:
    return [fact.name for fact in parse_header(json.dumps(header).encode(), "file", data_bytes)]


ONE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TWO = np.arange(5, dtype=np.float16)


def test_what_others_write_is_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", {"one": ONE, "two": TWO, "empty": np.zeros((0, 3), np.float32)})
    with opened(folder) as source:
        facts = {fact.name: fact for fact in source.tensors}
        assert (facts["one"].shape, facts["two"].dtype) == ((2, 3, 4), "F16")
        pieces = list(source.values(facts["one"], 5))
        assert [piece.size for piece in pieces] == [5, 5, 5, 5, 4]
        assert np.array_equal(np.concatenate(pieces), ONE.ravel())
        assert list(source.chunks(facts["empty"])) == []


@pytest.mark.parametrize("shard_bytes", [1, 50, 10**9])
def test_what_we_write_is_read_by_others(shard_bytes: int, tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", {"b": ONE, "a": TWO, "c": np.zeros((0,), np.float32)})
    out = tmp_path / "out"
    out.mkdir()
    with opened(folder) as source:
        digest = write_admitted(source, source.tensors, out, shard_bytes)
        assert digest == tensors_digest(source)
    read = {name: array for file in weight_files(out) for name, array in load_file(out / file).items()}
    assert np.array_equal(read["b"], ONE)
    assert np.array_equal(read["a"], TWO)
    with opened(out) as copy:
        assert tensors_digest(copy) == digest
    if shard_bytes < 10**9:
        index = json.loads((out / "model.safetensors.index.json").read_text())
        assert set(index["weight_map"]) == {"a", "b", "c"}


def test_the_digest_sees_names_shapes_dtypes_and_bytes(tmp_path: Path) -> None:
    variants = [{"a": ONE}, {"b": ONE}, {"a": ONE.reshape(6, 4)}, {"a": ONE + 1}, {"a": ONE.view(np.int32)}]
    digests = set()
    for number, held in enumerate(variants):
        with opened(saved(tmp_path / str(number), held)) as source:
            digests.add(tensors_digest(source))
    assert len(digests) == len(variants)


def test_the_digest_is_independent_of_sharding(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", {"a": ONE, "b": TWO})
    split = saved(tmp_path / "split", {"b": TWO}, "model-00001-of-00002.safetensors")
    saved(split, {"a": ONE}, "model-00002-of-00002.safetensors")
    with opened(whole) as left, opened(split) as right:
        assert tensors_digest(left) == tensors_digest(right)


def test_values_are_compared_whatever_their_dtype(tmp_path: Path) -> None:
    exact = TWO.astype(np.float32)
    with opened(
        saved(tmp_path / "m", {"a": TWO, "b": exact, "c": exact + 1, "d": exact.reshape(5, 1)})
    ) as source:
        a, b, c, d = (next(fact for fact in source.tensors if fact.name == name) for name in "abcd")
        assert source.same_values(a, b)
        assert not source.same_values(a, c)
        assert not source.same_values(a, d)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model", {"a": np.zeros(10**6, np.float32)})
    with opened(folder) as source:
        (folder / "model.safetensors").write_bytes(b"")
        with pytest.raises(Refused, match="shorter while it was read"):
            tensors_digest(source)


def test_bf16_is_the_upper_half_of_float32() -> None:
    values = np.array([1.0, -2.5, 0.0, 3e38], dtype=np.float32)
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    assert np.allclose(as_float32(raw, "BF16"), values, rtol=0.01)


def test_integers_are_no_weights() -> None:
    with pytest.raises(Refused):
        as_float32(b"12", "I8")


@pytest.mark.parametrize("dtype,kind", [("F16", np.float16), ("F32", np.float32)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(dtype: str, kind: type, bad: float) -> None:
    values = np.array([0, -1, np.finfo(kind).max, bad], dtype=kind)
    assert first_not_finite(values.tobytes(), dtype) == 3
    assert first_not_finite(values[:3].tobytes(), dtype) is None


SOUND = {"a": entry([2], 0, 8), "b": entry([], 8, 12), "__metadata__": {"format": "pt"}}


def test_a_sound_header_is_read() -> None:
    assert parsed(SOUND, 12) == ["a", "b"]


@pytest.mark.parametrize(
    "header,data_bytes,why",
    [
        (SOUND, 11, "half-written"),
        (SOUND, 13, "follow its last tensor"),
        ({"a": entry([2], 4, 12)}, 12, "leaves a gap"),
        ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12, "overlaps"),
        ({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, 8, "overlaps"),
        ({"a": entry([3], 0, 8)}, 8, "need 12"),
        ({"a": entry([2], 8, 0)}, 8, "data_offsets"),
        ({"a": entry([2], -8, 0)}, 8, "data_offsets"),
        ({"a": entry([-2], 0, 8)}, 8, "the shape"),
        ({"a": entry([2**40, 2**40], 0, 8)}, 8, "need"),
        ({"a": entry([1] * 9, 0, 4)}, 4, "the shape"),
        ({"a": entry([2.0], 0, 8)}, 8, "the shape"),
        ({"a": entry([True], 0, 4)}, 4, "the shape"),
        ({"a": entry([2], 0, 8, "F33")}, 8, "unknown dtype"),
        ({"a": {**entry([2], 0, 8), "more": 1}}, 8, "is not dtype, shape and data_offsets"),
        ({"a": [1]}, 0, "is not dtype, shape and data_offsets"),
        ({"": entry([2], 0, 8)}, 8, "has the name"),
        ({"a\nb": entry([2], 0, 8)}, 8, "has the name"),
        ({"\ud800": entry([2], 0, 8)}, 8, "has the name"),
        ({"a" * 600: entry([2], 0, 8)}, 8, "has the name"),
        ([], 0, "not a JSON object"),
        ({"a": float("nan")}, 0, "holds NaN"),
    ],
)
def test_every_rule_of_the_format_is_held(header: object, data_bytes: int, why: str) -> None:
    with pytest.raises(Refused, match=why) as refusal:
        parsed(header, data_bytes)
    assert len(str(refusal.value)) < 500


def test_a_repeated_key_is_refused() -> None:
    with pytest.raises(Refused, match="'dtype' twice"):
        parse_header(b'{"a":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}', "file", 1)


def is_refused_or_read(header: bytes, data_bytes: int) -> None:
    try:
        facts = parse_header(header, "file", data_bytes)
    except Refused as refusal:
        assert len(str(refusal)) < 1000
    else:
        assert sum(fact.end - fact.begin for fact in facts) == data_bytes


@given(some.binary(max_size=200), some.integers(0, 100))
def test_any_bytes_are_read_or_refused(header: bytes, data_bytes: int) -> None:
    is_refused_or_read(header, data_bytes)


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_ENTRY = some.fixed_dictionaries(
    {
        "dtype": some.sampled_from(["F32", "BF16", "U8", "X", ""]),
        "shape": some.lists(some.integers(-1, 4), max_size=3) | _JSON,
        "data_offsets": some.lists(some.integers(-1, 40), min_size=2, max_size=2) | _JSON,
    }
)


@given(some.dictionaries(some.text(max_size=3), _ENTRY | _JSON, max_size=4), some.integers(0, 80))
def test_any_header_is_read_or_refused(header: dict[str, object], data_bytes: int) -> None:
    is_refused_or_read(json.dumps(header).encode(), data_bytes)


@given(some.binary(max_size=100))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    import tempfile  # function-scoped fixtures and hypothesis do not mix

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "model.safetensors").write_bytes(content)
        try:
            with open_checkpoint(Path(name), "", ["model.safetensors"]) as source:
                tensors_digest(source)
        except Refused:
            pass


def test_lengths_that_lie_are_refused(tmp_path: Path) -> None:
    for number, length in enumerate((0, 1, 100, 2**40, 2**64 - 1)):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        with pytest.raises(Refused), open_checkpoint(tmp_path, "", [path.name]):
            pass
