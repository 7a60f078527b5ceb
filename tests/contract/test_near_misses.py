"""What just counts and what just does not: invented items through each benchmark's own solver and scorer."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from answered import earned as value_of
from answered import exchanges
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput
from inspect_ai.tool import ToolCall

from posttrainbench.benchmarks import aime2025, bfcl, gpqa_main, gsm8k
from posttrainbench.datasets.catalog import DataFile
from posttrainbench.protocols import Benchmark


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for invented sets."""
    monkeypatch.setenv("PTB_DATA", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, content: bytes) -> DataFile:
    """A file of an invented set, and the row that a catalogue would have of it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return DataFile(name, hashlib.sha256(content).hexdigest(), len(content.splitlines()), "a/b", "c", "d")


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def earned(benchmark: Benchmark, item: str, answer: ModelOutput | str) -> float:
    """What an answer to one item earns."""
    output = ModelOutput.from_content("scripted", answer) if isinstance(answer, str) else answer
    task = benchmark.inspect_task("test")
    (exchange,) = exchanges(task, lambda _: output, [s for s in task.dataset if str(s.id) == item])
    return value_of(exchange)


# --- GSM8K --------------------------------------------------------------------------------------------------


@pytest.fixture
def problems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> gsm8k.Gsm8k:
    """Three invented problems (0: 1,234; 1: 18; 2: -7) and twelve to draw examples from."""
    rows: list[dict[str, object]] = [
        {
            "question": "How many pebbles are on the beach?",
            "answer": "1200 + 34 = <<1200+34=1234>>\n#### 1,234",
        },
        {"question": "How many shells?", "answer": "9 x 2\n#### 18"},
        {"question": "How deep is the pit?", "answer": "0 - 7\n#### -7"},
    ]
    train = [
        {"question": f"What is {n} {{plus}} one?", "answer": f"{n} + 1\n#### {n + 1}"} for n in range(12)
    ]
    monkeypatch.setattr(gsm8k, "TEST", put(folder, "gsm8k/test.jsonl", lines(rows)))
    monkeypatch.setattr(gsm8k, "TRAIN", put(folder, "gsm8k/train.jsonl", lines(train)))
    return gsm8k.Gsm8k()


@pytest.mark.parametrize(
    ("item", "answer", "right"),
    [
        (0, "ANSWER: 1,234", 1),
        (0, "ANSWER: 1234", 1),
        (0, "ANSWER: 1234.0", 1),
        (0, "ANSWER: 1234.", 1),
        (0, "ANSWER: $1,234.00", 1),
        (0, "ANSWER: **1,234**", 1),
        (0, "ANSWER: 1234 pebbles", 1),
        (0, "The answer is 1,234.", 1),
        (0, "ANSWER: 1.234", 0),  # a decimal point is no thousands separator
        (0, "ANSWER: 12,34", 1),  # commas are dropped wherever they stand
        (0, "ANSWER: 1235", 0),
        (0, "ANSWER: 1234.5", 0),
        (0, "ANSWER: 1234.01", 1),  # equal at five significant digits: the published scorer's rule
        (0, "ANSWER: 1234, of which 12 are red", 0),  # the last number counts
        (1, "ANSWER: 18", 1),
        (1, "ANSWER: 18 dollars", 1),
        (1, "ANSWER: 018", 1),
        (1, "ANSWER: (18)", 1),
        (1, "ANSWER: 18!", 1),
        (1, "ANSWER: 18%", 0),  # could be 0.18
        (1, "ANSWER: 18kg", 0),  # glued to its unit it is not seen
        (1, "ANSWER: \\boxed{18}", 0),  # the prompt asks for no box, and the scorer sees no number in one
        (1, "ANSWER: eighteen", 0),
        (1, "ANSWER: 118", 0),
        (1, "ANSWER: 8", 0),
        (1, "ANSWER: -18", 0),
        (1, "ANSWER: 18\n\nI hope that helps.", 1),
        (1, "ANSWER: 18\n\nThat took 3 steps.", 0),
        (2, "ANSWER: -7", 1),
        (2, "ANSWER: \u22127", 1),  # a typographic minus
        (2, "ANSWER: 7", 0),
        (2, "ANSWER: - 7", 0),
    ],
)
def test_gsm8k(problems: gsm8k.Gsm8k, item: int, answer: str, right: int) -> None:
    assert earned(problems, f"test-{item}", answer) == right


def test_gsm8k_shows_ten_worked_examples_and_then_the_problem(problems: gsm8k.Gsm8k) -> None:
    exchange = exchanges(problems.inspect_task("test"), lambda _: ModelOutput.from_content("m", "1"))[1]
    (system, examples), (user, question) = exchange.messages
    assert (system, user) == ("system", "user")
    assert examples.count("ANSWER:") == gsm8k.FEW_SHOT
    assert examples.count("{plus}") == gsm8k.FEW_SHOT  # braces of an example are text
    assert "How many shells?" in question
    assert "How many shells?" not in examples


# --- AIME 2025 ----------------------------------------------------------------------------------------------


@pytest.fixture
def contest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> aime2025.Aime2025:
    """Two invented problems: 0 (with control characters where backslashes were) -> 70; 1 -> 5, as text."""
    rows: list[dict[str, object]] = [
        {"id": "0", "problem": "Let \x0crac{a}{b} and \triangle be {given}.", "answer": 70},
        {"id": "1", "problem": "Find n.", "answer": "5"},
    ]
    monkeypatch.setattr(aime2025, "TEST", put(folder, "aime2025/aime25_test.jsonl", lines(rows)))
    return aime2025.Aime2025()


@pytest.mark.parametrize(
    ("item", "answer", "right"),
    [
        (0, "So the sum is 70.\n\nANSWER: 70", 1),
        (0, "ANSWER: 070", 1),
        (0, "ANSWER: 70.0", 1),
        (0, "ANSWER: $70$", 1),
        (0, "ANSWER: \\boxed{70}", 1),
        (0, "Hence\n$$\n\\boxed{70}\n$$", 1),
        (0, "**70**", 1),
        (0, "ANSWER: 70^\\circ", 0),
        (0, "ANSWER: 71", 0),
        (0, "ANSWER: 700", 0),
        (0, "ANSWER: 7 0", 0),
        (0, "ANSWER: 70\nCheck: 35 + 35.", 0),  # only the last line counts
        (0, "ANSWER: 70 or 71", 0),
        (0, "70 is tempting, but I cannot decide", 1),  # the last line's last number, whatever surrounds it
        (1, "ANSWER: 005", 1),
        (1, "ANSWER: five", 0),
        (1, "ANSWER: 5/1", 0),
        (1, "ANSWER: 0.5", 0),
    ],
)
def test_aime2025(contest: aime2025.Aime2025, item: int, answer: str, right: int) -> None:
    assert earned(contest, str(item), answer) == right


def test_aime_prompts_hold_control_characters_and_braces_as_they_are(contest: aime2025.Aime2025) -> None:
    first = exchanges(contest.inspect_task("test"), lambda _: ModelOutput.from_content("m", "1"))[0]
    assert "Let \x0crac{a}{b} and \triangle be {given}." in first.messages[0][1]


# --- GPQA ---------------------------------------------------------------------------------------------------


@pytest.fixture
def questions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> gpqa_main.GpqaMain:
    """Two invented questions; in `twin`, a wrong choice reads like the right one. No password here."""
    header = ["Record ID", "Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    header += ["Explanation", "High-level domain"]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(header)
    writer.writerow(["plain", "What floats?\n", "cork ", "iron", "lead", "gold", "It is\nlight.", "Physics"])
    writer.writerow(["twin", "What sinks?", "iron", "iron", "cork", "wood", "It is heavy.", "Physics"])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(gpqa_main.MEMBER, table.getvalue())
    monkeypatch.setattr(gpqa_main, "ARCHIVE", put(folder, "gpqa/dataset.zip", archive.getvalue()))
    return gpqa_main.GpqaMain()


def letters(benchmark: Benchmark, item: str) -> tuple[str, str]:
    """The letter of the right choice and of another one."""
    sample: Sample = next(s for s in benchmark.inspect_task("test").dataset if s.id == item)
    right = str(sample.target)
    return right, next(letter for letter in "ABCD" if letter != right)


@pytest.mark.parametrize(
    ("form", "right"),
    [
        ("ANSWER: {right}", 1),
        ("Cork is light.\n\nANSWER: {right}", 1),
        ("ANSWER: ({right})", 1),
        ("ANSWER: {right}.", 1),
        ("ANSWER: **{right}**", 1),
        ("ANSWER: ${right}$", 1),
        ("**ANSWER: {right}**", 1),
        ("answer: {small}", 1),
        ("ANSWER: {wrong}\nNo, wait.\nANSWER: {right}", 1),  # the last one counts
        ("ANSWER: {right}\nNo, wait.\nANSWER: {wrong}", 0),
        ("ANSWER: {wrong}", 0),
        ("ANSWER: ({wrong})", 0),
        ("ANSWER: {right},{wrong}", 0),
        ("ANSWER: {right} or {wrong}", 0),
        ("ANSWER: E", 0),
        ("ANSWER: cork", 0),  # the letter is asked for
        ("{right}", 0),
        ("({right})", 0),
        ("The answer is {right}", 0),
    ],
)
def test_gpqa(questions: gpqa_main.GpqaMain, form: str, right: int) -> None:
    letter, other = letters(questions, "plain")
    answer = form.format(right=letter, wrong=other, small=letter.lower())
    assert earned(questions, "plain", answer) == right


def test_gpqa_follows_equal_choices_by_place(questions: gpqa_main.GpqaMain) -> None:
    values = [earned(questions, "twin", f"ANSWER: {letter}") for letter in "ABCD"]
    assert sum(values) == 1


def test_gpqa_items_carry_answer_and_explanation_apart(questions: gpqa_main.GpqaMain) -> None:
    item = questions.items("test")[0]
    assert (item.id, item.answer, item.target) == ("plain", "It is\nlight.", "cork ")


# --- BFCL ---------------------------------------------------------------------------------------------------


@pytest.fixture
def exercises(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bfcl.Bfcl:
    """One invented exercise."""
    properties = {
        "points": {
            "type": "array",
            "items": {"type": "array", "items": {"type": "float"}},
            "description": ".",
        },
        "scale": {"type": "float"},
        "name": {"type": "string"},
        "closed": {"type": "boolean"},
        "corner": {"type": "tuple", "items": {"type": "integer"}},
    }
    function = {
        "name": "shapes.draw",
        "description": "Draws.",
        "parameters": {"type": "dict", "properties": properties, "required": ["points", "scale"]},
    }
    call = "shapes.draw(points=[[1, 2.5], [3, 4]], scale=3.0, name='Red Kite', closed=True, corner=(1, 2))"
    row = {"id": "one", "question": [[{"role": "user", "content": "Draw it."}]], "function": [function]}
    rows: list[dict[str, object]] = [{**row, "ground_truth": [call], "execution_result_type": "exact_match"}]
    monkeypatch.setattr(bfcl, "TEST", put(folder, "bfcl/BFCL_v3_exec_simple.jsonl", lines(rows)))
    return bfcl.Bfcl()


RIGHT: Mapping[str, object] = {
    "points": [[1, 2.5], [3, 4]],
    "scale": 3.0,
    "name": "Red Kite",
    "closed": True,
    "corner": [1, 2],
}


def calling(*calls: ToolCall, text: str = "") -> ModelOutput:
    message = ChatMessageAssistant(content=text, tool_calls=list(calls) or None)
    return ModelOutput(model="scripted", choices=[ChatCompletionChoice(message=message)])


def draw(function: str = "shapes_draw", **changes: object) -> ToolCall:
    return ToolCall(id="1", function=function, arguments={**RIGHT, **changes})


@pytest.mark.parametrize(
    ("output", "right"),
    [
        (calling(draw()), 1),
        (calling(draw(), text="Here it comes."), 1),
        (calling(draw("shapes.draw")), 1),
        (calling(ToolCall(id="1", function="shapes_draw", arguments=dict(reversed(RIGHT.items())))), 1),
        (calling(draw(scale=3)), 1),
        (calling(draw(points=[[1.0, 2.5], [3.0, 4.0]])), 1),
        (calling(draw(points=[[1, 2.5], [4, 3]])), 0),
        (calling(draw(points=[1, 2.5, 3, 4])), 0),
        (calling(draw(points=[[1, 2.5]])), 0),
        (calling(draw(points="[[1, 2.5], [3, 4]]")), 0),
        (calling(draw(scale="3.0")), 0),
        (calling(draw(scale=3.0000001)), 0),
        (calling(draw(name="red kite")), 0),
        (calling(draw(name="Red Kite ")), 0),
        (calling(draw(closed=1)), 0),
        (calling(draw(closed="true")), 0),
        (calling(draw(closed=None)), 0),
        (calling(draw(corner=[2, 1])), 0),
        (calling(draw(colour="red")), 0),  # an argument too many
        (calling(ToolCall(id="1", function="shapes_draw", arguments={"points": [[1, 2.5], [3, 4]]})), 0),
        (calling(draw("shapes_fill")), 0),
        (calling(draw("draw")), 0),
        (calling(draw(), draw()), 0),  # one call, not two
        (calling(), 0),
        (calling(text="shapes.draw(points=[[1, 2.5], [3, 4]])"), 0),  # text is no call
        (calling(ToolCall("1", "shapes_draw", dict(RIGHT), parse_error="no JSON")), 0),
    ],
)
def test_bfcl(exercises: bfcl.Bfcl, output: ModelOutput, right: int) -> None:
    assert earned(exercises, "one", output) == right


def test_bfcl_offers_the_function_as_a_tool(exercises: bfcl.Bfcl) -> None:
    (exchange,) = exchanges(exercises.inspect_task("test"), lambda _: calling(draw()))
    (tool,) = exchange.tools
    assert exchange.messages == (("user", "Draw it."),)
    assert (tool.name, list(tool.parameters.properties)) == ("shapes_draw", list(RIGHT))
    assert tool.parameters.properties["scale"].type == "number"
    assert tool.parameters.properties["corner"].type == "array"
    assert tool.parameters.required == ["points", "scale"]
