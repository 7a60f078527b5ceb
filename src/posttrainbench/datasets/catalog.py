"""The files of every benchmark: their digests, their sizes, and where the same bytes are public.

A digest is over the uncompressed content, so that a file may lie compressed or not. The set on the hub is
what agents look for; the bytes that we pin lie in the repository that is named, since several sets on the hub
are other encodings of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from posttrainbench.digest import content_digest
from posttrainbench.errors import UnknownName


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file: its place in a data folder, its content's digest, and its source."""

    name: str  # relative to the data folder, without .gz
    sha256: str
    rows: int
    repository: str  # on GitHub
    commit: str
    path: str  # there

    @property
    def source(self) -> str:
        """The path of this file on a host of raw repository files."""
        return f"{self.repository}/{self.commit}/{self.path}"


@dataclass(frozen=True, slots=True)
class BenchmarkData:
    """All files that a benchmark's score depends on, and where agents would look for the set."""

    benchmark: str
    hub_id: str
    hub_revision: str
    files: tuple[DataFile, ...]

    @property
    def digest(self) -> str:
        """64 hex digits over the content of every file; known without having them."""
        return content_digest({"files": {file.name: file.sha256 for file in self.files}})


AIME2025 = BenchmarkData(
    "aime2025",
    "math-ai/aime25",
    "563bb8404243c5f09de6ec262f2db674fe5bce9b",
    (
        DataFile(
            "aime2025/aime25_test.jsonl",
            "b4e273c02d3e7fe1b74b59eae768fc8230bfb0f79539890cb56f4361caac0331",
            30,
            "inclusionAI/AReaL",
            "1b0306631b01becc329af59df560efb754be34af",
            "evaluation/data/aime25/test.jsonl",
        ),
    ),
)
_ARENA = "src/eval/tasks/arenahardwriting/evaluation_code/data/arena-hard-v2.0"
ARENA_HARD_WRITING = BenchmarkData(
    "arena_hard_writing",
    "lmarena-ai/arena-hard-auto",
    "main",  # the questions are pinned by their digest
    (
        DataFile(
            "arenahard/question.jsonl",
            "f337df1022d723b2062bcc530e8e7fbc367548c31fbc87d0ae668f0b6c7609a5",
            250,
            "aisa-group/PostTrainBench",
            "9082063a62e10e040f1acacdec2ccfc1467e0c00",
            f"{_ARENA}/question.jsonl",
        ),
        DataFile(
            "arenahard/model_answer.Qwen3-1.7B.jsonl",
            "87a72bb89edfd05fc8dd32152750649e1bab60ba1b62ebcd055610a729023c30",
            250,
            "aisa-group/PostTrainBench",
            "9082063a62e10e040f1acacdec2ccfc1467e0c00",
            f"{_ARENA}/model_answer/Qwen3-1.7B.jsonl",
        ),
    ),
)
BFCL = BenchmarkData(
    "bfcl",
    "gorilla-llm/Berkeley-Function-Calling-Leaderboard",
    "1bf8bbc3c0e35d04d00339c223a3fd653aa195ac",
    (
        DataFile(
            "bfcl/BFCL_v3_exec_simple.jsonl",
            "120eb383a8ec801b47e56d7337b61158944ae35b935c86e8d846948fa27215f6",
            100,
            "ShishirPatil/gorilla",
            "70b6a4a2144597b1f99d1f4d3185d35d7ee532a4",
            "berkeley-function-call-leaderboard/data/BFCL_v3_exec_simple.json",
        ),
    ),
)
GPQA_MAIN = BenchmarkData(
    "gpqa_main",
    "Idavidrein/gpqa",
    "633f5ee89ab8ad4522a9f850766b73f62147ffdd",
    (
        DataFile(
            "gpqa/dataset.zip",
            "461ae7329f15a3e35f8184d2dac24b990f34fdf12f366ca4062d8e6638cd08dc",
            448,
            "idavidrein/gpqa",
            "56686c06f5e19865c153de0fdb11be3890014df7",
            "dataset.zip",
        ),
    ),
)
GSM8K = BenchmarkData(
    "gsm8k",
    "openai/gsm8k",
    "cc7b047b6e5bb11b4f1af84efc572db110a51b3c",
    (
        DataFile(
            "gsm8k/test.jsonl",
            "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
            1319,
            "openai/grade-school-math",
            "3101c7d5072418e28b9008a6636bde82a006892c",
            "grade_school_math/data/test.jsonl",
        ),
        DataFile(
            "gsm8k/train.jsonl",
            "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
            7473,
            "openai/grade-school-math",
            "3101c7d5072418e28b9008a6636bde82a006892c",
            "grade_school_math/data/train.jsonl",
        ),
    ),
)
HEALTHBENCH_EASY = BenchmarkData(
    "healthbench_easy",
    "openai/healthbench",
    "main",  # the subset is pinned by its digest
    (
        DataFile(
            "healthbench/healthbench.jsonl",
            "0febc8f013eb5d91e3b7e31bbbb0284ae6aa5fbd8cab68b81d63fa252837c0b0",
            245,
            "aisa-group/PostTrainBench",
            "9082063a62e10e040f1acacdec2ccfc1467e0c00",
            "src/eval/tasks/healthbench/evaluation_code/data/healthbench.jsonl",
        ),
    ),
)
HUMANEVAL = BenchmarkData(
    "humaneval",
    "openai/openai_humaneval",
    "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
    (
        DataFile(
            "humaneval/HumanEval.jsonl",
            "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
            164,
            "openai/human-eval",
            "6d43fb980f9fee3c892a914eda09951f772ad10d",
            "data/HumanEval.jsonl.gz",
        ),
    ),
)

ALL = {
    data.benchmark: data
    for data in (AIME2025, ARENA_HARD_WRITING, BFCL, GPQA_MAIN, GSM8K, HEALTHBENCH_EASY, HUMANEVAL)
}


def data_of(benchmark: str) -> BenchmarkData:
    """The files of a benchmark.

    Raises:
        UnknownName: no such benchmark has data of its own.
    """
    if benchmark not in ALL:
        raise UnknownName("benchmark with data", benchmark, ALL)
    return ALL[benchmark]
