"""Admit: a final model -> a folder that may be loaded, or the reason why nothing may.

Covered: nothing that the agent wrote makes this raise, hang or read outside its folder; only checked tensor
bytes, tokens and numbers reach the admitted folder, the rest is the base model's; it appears whole or not
at all.
Not covered: what the weights compute, and where they come from (the audits look at that).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from posttrainbench.auditing.admission import BaseManifest, FinalTexts, JsonObject, Plan, plan_admission
from posttrainbench.auditing.vocabulary import AddedToken, vocabulary_of
from posttrainbench.auditing.weight_files import check_index, choose_weights
from posttrainbench.budget import MIB
from posttrainbench.errors import InvalidFile, Refused
from posttrainbench.record import Admitted, FileFact
from posttrainbench.stores.checkpoints import Checkpoint, open_checkpoint, open_trusted, write_admitted
from posttrainbench.stores.trees import Caps, read_text, scan

_CONFIG_BYTES = 4 * MIB
_MAX_ENTRIES = 10_000
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", "tokenizer.model",
)  # fmt: skip
_TORCH_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def admit(final_model: Path, base: Path, out: Path, chat_template: str) -> Admitted:
    """As `admit_from`, for a folder whose parents are ours."""
    return admit_from(final_model.parent, final_model.name, base, out, chat_template)


def admit_from(root: Path, relative: str, base: Path, out: Path, chat_template: str) -> Admitted:
    """What may be loaded of the model at `root/relative`, written to `out`; or why nothing may.

    Args:
        root: a folder of ours (an agent's workspace, say).
        relative: a path below it that an agent chose; links on the way are not followed.
        base: the base model's folder, trusted.
        out: made anew; it is there only when the model was admitted.
        chat_template: what the admitted tokenizer will hold, whatever the agent's holds.
    """
    partial = out.with_name(f"{out.name}.partial")
    for left in (out, partial):  # of an earlier try
        shutil.rmtree(left, ignore_errors=True)
    try:
        listing = _listing(root, relative)
        if not listing:
            return Admitted("absent", f"{_shown(relative)} is missing or empty", None)
        digest, notes = _write(root, relative, listing, base, partial, chat_template)
    except Refused as refusal:
        shutil.rmtree(partial, ignore_errors=True)
        return Admitted("refused", _one_line(str(refusal)), None)
    partial.rename(out)
    return Admitted("admitted", "", digest, tuple(_one_line(note) for note in notes))


def _listing(root: Path, relative: str) -> tuple[FileFact, ...]:
    """Every entry of the folder; none when it is not there."""
    try:
        listing = tuple(scan(root, relative, Caps(entries=_MAX_ENTRIES), digests=False))
    except FileNotFoundError:
        return ()
    except OSError as problem:
        raise Refused(
            f"{_shown(relative)} {problem.strerror}; expected a folder inside the workspace"
        ) from problem
    if len(listing) > _MAX_ENTRIES:
        raise Refused(
            f"{_shown(relative)} holds more than {_MAX_ENTRIES} files; expected the files of one model"
        )
    return listing


def _write(
    root: Path, relative: str, listing: Sequence[FileFact], base: Path, out: Path, chat_template: str
) -> tuple[str, tuple[str, ...]]:
    """Writes the admitted model; returns its digest and the notes."""
    weights = choose_weights(listing)
    manifest = base_manifest(base)
    with open_checkpoint(root, relative, weights.files) as source:
        if weights.index:
            check_index(_json(root, f"{relative}/{weights.index}", _CONFIG_BYTES), source.tensors)
        texts = _final_texts(root, relative, base)
        plan = plan_admission(weights, source.tensors, texts, manifest)
        _check_equal(source, plan)
        out.mkdir(parents=True)
        digest = write_admitted(source, plan.tensors, out)
    _write_config(plan, manifest, out)
    _write_generation(plan, manifest, out)
    _write_tokenizer(plan.added_tokens, base, chat_template, out)
    return digest, plan.notes


def _check_equal(source: Checkpoint, plan: Plan) -> None:
    for copy, original in plan.equal:
        if not source.same_values(copy, original):
            raise Refused(
                f"{copy.name} differs from {original.name}, and the base model ties them; "
                "expected equal values, or only the embedding"
            )


# --- reading ------------------------------------------------------------------------------------------------


def base_manifest(base: Path) -> BaseManifest:
    """What a final model must look like: the base model's tensors, configuration and tokens.

    Raises:
        InvalidFile: the base model's folder is not complete.
    """
    config = _trusted_json(base / "config.json")
    vocabulary = vocabulary_of(_trusted_json(base / "tokenizer.json"))
    if not isinstance(config, Mapping) or vocabulary is None:
        raise InvalidFile(f"{base} is no base model: config.json or tokenizer.json is missing or unreadable")
    generation = _trusted_json(base / "generation_config.json")
    try:
        with open_trusted(base) as source:
            tensors = {fact.name: fact for fact in source.tensors}
    except Refused as problem:
        raise InvalidFile(f"{base} is no base model: {problem}") from problem
    if not tensors:
        raise InvalidFile(f"{base} is no base model: it holds no safetensors weights")
    # Some repositories store the output layer although it is tied; what an agent saves then leaves it out.
    tied = "lm_head.weight" not in tensors or config.get("tie_word_embeddings") is True
    if tied:
        tensors.pop("lm_head.weight", None)
    return BaseManifest(
        tensors, config, generation if isinstance(generation, Mapping) else {}, vocabulary, tied
    )


def _final_texts(root: Path, relative: str, base: Path) -> FinalTexts:
    # A few added tokens do not double a tokenizer, and hostile JSON takes thirty times its size in memory.
    tokenizer_bytes = 2 * (base / "tokenizer.json").stat().st_size + 1 * MIB
    config = _json(root, f"{relative}/config.json", _CONFIG_BYTES)
    generation = _json(root, f"{relative}/generation_config.json", _CONFIG_BYTES)
    return FinalTexts(
        config if isinstance(config, Mapping) else None,
        generation if isinstance(generation, Mapping) else None,
        vocabulary_of(_json(root, f"{relative}/tokenizer.json", tokenizer_bytes)),
    )


def _json(root: Path, relative: str, cap_bytes: int) -> object:
    """The parsed file, or None when there is none that could be read as JSON."""
    try:
        parsed: object = json.loads(read_text(root, relative, cap_bytes))
    except (OSError, ValueError, RecursionError, MemoryError):
        return None
    return parsed


def _trusted_json(path: Path) -> object:
    """The parsed file of ours, or None; links are followed, since a hub's cache is made of them."""
    try:
        parsed: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return parsed


def _shown(relative: str) -> str:
    return ascii(relative) if len(relative) <= 80 else ascii(relative[:80]) + "..."


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- writing ------------------------------------------------------------------------------------------------


def _write_config(plan: Plan, base: BaseManifest, out: Path) -> None:
    """The base model's config.json, but for what follows from the admitted tensors."""
    config = {key: value for key, value in base.config.items() if key not in ("auto_map", "torch_dtype")}
    config["dtype"] = _TORCH_NAMES[plan.dtype]
    if "vocab_size" in config:
        config["vocab_size"] = plan.rows
    _dump(out / "config.json", config)


def _write_generation(plan: Plan, base: BaseManifest, out: Path) -> None:
    """The base model's generation settings, overlaid with the admitted ones."""
    settings: dict[str, object] = {**base.generation, **plan.generation}
    ends = settings.get("eos_token_id")
    if isinstance(ends, tuple):
        settings["eos_token_id"] = ends[0] if len(ends) == 1 else list(ends)
    if settings.get("temperature") == 0:  # what people write for greedy; loaders want it said like this
        settings |= {"do_sample": False, "temperature": 1.0}
    _dump(out / "generation_config.json", settings)


def _write_tokenizer(added: Sequence[AddedToken], base: Path, chat_template: str, out: Path) -> None:
    """The base model's tokenizer with the suite's template and the tokens that were added."""
    for name in _TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, out / name)
    settings_path = out / "tokenizer_config.json"
    if settings_path.is_file():
        settings = _read_object(settings_path)
        _dump(
            settings_path,
            {key: settings[key] for key in settings if key not in ("chat_template", "auto_map")},
        )
    (out / "chat_template.jinja").write_text(chat_template, encoding="utf-8")
    if added:
        tokenizer = dict(_read_object(out / "tokenizer.json"))
        before = tokenizer.get("added_tokens")
        tokenizer["added_tokens"] = [*(before if isinstance(before, list) else []), *map(_entry, added)]
        _dump(out / "tokenizer.json", tokenizer)


def _entry(token: AddedToken) -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token.id, "content": token.content, **flags, "special": token.special}


def _read_object(path: Path) -> JsonObject:
    parsed = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(parsed, dict):
        raise InvalidFile(f"{path} does not hold a JSON object")
    return parsed


def _dump(path: Path, value: Mapping[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
