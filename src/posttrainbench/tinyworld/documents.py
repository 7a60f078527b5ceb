"""Pre-training documents: notebooks, tables, scripts, logs and manuals, none of them in a chat format.

Each document has a style of its own (marks, separators) that it keeps from its first to its last entry. A
model that reads many of them learns to go on in the format that its context shows: that is what makes
few-shot prompts work. Stories and calls come from the train side only; tables of sums are general knowledge
and hold any pair.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Literal

from posttrainbench.tinyworld.stories import KINDS, LARGEST, Problem, Step, draw_problem
from posttrainbench.tinyworld.tools import PARAMETERS, TOOLS, Call, Tool, capitalised, describe, draw_call

Writer = Callable[[random.Random], str]
Mix = Literal["broad", "sums"]

RESULT_WORDS = ("So", "Total:", "Result:", "That makes", "In the end", "It is", "Sum:", "Found:")
_VERBS = ("open", "close", "find", "lock", "wash", "lift", "mark", "hide", "sort", "clean", "check", "bring")
_THINGS = (
    "door",
    "gate",
    "table",
    "chair",
    "bottle",
    "window",
    "basket",
    "ladder",
    "engine",
    "garden",
    "mirror",
    "blanket",
)


def documents(count: int, seed: int, mix: Mix = "broad") -> Iterator[str]:
    """A stream of documents; the same seed gives the same stream. The mix "sums" holds more arithmetic."""
    rng = random.Random(f"documents/{mix}/{seed}")
    writers, weights = zip(*MIXES[mix], strict=True)
    for _ in range(count):
        (writer,) = rng.choices(writers, weights)
        yield writer(rng)


def notebook(rng: random.Random) -> str:
    """A few solved stories, all written down in one style."""
    join = rng.choice((". ", ".\n", ", ", "; ", "\n"))
    gap = rng.choice(("\n\n", "\n\n", "\n"))
    mark = result_mark(rng)
    before_result = rng.choice((" ", "\n"))
    wonders = rng.choice(("", "", " {q}\n", " {q}. ", "\nTo find: {q}\n"))
    with_item = rng.random() < 0.2

    def entry(problem: Problem) -> str:
        # Without its question mark: the notebook states what it looks for, nobody asks.
        heading = wonders.format(q=problem.question.rstrip("?")) or rng.choice((" ", "\n"))
        sums = join.join(map(str, problem.steps)) + join.strip(" \n")
        ending = f" {problem.question.split()[2]}." if with_item else ""
        return f"{problem.scene}{heading}{sums}{before_result}{mark} {problem.result}{ending}"

    problems = [draw_problem(rng.choice(KINDS), rng, "train") for _ in range(rng.randint(1, 4))]
    return gap.join(map(entry, problems))


def result_mark(rng: random.Random) -> str:
    """What a notebook writes before a result: a word, or a few signs of one or more sorts."""
    if rng.random() < 0.4:
        return rng.choice(RESULT_WORDS)
    while True:
        mark = "".join(rng.choice("#*=>-~+@") * rng.randint(1, 3) for _ in range(rng.randint(1, 3)))
        if mark != "####":  # the benchmark's own mark must be news to a base model
            return mark


def table(rng: random.Random) -> str:
    """A column of sums."""
    gap = rng.choice(("\n", ". ", "; "))
    operations = rng.choice(("+", "-", "*", "/", "+-*/", "+-", "+-*/"))
    return gap.join(str(_draw_step(rng, rng.choice(operations))) for _ in range(rng.randint(6, 14)))


def _draw_step(rng: random.Random, operation: str) -> Step:
    """A sum within what the world counts to."""
    if operation == "+":
        total = rng.randint(3, LARGEST)
        left = rng.randint(1, total - 1)
        return Step(left, operation, total - left)
    if operation == "-":
        left = rng.randint(3, LARGEST)
        return Step(left, operation, rng.randint(1, left - 1))
    factor = rng.randint(2, 9)
    other = rng.randint(2, min(12, LARGEST // factor))
    return Step(factor, "*", other) if operation == "*" else Step(factor * other, "/", factor)


def script(rng: random.Random) -> str:
    """Commented calls below a list of the functions at hand, one list for all or one for each."""
    header = rng.choice(("functions: ", "uses: ", "kit: ", "tools: ", "have ", "# ", ""))
    between = rng.choice(("; ", ", ", " | ", "; "))
    comment = rng.choice(("# ", "// ", "-- ", "note: ", "", "", ""))
    prompt = rng.choice(("", "", "", "> ", "run ", "do: "))
    stop = rng.choice((".", ".", ""))
    invented = rng.random() < 0.35

    def listing(tools: list[Tool]) -> str:
        return header + between.join(tool.signature for tool in tools) + "\n"

    def entry(tool: Tool) -> str:
        call = draw_call(tool, rng, "train")
        phrase = describe(call, rng)
        remark = phrase if rng.random() < 0.3 else capitalised(phrase)
        return f"{comment}{remark}{stop}\n{prompt}{call}"

    if rng.random() < 0.6:
        lists = [_draw_tools(rng, invented) for _ in range(rng.randint(1, 3))]
        return "\n\n".join(listing(tools) + entry(rng.choice(tools)) for tools in lists)
    tools = _draw_tools(rng, invented)
    return listing(tools) + "\n".join(entry(rng.choice(tools)) for _ in range(rng.randint(1, 3)))


def _draw_tools(rng: random.Random, invented: bool) -> list[Tool]:
    count = rng.randint(2, 4)
    return [_invent_tool(rng) for _ in range(count)] if invented else rng.sample(TOOLS, count)


def _invent_tool(rng: random.Random) -> Tool:
    """A function that exists in one document only: its name can be copied, not remembered."""
    verb, thing = rng.choice(_VERBS), rng.choice(_THINGS)
    parameters = tuple(rng.sample(tuple(PARAMETERS), rng.randint(1, 3)))
    described = ", ".join(f"{name} {{{name}}}" for name in parameters)
    return Tool(f"{verb}_{thing}", False, parameters, (f"{verb} the {thing}, {described}",))


def log(rng: random.Random) -> str:
    """Calls in the order in which they ran, each with what it used."""
    status = rng.choice(("ok", "done", "1", "fine"))
    calls = [draw_call(rng.choice(TOOLS), rng, "train") for _ in range(rng.randint(2, 4))]
    return "\n".join(f"{call} {status}: {_used(call)}" for call in calls)


def _used(call: Call) -> str:
    return ", ".join(f"{name} {value}" for name, value in call.arguments.items())


def manual(rng: random.Random) -> str:
    """Functions with what they need and an example of what they do."""
    return "\n".join(_manual_entry(tool, rng) for tool in rng.sample(TOOLS, 3))


def _manual_entry(tool: Tool, rng: random.Random) -> str:
    example = describe(draw_call(tool, rng, "train"), rng)
    return f"{tool.signature} needs {' and '.join(tool.parameters)}. It can {example}."


MIXES: dict[Mix, tuple[tuple[Writer, float], ...]] = {
    "broad": ((notebook, 0.42), (table, 0.16), (script, 0.32), (log, 0.05), (manual, 0.05)),
    "sums": ((notebook, 0.28), (table, 0.50), (script, 0.18), (log, 0.02), (manual, 0.02)),
}
