"""All benchmarks on their true test sets, without a model: what is asked, what exact rules make of answers.

Scores of those that are executed or graded: `test_graded_benchmarks.py`.
Nothing of the sets may be printed: assertions compare counts and truth values, never texts.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from answered import earned, exchanges, said, values
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelName, ModelOutput
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.tool import ToolCall

from posttrainbench.benchmarks.gpqa_main import MEMBER
from posttrainbench.cli.members import benchmark_named
from posttrainbench.datasets.catalog import BFCL, GPQA_MAIN, HEALTHBENCH_EASY, data_of
from posttrainbench.datasets.folder import _unzipped, content_of, data_folder, find
from posttrainbench.scoring.function_call import read_call

EXACT = {"aime2025": 30, "bfcl": 100, "gpqa_main": 448, "gsm8k": 1319}
SIZES = EXACT | {"arena_hard_writing": 250, "healthbench_easy": 245, "humaneval": 164}
REFUSALS = (
    "",
    " \n\n",
    "I'm sorry, but I can't help with that.",
    "ANSWER:",
    "I do not know.\n\nANSWER: unknown",
)

pytestmark = pytest.mark.usefixtures("with_real_data")


@pytest.fixture(params=sorted(SIZES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=sorted(EXACT))
def exact(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spoken(sample: Sample) -> ModelOutput:
    """The right answer as a model is asked to give it, after some reasoning."""
    return ModelOutput.from_content("scripted", f"First 12, then 7.5 of it.\n\nANSWER: {sample.target}")


def called(sample: Sample) -> ModelOutput:
    """The right call as a tool call."""
    assert isinstance(sample.target, str)
    call = read_call(sample.target)
    tool_call = ToolCall(id="1", function=call.function.replace(".", "_"), arguments=dict(call.arguments))
    message = ChatMessageAssistant(content="", tool_calls=[tool_call])
    return ModelOutput(model="scripted", choices=[ChatCompletionChoice(message=message)])


def gold(name: str) -> Callable[[Sample], ModelOutput]:
    return called if name == "bfcl" else spoken


def test_the_full_set_is_there_and_every_id_is_its_own(name: str) -> None:
    items = benchmark_named(name).items("test")
    assert len(items) == len({item.id for item in items}) == SIZES[name]
    assert all(item.question.strip() for item in items)
    if name in EXACT:
        assert all(item.answer.strip() and item.target.strip() for item in items)


def test_dev_and_sealed_share_nothing_and_make_up_the_test_set(name: str) -> None:
    benchmark = benchmark_named(name)
    dev, sealed = ({item.id for item in benchmark.items(split)} for split in ("dev", "sealed"))
    assert not dev & sealed
    assert dev | sealed == {item.id for item in benchmark.items("test")}
    assert 0.2 < len(dev) / SIZES[name] < 0.45
    asked = {str(sample.id) for sample in benchmark.inspect_task("dev").dataset}
    assert asked == dev


def test_only_gsm8k_has_train_items_and_none_is_a_test_item(name: str) -> None:
    benchmark = benchmark_named(name)
    train = {item.question.strip() for item in benchmark.items("train")}
    both = sum(item.question.strip() in train for item in benchmark.items("test"))
    sizes = len(benchmark.items("train")), both
    assert sizes == (7473 if name == "gsm8k" else 0, 0)


def test_every_gold_answer_counts(exact: str) -> None:
    points = values(benchmark_named(exact).inspect_task("test"), gold(exact))
    assert (len(points), sum(points)) == (EXACT[exact], EXACT[exact])


def test_blanks_and_refusals_earn_nothing(exact: str) -> None:
    task = benchmark_named(exact).inspect_task("test")
    some = list(task.dataset)[:100]
    for refusal in REFUSALS:
        samples = list(task.dataset) if not refusal else some
        assert sum(earned(exchange) for exchange in exchanges(task, said(refusal), samples)) == 0


def test_one_constant_letter_earns_its_share_of_gpqa() -> None:
    """Choices are shuffled, so a letter earns about a quarter, and the four together all of it."""
    task = benchmark_named("gpqa_main").inspect_task("test")
    shares = [sum(values(task, said(f"ANSWER: {letter}"))) / SIZES["gpqa_main"] for letter in "ABCD"]
    assert sum(shares) == pytest.approx(1.0)
    assert all(0.18 < share < 0.32 for share in shares)


def test_gpqa_choices_lie_alike_in_every_split_and_follow_their_place() -> None:
    benchmark = benchmark_named("gpqa_main")
    everywhere = {str(sample.id): sample for sample in benchmark.inspect_task("test").dataset}
    right = {item.id: item.target for item in benchmark.items("test")}
    samples = everywhere.values()
    moved = [s for s in benchmark.inspect_task("dev").dataset if s.choices != everywhere[str(s.id)].choices]
    misplaced = [s for s in samples if (s.choices or [])["ABCD".index(str(s.target))] != right[str(s.id)]]
    twins = [s for s in samples if len({text.strip() for text in s.choices or []}) < 4]
    counts = len(moved), len(misplaced), len(twins)
    assert counts == (0, 0, 3)


def test_aime_answers_are_integers_that_add_up() -> None:
    assert sum(int(item.target) for item in benchmark_named("aime2025").items("test")) == 8344


def test_aime_control_characters_reach_the_model_as_they_are() -> None:
    """Three problems lost backslashes in every public copy of this family; we mend nothing."""
    task = benchmark_named("aime2025").inspect_task("test")
    prompts = [exchange.messages[0][1] for exchange in exchanges(task, said("0"))]
    odd = sum(bool(re.search(r"[\x00-\x09\x0b-\x1f]", prompt)) for prompt in prompts)
    assert odd == 3


def test_gsm8k_answers_with_commas_count_with_and_without_them() -> None:
    task = benchmark_named("gsm8k").inspect_task("test")
    with_comma = [sample for sample in task.dataset if "," in sample.target]

    def plain(sample: Sample) -> ModelOutput:
        return ModelOutput.from_content("scripted", f"ANSWER: {str(sample.target).replace(',', '')}")

    points = [earned(exchange) for exchange in exchanges(task, plain, with_comma)]
    assert points
    assert set(points) == {1.0}


def test_the_digest_is_known_without_the_data(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PTB_DATA", str(tmp_path / "nothing"))
    assert benchmark_named(name).data_digest == data_of(name).digest


def test_making_the_tasks_asks_no_network_for_anything() -> None:
    program = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        print(event, arguments)
        sys.exit(1)
sys.addaudithook(watch)
from posttrainbench.cli.members import benchmark_named
for name in sys.argv[1:]:
    benchmark_named(name).inspect_task("dev")
"""
    argv = [sys.executable, "-c", program, *SIZES]
    end = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    assert (end.returncode, end.stdout) == (0, ""), end.stderr[-500:]


