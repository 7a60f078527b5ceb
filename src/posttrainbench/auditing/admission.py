"""Which parts of a final model may be loaded: an allow-list, not a scanner.

Pure: it sees the tensors' names, shapes and dtypes, and what three JSON files say, beside the same of the
base model, and comes to a plan or a refusal. Which files are read at all is in `weight_files`, which added
tokens are kept in `vocabulary`.

Covered: tensors that are not the base model's, embedding rows beyond the tokens that were added, quantised
weights, adapters that were not merged, generation settings out of range.
All else that the agent wrote (configuration, tokenizer, template, code) never reaches the plan.
Not covered: what the weights compute; that they came from the base model (see `lineage`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from posttrainbench.auditing.vocabulary import MAX_ADDED, AddedToken, Vocabulary, is_id, new_tokens
from posttrainbench.auditing.weight_files import TensorFact, Weights, quoted, some
from posttrainbench.errors import Refused

JsonObject = Mapping[str, object]
Setting = int | float | bool | tuple[int, ...]

ADMITTED_DTYPES = ("BF16", "F16", "F32")
QUANTISED_DTYPES = ("I8", "U8", "I4", "U4", "F4", "F8_E4M3", "F8_E5M2", "F8_E8M0")
MAX_END_TOKENS = 8

_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.01, 1.0),
    "top_k": (0, 1000),
    "repetition_penalty": (0.5, 2.0),
}


@dataclass(frozen=True, slots=True)
class BaseManifest:
    """What an admitted model must look like. `tied`: the output layer is the embedding."""

    tensors: Mapping[str, TensorFact]
    config: JsonObject
    generation: JsonObject
    vocabulary: Vocabulary
    tied: bool


@dataclass(frozen=True, slots=True)
class FinalTexts:
    """The JSON files of a final model as far as they could be read; None: absent or unreadable."""

    config: JsonObject | None = None
    generation: JsonObject | None = None
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How the admitted model is made."""

    tensors: tuple[TensorFact, ...]  # to copy, in order of name
    equal: tuple[tuple[TensorFact, TensorFact], ...]  # dropped, if the first equals the second
    rows: int  # of the embedding
    dtype: str  # of most values
    added_tokens: tuple[AddedToken, ...] = ()
    generation: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# --- what is copied -----------------------------------------------------------------------------------------


def plan_admission(
    weights: Weights, tensors: Sequence[TensorFact], final: FinalTexts, base: BaseManifest
) -> Plan:
    """How to make the admitted model out of these tensors.

    Raises:
        Refused: they are not the base model's, in name, shape or dtype.
    """
    found = _by_name(tensors)
    _check_not_quantised(found, final.config)
    found, equal = _without_tied_copy(found, base)
    tokens, token_notes = new_tokens(final.vocabulary, base.vocabulary)
    rows = _check_shapes(found, base, tokens)
    tokens = tuple(token for token in tokens if token.id < rows)  # a token without a row cannot be read
    dtype, dtype_notes = _dtype(found.values())
    settings, setting_notes = generation_settings(final.generation, rows)
    notes = [
        *weights.notes,
        *_config_notes(final.config, base.config),
        *token_notes,
        *dtype_notes,
        *setting_notes,
    ]
    if equal:
        notes.append(f"dropped {equal[0][0].name}: the base model ties it to {equal[0][1].name}")
    if rows != _base_rows(base):
        notes.append(
            f"the embedding grew from {_base_rows(base)} to {rows} rows for {len(tokens)} added tokens"
        )
    if tokens:
        notes.append(f"kept {len(tokens)} added tokens: {some([token.content for token in tokens])}")
    copied = tuple(found[name] for name in sorted(found))
    return Plan(copied, equal, rows, dtype, tokens, settings, tuple(notes))


def _by_name(tensors: Sequence[TensorFact]) -> dict[str, TensorFact]:
    found: dict[str, TensorFact] = {}
    for fact in tensors:
        if fact.name in found:
            raise Refused(
                f"tensor {quoted(fact.name)} stands in {found[fact.name].file} and again in {fact.file}"
            )
        found[fact.name] = fact
    return found


def _check_not_quantised(found: Mapping[str, TensorFact], config: JsonObject | None) -> None:
    for fact in found.values():
        if fact.dtype in QUANTISED_DTYPES:
            says = (
                " and config.json has a quantization_config"
                if config and "quantization_config" in config
                else ""
            )
            raise Refused(
                f"found a quantised model ({quoted(fact.name)} is {fact.dtype}{says}); expected "
                f"{', '.join(ADMITTED_DTYPES)}: dequantise it, then model.save_pretrained('final_model')"
            )
        if fact.dtype not in ADMITTED_DTYPES:
            raise Refused(
                f"tensor {quoted(fact.name)} is {fact.dtype}; expected {', '.join(ADMITTED_DTYPES)}"
            )


Copies = tuple[tuple[TensorFact, TensorFact], ...]


def _without_tied_copy(
    found: dict[str, TensorFact], base: BaseManifest
) -> tuple[dict[str, TensorFact], Copies]:
    """The tensors without an output layer that the base model ties, and what that must be equal to."""
    head = found.get("lm_head.weight")
    embedding = next((found[name] for name in _embeddings(base) if name in found), None)
    if not base.tied or head is None or embedding is None or "lm_head.weight" in base.tensors:
        return found, ()
    if head.shape != embedding.shape:
        raise Refused(
            f"lm_head.weight has shape {list(head.shape)}; the base model ties it to {embedding.name}, "
            f"which has {list(embedding.shape)}"
        )
    return {name: fact for name, fact in found.items() if fact is not head}, ((head, embedding),)


