"""Weights on disk, traced: copies in every number format and sharding, merges, adapters, and honest work."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from posttrainbench.finding import CheckReport, CheckStatus, Strength
from posttrainbench.flows.trace import trace
from posttrainbench.tinyworld import catalog

Tensors = Mapping[str, torch.Tensor]
SIBLING = catalog.QWEN3_INSTRUCT
BASE_FOLDER, SIBLING_FOLDER = catalog.model_folder(catalog.QWEN3_BASE), catalog.model_folder(SIBLING)


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    return {name: one.float() for name, one in load_file(folder / "model.safetensors").items()}


BASE, INSTRUCT = loaded(BASE_FOLDER), loaded(SIBLING_FOLDER)
MATRICES = [name for name, one in BASE.items() if one.dim() == 2 and "proj" in name]


def write(
    folder: Path, tensors: Tensors, dtype: torch.dtype = torch.bfloat16, shards: int = 1, name: str = "model"
) -> Path:
    folder.mkdir()
    kept = {n: one.to(dtype).contiguous() for n, one in tensors.items()}
    for number in range(shards):
        part = {n: one for at, (n, one) in enumerate(kept.items()) if at % shards == number}
        file = (
            f"{name}.safetensors" if shards == 1 else f"{name}-{number + 1:05d}-of-{shards:05d}.safetensors"
        )
        save_file(part, folder / file)
    return folder


def traced(
    folder: Path, known: tuple[tuple[str, Path], ...] = ((SIBLING, SIBLING_FOLDER),), digest: str = "0" * 64
) -> CheckReport:
    return trace(folder, BASE_FOLDER, known, digest, folder.with_suffix(".jsonl"))


def noise(seed: int, scale: float) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {n: scale * one.std() * torch.randn(one.shape, generator=drawn) for n, one in BASE.items()}


def plus(*terms: tuple[float, Tensors]) -> dict[str, torch.Tensor]:
    return {n: sum((share * one[n] for share, one in terms), torch.zeros(())) for n in BASE}  # type: ignore[misc]


def rotated(columns: bool) -> dict[str, torch.Tensor]:
    """The sibling with the neurons of each layer in another order: it computes the same."""
    made = dict(INSTRUCT)
    for name in INSTRUCT:
        if "gate_proj" in name:
            order = torch.randperm(INSTRUCT[name].shape[0], generator=torch.Generator().manual_seed(1))
            made[name] = INSTRUCT[name][order]
            made[name.replace("gate", "up")] = INSTRUCT[name.replace("gate", "up")][order]
            made[name.replace("gate", "down")] = INSTRUCT[name.replace("gate", "down")][:, order]
    return made if columns else {**made, **{n: BASE[n] for n in BASE if "mlp" not in n}}


COPIES = {
    "as it is": (torch.bfloat16, 1),
    "in three shards": (torch.bfloat16, 3),
    "in float32": (torch.float32, 1),
    "in float16": (torch.float16, 2),
}


@pytest.mark.parametrize("how", COPIES)
def test_the_sibling_is_known_in_every_format_and_sharding(how: str, tmp_path: Path) -> None:
    dtype, shards = COPIES[how]
    made = traced(write(tmp_path / "final", INSTRUCT, dtype, shards))
    (finding,) = made.findings
    assert (finding.strength, finding.summary) == (
        Strength.DISQUALIFYING,
        f"the weights are those of {SIBLING}",
    )


def test_every_format_has_one_digest(tmp_path: Path) -> None:
    digests = {
        traced(write(tmp_path / str(number), INSTRUCT, dtype, shards)).findings[0].evidence[0].locator
        for number, (dtype, shards) in enumerate(COPIES.values())
    }
    assert len(digests) == 1


def test_the_base_is_known_in_every_format(tmp_path: Path) -> None:
    for number, (dtype, shards) in enumerate(COPIES.values()):
        made = traced(write(tmp_path / str(number), BASE, dtype, shards))
        assert made.status is CheckStatus.PASSED
        assert "untouched base" in made.findings[0].summary


def test_one_changed_value_is_not_the_sibling_any_more_but_a_near_copy(tmp_path: Path) -> None:
    changed = {n: one.clone() for n, one in INSTRUCT.items()}
    changed[MATRICES[0]][0, 0] += 1
    (finding,) = traced(write(tmp_path / "final", changed)).findings
    assert finding.strength is Strength.DISQUALIFYING
    assert "those of" not in finding.summary


CHEATS: dict[str, tuple[Callable[[], Tensors], str]] = {
    "merge": (lambda: plus((0.5, BASE), (0.5, INSTRUCT)), "a merge with"),
    "lightly noised": (lambda: plus((1.0, INSTRUCT), (0.002, noise(3, 1.0))), "a merge with"),
    "half of the layers": (
        lambda: {
            n: INSTRUCT[n] if ".1." in n or ".3." in n else plus((1, BASE), (0.05, noise(4, 1)))[n]
            for n in BASE
        },
        "copies of its own",
    ),
    "pruned": (
        lambda: {
            n: torch.where(one.abs() < 0.5 * one.abs().median(), 0.0, one) if one.dim() == 2 else one
            for n, one in INSTRUCT.items()
        },
        "pruned copies of its own",
    ),
    "permuted": (lambda: rotated(columns=True), f"permuted from {SIBLING}"),
    "permuted layers in the base": (lambda: rotated(columns=False), f"permuted from {SIBLING}"),
    "nobody's": (lambda: noise(5, 1.0), "of no known model"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_sibling_in_disguise_disqualifies(cheat: str, tmp_path: Path) -> None:
    make, words = CHEATS[cheat]
    made = traced(write(tmp_path / "final", make()))
    assert made.status is CheckStatus.FAILED
    found = [finding.summary for finding in made.findings if finding.strength is Strength.DISQUALIFYING]
    assert any(words in summary for summary in found), found


def low_rank(seed: int, name: str, rank: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    rows, columns = BASE[name].shape
    return torch.randn(rank, columns, generator=drawn) / 30, torch.randn(rows, rank, generator=drawn) / 30


def adapter(folder: Path, seed: int, **config: object) -> Path:
    """A published adapter on the base's attention."""
    factors = {}
    for name in MATRICES:
        down, up = low_rank(seed, name)
        stem = "base_model.model." + name.removesuffix(".weight")
        factors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
    write(folder, factors, torch.float32, name="adapter_model")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def with_adapter(seed: int, share: float = 1.0) -> dict[str, torch.Tensor]:
    made = dict(BASE)
    for name in MATRICES:
        down, up = low_rank(seed, name)
        made[name] = BASE[name] + share * 2 * up @ down
    return made


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_known_adapter_that_was_added_disqualifies(share: float, tmp_path: Path) -> None:
    known = (("owner/adapter", adapter(tmp_path / "adapter", seed=1)),)
    made = traced(write(tmp_path / "final", with_adapter(1, share)), known)
    assert made.status is CheckStatus.FAILED
    assert "owner/adapter" in made.findings[0].summary


