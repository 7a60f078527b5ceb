"""Which files of a final model hold its weights, and what an index must say of them.

Pure: it sees the folder's listing and the headers' tensors. Covered: foreign formats, links and odd files in
the weights' place, half-written models, adapters alone, an index that names other tensors than its shards
hold. Not covered: the tensors themselves (see `admission`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from posttrainbench.errors import Refused
from posttrainbench.record import FileFact

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SAVE = "save as safetensors: model.save_pretrained('final_model')"

_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_FOREIGN = (".bin", ".pt", ".pth", ".ckpt", ".gguf", ".pkl", ".pickle", ".h5", ".msgpack", ".onnx")
_READ = frozenset({"config.json", "generation_config.json", "tokenizer.json", INDEX})
_RE_EMITTED = _READ | {
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model", "vocab.txt", "chat_template.jinja", "chat_template.json", "preprocessor_config.json",
    "processor_config.json",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorFact:
    """One tensor of a safetensors file; it lies in the file's bytes from `begin` to `end`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Weights:
    """Which files of a folder hold the weights."""

    files: tuple[str, ...]
    index: str | None  # the index file that must agree with them
    notes: tuple[str, ...] = ()


def quoted(text: str, length: int = 80) -> str:
    """A text of the agent's, safe and short enough to stand in a sentence of ours."""
    return repr(text if len(text) <= length else text[:length] + "...")


def choose_weights(listing: Sequence[FileFact]) -> Weights:
    """The weight files that transformers would load from this folder.

    Raises:
        Refused: there are none, or something that is not a regular file stands in their place.
    """
    top = {fact.path: fact for fact in listing if "/" not in fact.path}
    _check_kinds(top.values())
    dropped = _dropped_notes(listing)
    if WEIGHTS in top:
        stale = [name for name in top if _SHARD.fullmatch(name)]
        also = [f"{len(stale)} more shards lie beside {WEIGHTS}: not read"] if stale else []
        return Weights((WEIGHTS,), None, (*dropped, *also))
    shards = sorted(name for name in top if _SHARD.fullmatch(name))
    if not shards:
        _refuse_without_weights(listing, top)
    _check_all_there(shards)
    if INDEX not in top:
        return Weights(tuple(shards), None, (*dropped, f"{INDEX} is missing: read all shards"))
    return Weights(tuple(shards), INDEX, dropped)


def _check_kinds(entries: Iterable[FileFact]) -> None:
    for fact in entries:
        wanted = fact.path in _RE_EMITTED or fact.path == WEIGHTS or _SHARD.fullmatch(fact.path)
        if wanted and fact.kind != "file":
            raise Refused(
                f"{fact.path} is not a regular file ({quoted(fact.note)}); expected a copy of the file itself"
            )


def _check_all_there(shards: Sequence[str]) -> None:
    totals = {name[-17:-12] for name in shards}
    if len(totals) > 1:
        raise Refused(
            f"half-written: shards of {len(totals)} different savings lie together; expected those of one"
        )
    total = int(totals.pop())
    if len(shards) != total or [int(name[6:11]) for name in shards] != list(range(1, total + 1)):
        raise Refused(f"half-written: {len(shards)} of {total} shards are there; expected all of them")


def _refuse_without_weights(listing: Sequence[FileFact], top: Mapping[str, FileFact]) -> NoReturn:
    if any(name.startswith("adapter_") for name in top):
        raise Refused(
            "found an adapter without its base model; expected whole weights: "
            "model.merge_and_unload().save_pretrained('final_model')"
        )
    if INDEX in top:
        raise Refused(f"half-written: {INDEX} is there but none of its shards; expected all of them")
    foreign = sorted(name for name in top if name.lower().endswith(_FOREIGN))
    if foreign:
        raise Refused(
            f"found {quoted(foreign[0])}, a format that can run code or that we do not read; {SAVE}"
        )
    other = sorted(name for name in top if name.endswith(".safetensors"))
    if other:
        raise Refused(f"found {quoted(other[0])}; expected the name {WEIGHTS}: {SAVE}")
    below = sorted(fact.path for fact in listing if fact.path.endswith("/" + WEIGHTS))
    if below:
        raise Refused(f"the weights lie in {quoted(below[0])}; expected them directly in the folder itself")
    raise Refused(f"found {len(top)} files but no weights; {SAVE}")


def _dropped_notes(listing: Sequence[FileFact]) -> tuple[str, ...]:
    notes = []
    code = [fact.path for fact in listing if fact.path.endswith(".py")]
    if code:
        notes.append(f"dropped code: {some(code)}")
    known = [
        fact
        for fact in listing
        if fact.path in _RE_EMITTED or fact.path == WEIGHTS or _SHARD.fullmatch(fact.path)
    ]
    names = {fact.path for fact in known} | set(code)
    rest = [fact.path for fact in listing if fact.path not in names]
    if rest:
        notes.append(f"dropped, not on the list of what is read: {some(rest)}")
    linked = [fact.path for fact in known if fact.note.startswith("hard link")]
    if linked:
        notes.append(f"hard links, copied by content: {some(linked)}")
    return tuple(notes)


def some(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(quoted(name) for name in sorted(names)[:shown]) + more


def check_index(index: object, tensors: Sequence[TensorFact]) -> None:
    """Nothing, when an index file names exactly the tensors that the shards hold.

    Raises:
        Refused: it does not.
    """
    entries = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(entries, Mapping):
        raise Refused(f"{INDEX} holds no weight_map; {SAVE}")
    held = {fact.name: fact.file for fact in tensors}
    for name, file in entries.items():
        if held.get(str(name)) != file:
            raise Refused(
                f"half-written: {INDEX} looks for {quoted(str(name))} in {quoted(str(file))}, which has none"
            )
    missing = sorted(held.keys() - entries.keys())
    if missing:
        raise Refused(f"{INDEX} does not name {quoted(missing[0])}, which its shards hold; {SAVE}")
