"""What a scripted LLM makes a stock agent do on the embedded task, and what its sandbox is searched for."""

from __future__ import annotations

import json
import re
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path

from scripted_llm import REAL_KEY, Act, Asked, Run, Say, Use

import posttrainbench

SFT = Path(posttrainbench.__file__).parent / "agents/scripted/sft.py"
SUITE = """
name = "tiny-reprompt"
version = "1"
title = "One task; who stops early is told to go on"
[[base_models]]
hub_id = "tinyworld/tiny-qwen3-base"
[[benchmarks]]
name = "tiny_math"
weight = 1
[budget]
wall_s = 900
[limits]
memory_bytes = 4_294_967_296
[rules]
policy = "paper"
query_split = "dev"
allowed_datasets = ["tinyworld/tiny-math"]
reprompt_above_s = 1
"""
PRICES = """
[models."*"]
input = 3
cached = 0.3
cache_write = 4
output = 15
"""
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"  # how mini-swe-agent stops

# Says how often the key is in the files, environments, command lines and memory of a sandbox, and, to show
# that it looks, how often a dummy is that lies in some of them.
SEARCH = f'''
import os, re
from pathlib import Path
key = ("{REAL_KEY[:12]}" + "{REAL_KEY[12:]}").encode()
mine = {{os.getpid(), os.getppid()}}
found, dummies, files, processes, memories = [], 0, 0, 0, 0
def look(place, data):
    global dummies
    dummies += b"sandbox-" + b"dummy" in data
    if key in data:
        found.append(place)
for top in ("/workspace", "/home", "/tmp", "/etc", "/run", "/var", "/dev/shm", "/root", "/srv"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and path.name != "search.py":
                files += 1
                with open(path, "rb") as file:
                    look(str(path), file.read(64 * 1024**2))
for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
    processes += 1
    for name in ("environ", "cmdline"):
        try:
            look(f"/proc/{{pid}}/{{name}}", Path(f"/proc/{{pid}}/{{name}}").read_bytes())
        except OSError:
            pass
    if pid in mine:
        continue
    try:
        maps = Path(f"/proc/{{pid}}/maps").read_text().splitlines()
        with open(f"/proc/{{pid}}/mem", "rb", 0) as memory:
            for line in maps:
                span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
                if span:
                    start, end = int(span[1], 16), int(span[2], 16)
                    try:
                        memory.seek(start)
                        look(f"memory of {{pid}}", memory.read(min(end - start, 32 * 1024**2)))
                    except (OSError, ValueError, OverflowError):
                        pass
        memories += 1
    except OSError:
        pass
looked = f"files={{files > 0}} processes={{processes > 2}} dummies={{dummies > 0}}"
print(f"SEARCHED {{looked}} key={{found or 'nowhere'}}")
print(f"memory of {{memories}} processes read")
'''
TRAIN = """
import json, sys, time
from pathlib import Path
from huggingface_hub import hf_hub_download
import sft
rows = [json.loads(line) for line in Path(hf_hub_download(
    "tinyworld/tiny-math", "data/train.jsonl", repo_type="dataset")).read_text().splitlines()]
model, tokenizer = sft.load("base")
training = sft.Training(model, tokenizer, [sft.Pair(row["question"], row["answer"]) for row in rows], 10)
while not training.finished:
    training.step()
training.checkpoint("final_model")
print("trained", training.steps, "steps")
"""


def written(path: str, text: str) -> str:
    """A shell command that writes a file."""
    return f"cat > {path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n"


FETCH = (
    'python -c "from huggingface_hub import snapshot_download as get; '
    "get('tinyworld/tiny-qwen3-base', local_dir='base')\" && cp -r base final_model"
)
READ = f"cat task.md rules.md task.json; ./timer.sh; {written('search.py', SEARCH)}python search.py"
BASELINE = f"{FETCH}; python evaluate.py --model final_model"
RECIPE = f"{written('sft.py', SFT.read_text())}{written('train.py', textwrap.dedent(TRAIN))}python train.py"
MEASURE = "python evaluate.py --model final_model; python search.py"


@dataclass
class Script:
    """Reads the task, measures the base model, trains, stops early; goes on when told to, then has enough."""

    acts: list[str | None] = field(
        default_factory=lambda: [READ, BASELINE, RECIPE, None, MEASURE, None]  # None: stops
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Act:
        with self.lock:
            if not asked.tools:  # a title, a summary: no work
                return Say("An experiment")
            running = _still_running(asked)
            if running is not None:
                wait = {"session_id": running, "chars": "", "yield_time_ms": 30_000}
                return Use("write_stdin", wait)
            act = self.acts.pop(0) if self.acts else None
            if act is not None:
                return Run(act)
            return Run(SUBMIT) if "COMPLETE_TASK_AND_SUBMIT" in str(asked.body) else Say("All done.")


def _still_running(asked: Asked) -> int | None:
    """Codex hands a command that takes long back as a session; its number, where the last result is one."""
    told = asked.body.get("input")
    last = json.dumps(told[-1]) if isinstance(told, list) and told else ""
    found = re.search(r"Process running with session ID (\d+)", last)
    return int(found[1]) if found and "write_stdin" in asked.tools else None
