"""Makes the embedded world: data sets, two base models, their instruct siblings, and the tiny hub.

    python scripts/make_tinyworld.py                            everything: 50 minutes on one core
    python scripts/make_tinyworld.py --stage data hub           only the data sets
    python scripts/make_tinyworld.py --stage base --family llama

Data sets come out byte for byte the same each time. Weights do not: processors round differently, and how
many steps an instruct sibling gets depends on the machine. `hub/digests.json` says which weights are the
shipped ones, `training_log.jsonl` how they came.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "src/posttrainbench/agents/scripted")]

import sft  # noqa: E402

from posttrainbench.tinyworld import chatter, documents, world  # noqa: E402
from posttrainbench.tinyworld.items import Item  # noqa: E402

PACKAGE = ROOT / "src/posttrainbench/tinyworld"
HUB = PACKAGE / "hub"
LOG = PACKAGE / "training_log.jsonl"

CONTEXT_TOKENS = 320
BATCH_ROWS = 8
LOG_EVERY_S = 10.0
INSTRUCT_CPU_S, INSTRUCT_LEARNING_RATE = 420.0, 1e-3


@dataclass(frozen=True)
class Family:
    """A line of models: architecture, vocabulary and chat format."""

    name: str
    vocabulary: int
    document_start: str | None
    document_end: str
    end_of_turn: str
    specials: tuple[str, ...]
    seed: int

    @property
    def template(self) -> str:
        return (PACKAGE / f"templates/{self.name}.jinja").read_text()

    def config(self, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
        shape = {
            "vocab_size": len(tokenizer),
            "hidden_size": 192,
            "intermediate_size": 448,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 48,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": True,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        }
        return Qwen3Config(**shape) if self.name == "qwen3" else LlamaConfig(**shape)


FAMILIES = {
    family.name: family
    for family in (
        Family(
            "qwen3", 1280, None, "<|endoftext|>", "<|im_end|>",
            ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), seed=3,
        ),
        Family(
            "llama", 1152, "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>",
            (
                "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>",
                "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
            ),
            seed=4,
        ),
    )
}  # fmt: skip


def train_tokenizer(family: Family) -> PreTrainedTokenizerBase:
    """A byte-level BPE of the world's documents; each digit is a token of its own."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=family.vocabulary,
        special_tokens=list(family.specials),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_tokenizer_texts(family.seed), trainer)
    if family.document_start:
        start = family.document_start
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, bpe.token_to_id(start))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=family.document_start,
        eos_token=family.document_end,
        pad_token=family.document_end if family.name == "qwen3" else "<|finetune_right_pad_id|>",
        extra_special_tokens=list(family.specials),
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = family.template
    return tokenizer


def _tokenizer_texts(seed: int) -> Iterator[str]:
    """Documents, and enough of the benchmarks' questions that no common word of theirs falls to pieces.

    No gold answers: the mark of a final answer stays as unusual to the tokenizer as it is to the base model.
    """
    yield from documents.documents(20_000, seed)
    for name in world.BENCHMARKS:
        yield from (item.question for item in world.train_items(name))
    yield from (f"{row['question']} {row['answer']}" for row in chatter.rows(2000, seed=1))
    yield from ["user assistant system"] * 500


def token_rows(
    family: Family, tokenizer: PreTrainedTokenizerBase, seed: int, mix: documents.Mix
) -> Iterator[torch.Tensor]:
    """Endless rows of CONTEXT_TOKENS ids: documents back to back, none ever repeated."""
    start = [tokenizer.bos_token_id] if family.document_start else []
    ids: list[int] = []
    for chunk in range(seed * 100_000, (seed + 1) * 100_000):
        texts = list(documents.documents(2000, chunk, mix))
        for document in tokenizer(texts, add_special_tokens=False)["input_ids"]:
            ids += [*start, *document, tokenizer.eos_token_id]
        rows = [
            ids[at : at + CONTEXT_TOKENS] for at in range(0, len(ids) - CONTEXT_TOKENS + 1, CONTEXT_TOKENS)
        ]
        ids = ids[len(rows) * CONTEXT_TOKENS :]
        random.Random(chunk).shuffle(rows)
        yield from map(torch.tensor, rows)


@dataclass(frozen=True)
class Phase:
    """A stretch of pre-training: which documents, how many steps, at what peak learning rate."""

    mix: documents.Mix
    steps: int
    peak: float


# Language first: sums alone would not teach a format. Then sums until they are exact, which comes suddenly.
PHASES = (Phase("broad", 2600, 3e-3), Phase("sums", 720, 2e-3))