# --- what the model is asked is what inspect_evals asks -----------------------------------------------------

SOME = 40  # items of each set; the rest is asked in the same way


def test_gsm8k_asks_as_inspect_evals_does(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """System message with the same ten examples in the same order, and the same user message."""
    theirs = import_module("inspect_evals.gsm8k.gsm8k")
    files = {split: real_data / "gsm8k" / f"{split}.jsonl.gz" for split in ("train", "test")}
    monkeypatch.setattr(theirs, "hf_dataset", reader_of(files, tmp_path))
    assert same_questions("gsm8k", theirs.gsm8k()) == SOME


def test_aime2025_asks_as_inspect_evals_does(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = import_module("inspect_evals.aime2025.aime2025")
    files = {"test": real_data / "aime2025" / "aime25_test.jsonl.gz"}
    monkeypatch.setattr(theirs, "hf_dataset", reader_of(files, tmp_path))
    assert same_questions("aime2025", theirs.aime2025()) == 30


def test_gpqa_asks_as_inspect_evals_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their task for the diamond questions, given the main ones: choices in the same order, too."""
    theirs = import_module("inspect_evals.gpqa.gpqa")

    def read(sample_fields: Callable[[dict[str, str]], Sample], shuffle_choices: int, **_: object) -> object:
        text = _unzipped(GPQA_MAIN.files[0], MEMBER, data_folder())
        rows = csv.DictReader(io.StringIO(text, newline=""))
        dataset = MemoryDataset([sample_fields(row) for row in rows])
        dataset.shuffle_choices(seed=shuffle_choices)
        return dataset

    monkeypatch.setattr(theirs, "download", lambda *_: None)
    monkeypatch.setattr(theirs, "load_csv_dataset", read)
    assert same_questions("gpqa_main", theirs.gpqa_diamond()) == SOME


def test_bfcl_asks_as_inspect_evals_does(tmp_path: Path) -> None:
    """Their loader without the hint on Python's syntax, which came after the paper."""
    from inspect_evals.bfcl.bfcl import bfcl_solver, single_turn_record_to_sample
    from inspect_evals.bfcl.data import load_records_by_category
    from inspect_evals.bfcl.utils.task_categories import CATEGORIES

    path = tmp_path / CATEGORIES["exec_simple"].filename
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content_of(BFCL.files[0], find(BFCL.files[0], data_folder()) or path))
    answers = tmp_path / CATEGORIES["exec_simple"].ground_truth_filename
    answers.parent.mkdir(parents=True, exist_ok=True)
    answers.write_bytes(path.read_bytes())
    records = load_records_by_category("exec_simple", tmp_path, include_language_specific_hint=False)
    samples = [single_turn_record_to_sample(record) for record in records.values()]
    scorer = benchmark_named("bfcl").inspect_task("test").scorer
    assert same_questions("bfcl", Task(samples, solver=bfcl_solver(), scorer=scorer)) == SOME


def test_humaneval_asks_as_inspect_evals_does(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    theirs = import_module("inspect_evals.humaneval.humaneval")
    files = {"test": real_data / "humaneval" / "HumanEval.jsonl.gz"}
    monkeypatch.setattr(theirs, "hf_dataset", reader_of(files, tmp_path))
    task = theirs.humaneval()
    task.scorer = None  # theirs executes the answer beside its tests
    assert same_questions("humaneval", task) == SOME


def test_healthbench_asks_as_inspect_evals_does(tmp_path: Path) -> None:
    from inspect_evals.healthbench.healthbench import healthbench

    task = healthbench(local_path=str(healthbench_file(tmp_path)))
    task.scorer = None
    assert same_questions("healthbench_easy", task) == SOME


def test_healthbench_asks_its_grader_as_inspect_evals_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every criterion of some conversations, word for word."""
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path / "cache"))  # theirs keeps what it asked
    from inspect_ai.model import ChatMessage, get_model
    from inspect_evals.healthbench.healthbench import healthbench

    from posttrainbench.benchmarks.conversation import Turn, as_text
    from posttrainbench.benchmarks.healthbench_easy import HealthBenchEasy, grader_messages
    from posttrainbench.scoring.rubric import Criterion

    theirs: list[tuple[tuple[str, str], ...]] = []

    def graded(messages: list[ChatMessage], *_: object) -> ModelOutput:
        theirs.append(tuple((message.role, message.text) for message in messages))
        return ModelOutput.from_content("mockllm/model", '{"criteria_met": true}')

    judge = get_model("mockllm/model", custom_outputs=graded)
    task = healthbench(local_path=str(healthbench_file(tmp_path)), judge_model=judge)
    some = list(task.dataset)[:3]

    async def scored(task: Task, samples: list[Sample]) -> None:
        for sample in samples:
            state = TaskState(ModelName("a/b"), "1", 1, sample.input, [], metadata=sample.metadata)
            state.output = ModelOutput.from_content("a/b", "See a doctor.")
            await task.scorer[0](state, Target(""))  # type: ignore[index, operator]

    asyncio.run(scored(task, some))
    ours = [
        tuple((message.role, message.content) for message in grader_messages(conversation, criterion))
        for row in HealthBenchEasy()._rows("test")[:3]
        for conversation in [as_text((*row.prompt, Turn("assistant", "See a doctor.")))]
        for criterion in [Criterion(item.criterion, item.points, item.tags) for item in row.rubrics]
    ]
    asked = list(dict.fromkeys(theirs))  # outside an evaluation, theirs asks each more than once
    alike = ours == asked, len(ours) > 10
    assert alike == (True, True)


def healthbench_file(folder: Path) -> Path:
    """The set as inspect_evals reads it: not compressed."""
    (file,) = HEALTHBENCH_EASY.files
    path = folder / "healthbench.jsonl"
    path.write_bytes(content_of(file, find(file, data_folder()) or path))
    return path


def reader_of(files: dict[str, Path], cache: Path) -> Callable[..., object]:
    """What stands in for a hub: the same call, answered from files."""
    from inspect_ai.dataset import hf_dataset

    paths = {split: str(path) for split, path in files.items()}

    def read(split: str, **wanted: object) -> object:
        kept = {key: value for key, value in wanted.items() if key not in ("path", "data_dir", "revision")}
        return hf_dataset("json", split=split, data_files=paths, cache_dir=str(cache), **kept)  # type: ignore[arg-type]

    return read


def same_questions(name: str, theirs: Task) -> int:
    """How many of the first items are asked alike, by messages and tools; items stand in the same order."""
    ours = benchmark_named(name).inspect_task("test")
    pairs = zip(_asked(ours), _asked(theirs), strict=True)
    return sum(one == other for one, other in pairs)


def _asked(task: Task) -> list[tuple[object, object]]:
    some = list(task.dataset)[:SOME]
    return [(exchange.messages, exchange.tools) for exchange in exchanges(task, said(""), some)]