def test_ones_own_adapter_beside_a_known_one_passes(tmp_path: Path) -> None:
    known = (("owner/adapter", adapter(tmp_path / "adapter", seed=1)), (SIBLING, SIBLING_FOLDER))
    made = traced(write(tmp_path / "final", with_adapter(2)), known)
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())
    rows = [json.loads(line) for line in (tmp_path / "final.jsonl").read_text().splitlines()]
    moved = next(row for row in rows if row["tensor"] == MATRICES[0])
    assert moved["effective_rank"] < 10 < min(BASE[MATRICES[0]].shape)
    assert abs(moved["movement_cosines"]["owner/adapter"]) < 0.5


def test_an_average_of_ones_own_checkpoints_passes(tmp_path: Path) -> None:
    own = [plus((1.0, BASE), (0.05, noise(seed, 1.0))) for seed in (7, 8)]
    made = traced(write(tmp_path / "final", plus((0.5, own[0]), (0.5, own[1]))))
    assert (made.status, made.findings) == (CheckStatus.PASSED, ())


def test_the_blocks_that_are_looked_at_follow_the_models_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("posttrainbench.flows.trace.BLOCK_VALUES", 1024)
    folder = write(tmp_path / "final", plus((1.0, BASE), (0.05, noise(1, 1.0))))
    first = traced(folder)
    rows = folder.with_suffix(".jsonl").read_text()
    assert traced(folder) == first
    assert folder.with_suffix(".jsonl").read_text() == rows
    traced(folder, digest="1" * 64)
    assert folder.with_suffix(".jsonl").read_text() != rows
    assert "of their values" in first.reason


def test_a_part_of_large_tensors_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posttrainbench.flows.trace.BLOCK_VALUES", 1024)
    for cheat, (make, _) in CHEATS.items():
        made = traced(write(tmp_path / cheat, make()))
        assert made.status is CheckStatus.FAILED, cheat
