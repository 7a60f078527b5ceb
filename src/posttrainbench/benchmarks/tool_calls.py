"""Inspect's side of benchmarks that ask for one tool call: capture it, then compare it."""

from __future__ import annotations

from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_evals.bfcl.solve.single_turn_solver import single_turn_solve

from posttrainbench.scoring.function_call import FunctionCall, read_call, same


@solver
def one_call() -> Solver:
    """Offers the sample's `tools` and generates once; no tool is executed."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        return await single_turn_solve(state, generate)

    return solve


@scorer(metrics=[accuracy(), stderr()])
def same_call() -> Scorer:
    """1 for exactly one tool call, equal to the target's in function and arguments; else 0."""

    async def score(state: TaskState, target: Target) -> Score:
        calls = state.output.message.tool_calls or []
        answer = "; ".join(f"{call.function}({call.arguments})" for call in calls)
        if len(calls) != 1:
            return Score(value=0.0, answer=answer, explanation=f"{len(calls)} tool calls, not one")
        if calls[0].parse_error:
            return Score(value=0.0, answer=answer, explanation=calls[0].parse_error)
        found = FunctionCall(calls[0].function, calls[0].arguments)
        return Score(value=float(same(found, read_call(target.text))), answer=answer)

    return score
