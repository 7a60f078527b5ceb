"""Admission as a run sees it: every bad folder ends in a sentence, every honest one in a model that loads."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import made_models as made
import numpy as np
import pytest

from posttrainbench.errors import InvalidFile
from posttrainbench.flows.admit import admit, admit_from, base_manifest
from posttrainbench.record import Admitted
from posttrainbench.stores.checkpoints import open_checkpoint

Break = Callable[[Path], None]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return made.write_model(tmp_path / "base")


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return made.write_model(tmp_path / "workspace" / "final_model", made.tensors(seed=7))


def admitted(final: Path, base: Path) -> Admitted:
    return admit(final, base, final.parent.parent / "admitted", made.TEMPLATE)


def out_of(final: Path) -> Path:
    return final.parent.parent / "admitted"


def weights(final: Path) -> Path:
    return final / "model.safetensors"


# --- bad input ----------------------------------------------------------------------------------------------


def pickled(final: Path) -> None:
    weights(final).unlink()
    (final / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))


def truncated(final: Path) -> None:
    weights(final).write_bytes(weights(final).read_bytes()[:-10])


def cut_in_header(final: Path) -> None:
    weights(final).write_bytes(weights(final).read_bytes()[:20])


def cut_to_nothing(final: Path) -> None:
    weights(final).write_bytes(b"")


def trailing(final: Path) -> None:
    weights(final).write_bytes(weights(final).read_bytes() + b"answers")


def wrong_shape(final: Path) -> None:
    held = made.tensors() | {"model.norm.weight": made.values((5,), 0)}
    made.write_weights(weights(final), held)


def missing_tensor(final: Path) -> None:
    held = made.tensors()
    del held["model.norm.weight"]
    made.write_weights(weights(final), held)


def extra_tensor(final: Path) -> None:
    made.write_weights(
        weights(final), made.tensors() | {"model.layers.1.mlp.up_proj.weight": made.values((4, 4), 1)}
    )


def foreign(final: Path) -> None:
    held = {f"transformer.h.{n}.weight": made.values((3, 3), n) for n in range(9)}
    made.write_weights(weights(final), held)
    made.write_json(final / "config.json", made.config(architectures=["GPT2LMHeadModel"]))


def not_a_number(final: Path, value: float = float("nan"), dtype: str = "BF16") -> None:
    numbers = np.ones(4, dtype=np.float32)
    numbers[2] = value
    made.write_weights(
        weights(final), made.tensors() | {"model.norm.weight": made.encoded(numbers, (4,), dtype)}
    )


def infinite(final: Path) -> None:
    not_a_number(final, float("-inf"), "F16")


def not_a_number_in_float32(final: Path) -> None:
    not_a_number(final, dtype="F32")


def linked_out(final: Path) -> None:
    outside = final.parent.parent / "elsewhere.safetensors"
    weights(final).rename(outside)
    weights(final).symlink_to(outside)


def linked_folder(final: Path) -> None:
    elsewhere = final.parent.parent / "elsewhere"
    final.rename(elsewhere)
    final.symlink_to(elsewhere)


def fifo(final: Path) -> None:
    weights(final).unlink()
    os.mkfifo(weights(final))


def folder_in_its_place(final: Path) -> None:
    weights(final).unlink()
    weights(final).mkdir()
    (weights(final) / "x").write_text("x")


def sparse(final: Path) -> None:
    os.truncate(weights(final), 50 * 10**9)


def sparse_from_nothing(final: Path) -> None:
    weights(final).write_bytes(b"")
    os.truncate(weights(final), 50 * 10**9)


def repeated_key(final: Path) -> None:
    entry = '"model.norm.weight":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}'
    made.write_raw(weights(final), f"{{{entry},{entry}}}".encode(), bytes(8))


def overlapping(final: Path) -> None:
    header = made.header_of(made.tensors())
    header["model.norm.weight"]["data_offsets"] = [0, 8]  # type: ignore[index]
    made.write_raw(weights(final), json.dumps(header).encode(), bytes(136))


def adapter_only(final: Path) -> None:
    weights(final).rename(final / "adapter_model.safetensors")
    made.write_json(final / "adapter_config.json", {"peft_type": "LORA"})


def unmerged(final: Path) -> None:
    held = {f"base_model.model.{name}": raw for name, raw in made.tensors().items()}
    made.write_weights(weights(final), held)


def quantised(final: Path) -> None:
    held = made.tensors() | {"model.layers.0.mlp.up_proj.weight": ("U8", (8, 1), bytes(8))}
    made.write_weights(weights(final), held)
    made.write_json(final / "config.json", made.config(quantization_config={"load_in_4bit": True}))


def double_precision(final: Path) -> None:
    made.write_weights(weights(final), made.tensors() | {"model.norm.weight": ("F64", (4,), bytes(32))})


def missing_shard(final: Path) -> None:
    weights(final).unlink()
    made.write_shards(final, made.tensors())
    (final / "model-00002-of-00003.safetensors").unlink()


def index_alone(final: Path) -> None:
    weights(final).unlink()
    made.write_json(
        final / "model.safetensors.index.json", {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    )


def index_that_lies(final: Path) -> None:
    weights(final).unlink()
    made.write_shards(final, made.tensors())
    made.write_json(final / "model.safetensors.index.json", {"weight_map": {"a" * 10**6: "../../etc/passwd"}})


def index_of_nothing(final: Path) -> None:
    weights(final).unlink()
    made.write_shards(final, made.tensors())
    (final / "model.safetensors.index.json").write_text("[" * 100_000)


def tensor_twice(final: Path) -> None:
    weights(final).unlink()
    made.write_weights(final / "model-00001-of-00002.safetensors", made.tensors())
    made.write_weights(final / "model-00002-of-00002.safetensors", made.tensors())


def other_name(final: Path) -> None:
    weights(final).rename(final / "consolidated.safetensors")


def one_below(final: Path) -> None:
    (final / "checkpoint-10").mkdir()
    weights(final).rename(final / "checkpoint-10" / "model.safetensors")


def no_weights(final: Path) -> None:
    weights(final).unlink()


def head_of_its_own(final: Path) -> None:
    made.write_weights(weights(final), made.tensors(seed=7) | {"lm_head.weight": made.values((12, 4), 99)})


def head_of_another_shape(final: Path) -> None:
    made.write_weights(weights(final), made.tensors(seed=7) | {"lm_head.weight": made.values((13, 4), 99)})


def grown_too_far(final: Path) -> None:
    made.write_weights(weights(final), made.tensors(rows=12 + 65))


def grown_without_tokens(final: Path) -> None:
    made.write_weights(weights(final), made.tensors(rows=13))


def shrunk(final: Path) -> None:
    made.write_weights(weights(final), made.tensors(rows=11))


def long_tensor_name(final: Path) -> None:
    made.write_weights(weights(final), made.tensors() | {"x" * 10**6: made.values((1,), 0)})


def deep_header(final: Path) -> None:
    made.write_raw(weights(final), b'{"a":' + b"[" * 10**6, b"")


def huge_header(final: Path) -> None:
    weights(final).write_bytes((2**63).to_bytes(8, "little") + b"{}")


BAD: dict[Break, str] = {
    pickled: "save as safetensors: model.save_pretrained",
    truncated: "half-written",
    cut_in_header: "half-written",
    cut_to_nothing: "half-written",
    trailing: "7 bytes follow its last tensor",
    wrong_shape: "model.norm.weight has shape [5], expected [4]",
    missing_tensor: "model.norm.weight is missing",
    extra_tensor: "'model.layers.1.mlp.up_proj.weight' is not in the base model",
    foreign: "; and 9 more",
    not_a_number: "tensor model.norm.weight holds a NaN or an infinity (value 2)",
    infinite: "tensor model.norm.weight holds a NaN or an infinity",
    not_a_number_in_float32: "tensor model.norm.weight holds a NaN or an infinity",
    linked_out: "not a regular file",
    linked_folder: "is a symbolic link",
    fifo: "not a regular file",
    folder_in_its_place: "no weights",
    sparse: "bytes follow its last tensor",
    sparse_from_nothing: "its header would be 0 bytes long",
    repeated_key: "has the key 'model.norm.weight' twice",
    overlapping: "overlaps the tensor before it",
    adapter_only: "an adapter without its base model",
    unmerged: "an adapter that was not merged",
    quantised: "a quantised model",
    double_precision: "'model.norm.weight' is F64; expected BF16, F16, F32",
    missing_shard: "half-written: 2 of 3 shards",
    index_alone: "none of its shards",
    index_that_lies: "which has none",
    index_of_nothing: "holds no weight_map",
    tensor_twice: "and again in",
    other_name: "expected the name model.safetensors",
    one_below: "expected them directly in the folder",
    no_weights: "no weights",
    head_of_its_own: "lm_head.weight differs from model.embed_tokens.weight",
    head_of_another_shape: "lm_head.weight has shape [13, 4]",
    grown_too_far: "or up to 64 more",
    grown_without_tokens: "expected the special tokens that they are for",
    shrunk: "has shape [11, 4], expected [12, 4]",
    long_tensor_name: "a tensor has the name",
    deep_header: "is not JSON",
    huge_header: "bytes long, expected 2 to",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_bad_models_are_refused_in_one_sentence(spoil: Break, final: Path, base: Path) -> None:
    spoil(final)
    result = admitted(final, base)
    assert result.status == "refused"
    assert BAD[spoil] in result.reason
    assert "\n" not in result.reason and len(result.reason) < 500
    assert result.digest is None
    assert not list(final.parent.parent.glob("admitted*"))


def test_a_model_that_cannot_be_read_is_refused(final: Path, base: Path) -> None:
    weights(final).chmod(0)
    if os.access(weights(final), os.R_OK):
        pytest.skip("root reads everything")
    assert "cannot be opened" in admitted(final, base).reason


def test_no_model_is_absent(tmp_path: Path, base: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    assert admit(workspace / "final_model", base, tmp_path / "out", "").status == "absent"
    (workspace / "final_model" / "empty").mkdir(parents=True)
    assert admit(workspace / "final_model", base, tmp_path / "out", "").status == "absent"


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path, base: Path) -> None:
    (tmp_path / "final_model").write_text("weights")
    result = admit(tmp_path / "final_model", base, tmp_path / "out", "")
    assert (result.status, "is not a folder" in result.reason) == ("refused", True)


@pytest.mark.parametrize(
    "path", ["../base", "/etc", "a/../../base", "link/final_model", "\0", "n" * 300, "x" * 10**6]
)
def test_a_checkpoints_path_stays_inside(path: str, final: Path, base: Path) -> None:
    (final.parent / "link").symlink_to(final.parent)
    result = admit_from(final.parent, path, base, out_of(final), made.TEMPLATE)
    assert result.status in ("refused", "absent")
    assert len(result.reason) < 500


def test_a_checkpoint_deep_in_the_workspace_is_admitted(final: Path, base: Path) -> None:
    made.write_model(final.parent / "runs" / "a b" / "checkpoint-3", made.tensors(seed=9))
    result = admit_from(final.parent, "runs/a b/checkpoint-3", base, out_of(final), made.TEMPLATE)
    assert result.status == "admitted"


def test_too_many_files_are_refused(final: Path, base: Path) -> None:
    for number in range(10_050):
        (final / f"{number}").touch()
    assert "more than 10000 files" in admitted(final, base).reason


def test_a_base_model_may_lie_in_a_cache_of_links(final: Path, base: Path) -> None:
    blobs = base.parent / "blobs"
    blobs.mkdir()
    for file in list(base.iterdir()):
        file.rename(blobs / file.name)
        file.symlink_to(blobs / file.name)
    made.write_weights(base / "consolidated.safetensors", {"other": made.values((2,), 0)})
    assert admitted(final, base).status == "admitted"


def test_a_broken_base_model_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile):
        base_manifest(tmp_path)


# --- honest input -------------------------------------------------------------------------------------------


def test_an_honest_model_is_admitted_and_again(final: Path, base: Path) -> None:
    first = admitted(final, base)
    assert (first.status, first.reason, first.notes) == ("admitted", "", ())
    assert admitted(final, base) == first
    assert weights(out_of(final)).exists()


def test_a_refusal_leaves_nothing_of_an_earlier_admission(final: Path, base: Path) -> None:
    assert admitted(final, base).status == "admitted"
    truncated(final)
    assert admitted(final, base).status == "refused"
    assert not out_of(final).exists()


def test_the_digest_is_of_the_tensors_not_of_the_files(final: Path, base: Path) -> None:
    whole = admitted(final, base)
    weights(final).unlink()
    made.write_shards(final, made.tensors(seed=7))
    assert admitted(final, base).digest == whole.digest
    made.write_shards(final, made.tensors(seed=8))
    assert admitted(final, base).digest != whole.digest


def test_shards_without_their_index_are_read(final: Path, base: Path) -> None:
    weights(final).unlink()
    made.write_shards(final, made.tensors(seed=7), index=False)
    result = admitted(final, base)
    assert result.status == "admitted"
    assert "index.json is missing" in " ".join(result.notes)


@pytest.mark.parametrize("dtype,name", [("BF16", "bfloat16"), ("F16", "float16"), ("F32", "float32")])
def test_every_plain_dtype_is_admitted(dtype: str, name: str, final: Path, base: Path) -> None:
    made.write_weights(weights(final), made.tensors(seed=7, dtype=dtype))
    assert admitted(final, base).status == "admitted"
    assert json.loads((out_of(final) / "config.json").read_text())["dtype"] == name


def test_everything_but_tensors_comes_from_the_base(final: Path, base: Path) -> None:
    spoofed = made.config(
        architectures=["GemmaForCausalLM"], auto_map={"AutoModel": "evil.Model"}, hidden_size=64
    )
    made.write_json(final / "config.json", spoofed)
    (final / "evil.py").write_text("raise SystemExit")
    (final / "chat_template.jinja").write_text("the answer is 42")
    (final / "README.md").write_text("hello")
    made.write_json(final / "tokenizer_config.json", {"chat_template": "the answer is 42", "auto_map": {}})
    result = admitted(final, base)
    assert result.status == "admitted"
    notes = " ".join(result.notes)
    for note in ("auto_map", "architectures, hidden_size", "evil.py", "README.md"):
        assert note in notes
    held = {path.name for path in out_of(final).iterdir()}
    assert held == {
        "model.safetensors", "config.json", "generation_config.json",
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip
    assert json.loads((out_of(final) / "config.json").read_text()) == made.config()
    assert (out_of(final) / "chat_template.jinja").read_text() == made.TEMPLATE
    assert "42" not in (out_of(final) / "tokenizer_config.json").read_text()


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "[" * 10**6, '{"a": NaN', "\0" * 100])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
def test_a_broken_text_file_costs_nothing(name: str, text: str, final: Path, base: Path) -> None:
    (final / name).write_text(text)
    assert admitted(final, base).status == "admitted"


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
)
def test_a_forgotten_text_file_costs_nothing(name: str, final: Path, base: Path) -> None:
    (final / name).unlink()
    assert admitted(final, base).status == "admitted"


def test_a_tied_copy_of_the_embedding_is_dropped(final: Path, base: Path) -> None:
    held = made.tensors(seed=7)
    made.write_weights(weights(final), held | {"lm_head.weight": held["model.embed_tokens.weight"]})
    result = admitted(final, base)
    assert result.status == "admitted"
    assert "dropped lm_head.weight" in " ".join(result.notes)
    assert b"lm_head" not in weights(out_of(final)).read_bytes()


def test_an_untied_base_keeps_its_output_layer(tmp_path: Path, final: Path) -> None:
    untied = made.write_model(tmp_path / "untied", made.tensors(head=True))
    assert "lm_head.weight is missing" in admitted(final, untied).reason
    made.write_weights(weights(final), made.tensors(seed=7, head=True))
    assert admitted(final, untied).status == "admitted"


def test_a_tied_base_may_store_its_output_layer_all_the_same(tmp_path: Path, final: Path) -> None:
    held = made.tensors()
    stored = held | {"lm_head.weight": held["model.embed_tokens.weight"]}
    base = made.write_model(tmp_path / "stored", stored, tie_word_embeddings=True)
    assert admitted(final, base).status == "admitted"


def test_hard_links_and_odd_neighbours_are_noted(final: Path, base: Path) -> None:
    os.link(weights(final), final.parent / "best.safetensors")
    os.mkfifo(final / "pipe")
    (final / "out").symlink_to("/etc/passwd")
    (final / "big").touch()
    os.truncate(final / "big", 50 * 10**9)
    (final / "n\n\udcff").touch()
    (final / ("m" * 255)).touch()
    result = admitted(final, base)
    assert result.status == "admitted"
    assert "hard links" in " ".join(result.notes)
    assert all("\n" not in note and len(note) < 600 for note in result.notes)


# --- tokens and generation settings -------------------------------------------------------------------------


def test_a_new_pad_token_and_its_row_are_kept(final: Path, base: Path) -> None:
    made.write_weights(weights(final), made.tensors(seed=7, rows=13))
    made.write_json(final / "tokenizer.json", made.tokenizer({"id": 12, "content": "<pad>", "special": True}))
    result = admitted(final, base)
    assert result.status == "admitted"
    assert "'<pad>'" in " ".join(result.notes)
    tokenizer = json.loads((out_of(final) / "tokenizer.json").read_text())
    assert tokenizer["added_tokens"][-1]["content"] == "<pad>"
    assert json.loads((out_of(final) / "config.json").read_text())["vocab_size"] == 13


@pytest.mark.parametrize("content", ["a plain phrase", "apples", "<" + "x" * 100 + ">", "<a b>", "j"])
def test_answers_do_not_enter_as_tokens(content: str, final: Path, base: Path) -> None:
    made.write_json(final / "tokenizer.json", made.tokenizer({"id": 12, "content": content, "special": True}))
    assert admitted(final, base).status == "admitted"
    assert (out_of(final) / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()


def test_a_row_for_a_plain_word_is_refused(final: Path, base: Path) -> None:
    made.write_weights(weights(final), made.tensors(seed=7, rows=13))
    made.write_json(
        final / "tokenizer.json", made.tokenizer({"id": 12, "content": "apples", "special": True})
    )
    assert "expected the special tokens" in admitted(final, base).reason


def test_changes_to_existing_tokens_are_dropped(final: Path, base: Path) -> None:
    tokenizer = made.tokenizer()
    tokenizer["added_tokens"] = [{"id": 1, "content": "<end>", "special": True}]
    tokenizer["normalizer"] = {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}
    made.write_json(final / "tokenizer.json", tokenizer)
    result = admitted(final, base)
    assert "special tokens were dropped" in " ".join(result.notes)
    assert (out_of(final) / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()


def generation(final: Path, base: Path, **settings: object) -> tuple[dict[str, object], str]:
    (final / "generation_config.json").write_text(json.dumps(settings))
    result = admitted(final, base)
    assert result.status == "admitted"
    return json.loads((out_of(final) / "generation_config.json").read_text()), " ".join(result.notes)


def test_sound_generation_settings_pass(final: Path, base: Path) -> None:
    passed, notes = generation(
        final,
        base,
        temperature=0.6,
        top_p=0.9,
        top_k=20,
        repetition_penalty=1.1,
        eos_token_id=[0, 1],
        do_sample=True,
    )
    assert notes == ""
    assert passed == {
        "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1, "eos_token_id": [0, 1],
        "do_sample": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "setting,value",
    [
        ("temperature", 1e9), ("temperature", "hot"), ("temperature", True),
        ("temperature", float("nan")),
        ("top_p", 0), ("top_p", 2), ("top_k", -1),
        ("repetition_penalty", 0), ("repetition_penalty", float("inf")),
        ("eos_token_id", 12), ("eos_token_id", -1), ("eos_token_id", []), ("eos_token_id", list(range(9))),
        ("eos_token_id", "<end>"), ("eos_token_id", 10**400),
    ],
)  # fmt: skip
def test_generation_settings_out_of_range_are_dropped(
    setting: str, value: object, final: Path, base: Path
) -> None:
    passed, notes = generation(final, base, **{setting: value})
    assert setting in notes
    assert passed == {"eos_token_id": 0, "do_sample": False}


def test_settings_that_are_not_on_the_list_do_not_pass(final: Path, base: Path) -> None:
    passed, _ = generation(final, base, max_new_tokens=1, bad_words_ids=[[3]], custom_generate="evil/repo")
    assert passed == {"eos_token_id": 0, "do_sample": False}


def test_temperature_zero_means_greedy(final: Path, base: Path) -> None:
    passed, notes = generation(final, base, temperature=0, do_sample=True)
    assert (passed["do_sample"], notes) == (False, "")


# --- a workspace that is alive ------------------------------------------------------------------------------


def check_finite(folder: Path) -> None:
    with open_checkpoint(folder.parent, folder.name, ["model.safetensors"]) as source:
        for fact in source.tensors:
            assert all(np.isfinite(piece).all() for piece in source.values(fact, 100))


def test_a_folder_that_changes_while_it_is_read_is_admitted_sound_or_refused(final: Path, base: Path) -> None:
    """The evaluation service admits checkpoints while the agent that wrote them still runs."""
    sound = weights(final).read_bytes()
    poisoned = made.tensors(seed=7) | {"model.norm.weight": made.encoded(np.full(4, np.nan), (4,), "BF16")}
    made.write_weights(final.parent / "poisoned", poisoned)
    states = [sound, (final.parent / "poisoned").read_bytes(), sound[:-10], b"", b"x" * 1000]
    stop = threading.Event()

    def rewrite() -> None:
        for content in itertools.cycle(states):
            if stop.is_set():
                return
            weights(final).write_bytes(content)
            (final / "config.json").unlink(missing_ok=True)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        results = []
        for _ in range(100):
            results.append(admitted(final, base))
            assert (results[-1].status == "admitted") == out_of(final).exists()
            if results[-1].status == "admitted":
                check_finite(out_of(final))
    finally:
        stop.set()
        writer.join()
    assert {result.status for result in results} <= {"admitted", "refused"}
    assert sum(result.status == "refused" for result in results) > 0