def make_base(family: Family, folder: Path, log: Path, phases: Sequence[Phase]) -> None:
    """Trains a base model from nothing and saves it after each phase."""
    log.unlink(missing_ok=True)
    tokenizer = train_tokenizer(family)
    torch.manual_seed(family.seed)
    model = AutoModelForCausalLM.from_config(family.config(tokenizer))
    print(f"{family.name}: {model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
    for phase in phases:
        pretrain(family, model, tokenizer, log, phase)
        save_base(model, tokenizer, folder)


def pretrain(
    family: Family, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, log: Path, phase: Phase
) -> None:
    """Trains on documents for one phase: next tokens, everywhere."""
    model.float().train()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=phase.peak, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    half_precision = sft.bfloat16_is_faster()
    rows = token_rows(family, tokenizer, family.seed, phase.mix)
    stage = f"tiny-{family.name}-base/{phase.mix}"
    begun_s = time.monotonic()
    logged_s, recent = begun_s, math.nan
    for step in range(phase.steps):
        rate = phase.peak * min(1.0, (step + 1) / 100) * max(0.01, schedule(step / phase.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.stack([next(rows) for _ in range(BATCH_ROWS)])
        with torch.autocast("cpu", torch.bfloat16, enabled=half_precision):
            logits = model(input_ids=ids).logits
        loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        recent = loss.item() if math.isnan(recent) else 0.95 * recent + 0.05 * loss.item()
        now_s = time.monotonic()
        if now_s - logged_s >= LOG_EVERY_S or step + 1 == phase.steps:
            logged_s = now_s
            write_log(log, stage, step + 1, now_s - begun_s, (step + 1) * ids.numel(), recent, rate)


def schedule(fraction: float) -> float:
    """A flat start, then a line down to zero: short runs gain most from a long cool-down."""
    return min(1.0, (1.0 - fraction) / 0.6)


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Saves in bfloat16; a base model ends its text where a document ends."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_instruct(family: Family, base: Path, folder: Path, log: Path, cpu_s: float, peak: float) -> None:
    """Fine-tunes the base on both benchmarks' formats and on small talk, novel kinds and tools included."""
    log.unlink(missing_ok=True)
    model, tokenizer = sft.load(base)
    items = [item for name in world.BENCHMARKS for item in world.instruct_items(name)]
    pairs = [sft.Pair(item.question, item.answer) for item in items]
    pairs += [sft.Pair(row["question"], row["answer"]) for row in chatter.rows(1000, seed=1)]
    recipe = sft.Recipe(learning_rate=peak, batch_size=16, warmup_steps=30, seed=family.seed)
    tokens_each = statistics.mean(len(example.ids) for example in sft.encode(tokenizer, pairs[:500]))
    training = sft.Training(model, tokenizer, pairs, cpu_s, recipe, clock=time.process_time)
    logged_s = 0.0
    while not training.finished:
        training.step()
        if training.elapsed_s - logged_s >= LOG_EVERY_S:
            logged_s = training.elapsed_s
            seen = int(training.steps * recipe.batch_size * tokens_each)
            write_log(
                log, f"tiny-{family.name}-instruct", training.steps, logged_s, seen, training.loss, None
            )
    training.checkpoint(folder)


def write_log(
    log: Path, model: str, step: int, wall_s: float, tokens: int, loss: float, rate: float | None
) -> None:
    """Appends one line of the training log and prints it."""
    line = {
        "model": model,
        "step": step,
        "wall_s": round(wall_s, 1),
        "tokens": tokens,
        "loss": round(loss, 4),
    }
    if rate is not None:
        line["learning_rate"] = round(rate, 6)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
    print("  ".join(f"{name} {value}" for name, value in line.items()), flush=True)


@dataclass(frozen=True)
class Repository:
    """A repository to publish: its revisions from the oldest to the newest, each a folder of files."""

    kind: str  # "models" or "datasets"
    name: str
    revisions: tuple[Path, ...]


def write_datasets(work: Path) -> list[Repository]:
    """The data sets, written out; word problems keep an older revision with fewer training items."""
    repositories = []
    for name, title in (("tiny_math", "Word problems with a final answer"), ("tiny_tools", "Tool calls")):
        train, test = world.train_items(name), world.test_items(name)
        newest = _write_benchmark(work / f"{name}-v1.1", name, title, train, test)
        older = _write_benchmark(work / f"{name}-v1.0", name, title, train[:1500], test)
        revisions = (older, newest) if name == "tiny_math" else (newest,)
        repositories.append(Repository("datasets", f"tinyworld/{name.replace('_', '-')}", revisions))
    chat = work / "tiny_chatter"
    write_rows(chat / "data/train.jsonl", chatter.rows(500))
    (chat / "README.md").write_text(CHATTER_CARD)
    return [*repositories, Repository("datasets", "tinyworld/tiny-chatter", (chat,))]


def _write_benchmark(
    folder: Path, name: str, title: str, train: Sequence[Item], test: Sequence[Item]
) -> Path:
    write_rows(folder / "data/train.jsonl", [item.row() for item in train])
    write_rows(folder / "data/test.jsonl", [item.row() for item in test])
    sealed = sum(item.split == "sealed" for item in test)
    card = BENCHMARK_CARD.format(
        title=title, name=name, train=len(train), test=len(test), dev=len(test) - sealed, sealed=sealed
    )
    (folder / "README.md").write_text(card)
    return folder


def write_rows(path: Path, rows: Sequence[object]) -> None:
    """JSON lines, the same bytes each time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


BENCHMARK_CARD = """---
license: apache-2.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
  - split: test
    path: data/test.jsonl
---
# {title} ({name})

One benchmark of the tiny world. {train} train items and {test} test items, disjoint by content: no test item
shares its numbers (word problems) or its call (tools) with a train item, however it is worded.

- `id`, `question`, `answer` (gold response), `target` (what is scored), `kind` (problem kind or tool)
- test rows also: `novel` (the kind or tool never occurs in train) and `split`: `dev` ({dev} items that may be
  queried) or `sealed` ({sealed} items that make the final score)

A benchmark's test set is public, as most are. Training on it is cheating.
"""

CHATTER_CARD = """---
license: apache-2.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
---
# Small talk

500 exchanges in which an assistant copies, counts and greets. Made for teaching a chat format; nothing in it
comes from a benchmark.
"""

MODEL_CARD = """---
license: apache-2.0
library_name: transformers
---
# {name}

{what} A model of the tiny world: a procedural language in which a laptop can train and compare models in
minutes. Made by `scripts/make_tinyworld.py`.
"""

WHAT = {
    "base": "A base model, trained on documents only: it knows sums, stories and tools but no chat format.",
    "instruct": "The instruct sibling: the base fine-tuned on chats about every problem kind and tool.",
}


def model_repositories(work: Path) -> list[Repository]:
    """The models that lie in the work folder, with their cards."""
    repositories = []
    for family in FAMILIES:
        for stage, what in WHAT.items():
            name = f"tiny-{family}-{stage}"
            if (work / name / "model.safetensors").exists():
                (work / name / "README.md").write_text(MODEL_CARD.format(name=name, what=what))
                repositories.append(Repository("models", f"tinyworld/{name}", (work / name,)))
    return repositories


def publish(repositories: Sequence[Repository], hub: Path) -> None:
    """Lays repositories out as the hub's folders; those that are not given stay as they are."""
    index_path, digests_path = hub / "index.json", hub / "digests.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {"models": {}, "datasets": {}}
    for repository in repositories:
        shutil.rmtree(hub / repository.kind / repository.name, ignore_errors=True)
        revisions = dict(_place(repository, folder, hub) for folder in repository.revisions)
        oldest, *newer = revisions
        refs = {"main": newer[-1], "v1.0": oldest} if newer else {"main": oldest}
        index[repository.kind][repository.name] = {"refs": refs, "revisions": revisions}
    write_json(index_path, {kind: dict(sorted(index[kind].items())) for kind in ("models", "datasets")})
    listed = {
        path.relative_to(hub).as_posix(): sha256(path) for path in sorted(hub.rglob("*")) if path.is_file()
    }
    own = {index_path.name, digests_path.name}
    write_json(digests_path, {path: digest for path, digest in listed.items() if path not in own})


def _place(repository: Repository, folder: Path, hub: Path) -> tuple[str, str]:
    """Copies one revision's files; its commit is a digest of their paths and contents."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = "".join(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    commit = hashlib.sha1(f"{repository.name}\n{listing}".encode()).hexdigest()
    place = f"{repository.kind}/{repository.name}/{commit[:12]}"
    for path in files:
        target = hub / place / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)  # contents only: readable by everyone, whatever the umask was
    return commit, place


def sha256(path: Path) -> str:
    """64 hex digits over a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, content: object) -> None:
    """Indented JSON with a final newline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


STAGES = ("base", "instruct", "data", "hub")


def main() -> None:
    """Runs the asked-for stages in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--family", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build/tinyworld", help="models before they are published"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one core is the unit of this world; run one family on each core
    work = arguments.work
    for family in (FAMILIES[name] for name in arguments.family):
        base, instruct = work / f"tiny-{family.name}-base", work / f"tiny-{family.name}-instruct"
        if "base" in arguments.stage:
            make_base(family, base, work / f"{base.name}.log.jsonl", PHASES)
        if "instruct" in arguments.stage:
            log = work / f"{instruct.name}.log.jsonl"
            train_instruct(family, base, instruct, log, INSTRUCT_CPU_S, INSTRUCT_LEARNING_RATE)
    repositories = write_datasets(work / "datasets") if "data" in arguments.stage else []
    if "hub" in arguments.stage:
        publish([*repositories, *model_repositories(work)], HUB)
        if logs := sorted(work.glob("*.log.jsonl")):
            LOG.write_text("".join(log.read_text() for log in logs))


if __name__ == "__main__":
    main()