def _embeddings(base: BaseManifest) -> list[str]:
    return [name for name in base.tensors if name.endswith("embed_tokens.weight")]


def _grows(name: str) -> bool:
    return name.endswith(("embed_tokens.weight", "lm_head.weight"))


def _base_rows(base: BaseManifest) -> int:
    return max(
        (fact.shape[0] for name, fact in base.tensors.items() if _grows(name) and fact.shape), default=0
    )


def _check_shapes(found: Mapping[str, TensorFact], base: BaseManifest, tokens: Sequence[AddedToken]) -> int:
    """The rows of the embedding, when every tensor is as the base model's but for rows that were added."""
    rows = _rows(found, base, tokens)
    differences = []
    for name in sorted(found.keys() | base.tensors.keys()):
        difference = _difference(found.get(name), base.tensors.get(name), rows if _grows(name) else None)
        if difference:
            differences.append(difference)
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        hint = _hint(found)
        raise Refused(f"not the base model's tensors: {'; '.join(differences[:3])}{more}{hint}")
    return rows


def _rows(found: Mapping[str, TensorFact], base: BaseManifest, tokens: Sequence[AddedToken]) -> int:
    before = _base_rows(base)
    names = [name for name in base.tensors if _grows(name)]
    rows = max(
        (found[name].shape[0] for name in names if name in found and found[name].shape), default=before
    )
    if rows <= before:
        return before
    if rows - before > MAX_ADDED:
        raise Refused(
            f"the embedding has {rows} rows; expected {before} as in the base model, or up to "
            f"{MAX_ADDED} more for added special tokens"
        )
    if not any(before <= token.id < rows for token in tokens):
        raise Refused(
            f"the embedding has {rows} rows, {rows - before} more than the base model; expected the special "
            "tokens that they are for in tokenizer.json: tokenizer.save_pretrained('final_model')"
        )
    return rows


def _difference(found: TensorFact | None, expected: TensorFact | None, rows: int | None) -> str:
    if found is None and expected is not None:
        return f"{expected.name} is missing"
    if expected is None and found is not None:
        return f"{quoted(found.name)} is not in the base model"
    if found is None or expected is None:
        return ""
    shape = expected.shape if rows is None else (rows, *expected.shape[1:])
    if found.shape == shape:
        return ""
    return f"{expected.name} has shape {list(found.shape)}, expected {list(shape)}"


def _hint(found: Mapping[str, TensorFact]) -> str:
    names = list(found)
    if any("lora_" in name or name.startswith("base_model.model.") for name in names):
        return " (it looks like an adapter that was not merged: model.merge_and_unload())"
    if any(name.startswith(("_orig_mod.", "module.")) for name in names):
        return " (save the model itself, not its compiled or wrapped form)"
    return ""


def _dtype(tensors: Iterable[TensorFact]) -> tuple[str, tuple[str, ...]]:
    """The dtype of most bytes: the one dtype that the re-emitted configuration can name."""
    bytes_of: dict[str, int] = {}
    for fact in tensors:
        bytes_of[fact.dtype] = bytes_of.get(fact.dtype, 0) + fact.end - fact.begin
    most = max(sorted(bytes_of), key=lambda dtype: bytes_of[dtype])
    if len(bytes_of) == 1:
        return most, ()
    return most, (f"mixed dtypes {', '.join(sorted(bytes_of))}: loaded as {most}",)


# --- what is re-emitted -------------------------------------------------------------------------------------


def _config_notes(config: JsonObject | None, base: JsonObject) -> tuple[str, ...]:
    if config is None:
        return ("config.json is missing or unreadable: re-emitted from the base model",)
    notes = []
    if "auto_map" in config:
        notes.append("dropped auto_map from config.json: no code of a final model is run")
    if "quantization_config" in config:
        notes.append("dropped quantization_config from config.json: the weights are not quantised")
    telling = (
        "architectures",
        "model_type",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
    )
    changed = [key for key in telling if key in base and config.get(key, base[key]) != base[key]]
    if changed:
        notes.append(
            f"config.json has another {', '.join(changed)} than the base model: re-emitted from the base"
        )
    return tuple(notes)


def generation_settings(
    generation: JsonObject | None, rows: int
) -> tuple[dict[str, Setting], tuple[str, ...]]:
    """The generation settings that pass the short list, and what did not."""
    if generation is None:
        return {}, ()
    settings: dict[str, Setting] = {}
    refused = []
    for name, (low, high) in _RANGES.items():
        value = generation.get(name)
        if value is None:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            settings[name] = int(value) if name == "top_k" else value
        else:
            refused.append(f"{name} {quoted(repr(value), 20)}")
    ends = _end_tokens(generation.get("eos_token_id"), rows)
    if ends:
        settings["eos_token_id"] = ends
    elif generation.get("eos_token_id") is not None:
        refused.append("eos_token_id")
    if isinstance(generation.get("do_sample"), bool):  # says whether the temperature applies
        settings["do_sample"] = bool(generation["do_sample"])
    notes = (f"generation settings out of range were dropped: {', '.join(refused)}",) if refused else ()
    return settings, notes


def _end_tokens(value: object, rows: int) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [value]
    if not 0 < len(ids) <= MAX_END_TOKENS:
        return ()
    if not all(isinstance(one, int) and is_id(one) and one < rows for one in ids):
        return ()
    return tuple(ids)
