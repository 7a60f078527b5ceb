"""Runs one answer against its tests: `trial_program.py SOCKET`.

A program for the inside of a sandbox, standard library only. Two processes:

- the *caller* holds the tests and the connection to the host. It never executes a line of the answer: the
  function under test is a stand-in that sends its arguments to the other process and gets a value back.
- the *worker* executes the answer. It was split off before the tests arrived, holds no connection to the
  host, and returns values as JSON text, from which the caller builds plain numbers, strings and containers.

Covered: an answer that exits, hangs, dies, forks or prints; values with an equality, truth or order of their
own (only plain values cross); changes to builtins, `assert`, modules, exit handlers or signals (they change
the worker alone); reading the tests, or writing the result, through /proc (the caller may not be traced).
Not covered: what the answer does to its own sandbox, which is nobody else's; a test that looks whether the
function changed its arguments (they are copies); a system without prctl, where it fails before it starts.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import math
import os
import socket
import sys
import types
from collections.abc import Callable
from fractions import Fraction
from typing import Any, BinaryIO

MESSAGE_CAP_BYTES = 4 << 20
ITEMS_CAP = 100_000  # of an iterator: an endless one is no value
PR_SET_DUMPABLE = 4
REASON_CAP_BYTES = 200

Json = Any


# --- values as JSON: {"kind": content} for all that JSON does not hold --------------------------------------


def encode(value: Any) -> Json:
    """A value as JSON knows it; what has no plain form becomes {"other": its type's name}."""
    for kind, form in FORMS:
        if isinstance(value, kind):
            return form(value)
    number = encode_number(value)
    if number is not None:
        return number
    if hasattr(value, "__next__"):
        return {"iterator": [encode(item) for item in itertools.islice(value, ITEMS_CAP)]}
    return {"other": type(value).__name__}


def encode_all(values: Any) -> list[Json]:
    return [encode(value) for value in values]


def encode_number(value: Any) -> Json:
    """A number of another package, without a change of value, or None when it is no number."""
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if hasattr(value, "as_integer_ratio") and math.isfinite(value):  # Decimal, Fraction, numpy's floats
        return {"ratio": [int(part) for part in value.as_integer_ratio()]}
    return int(value.__index__()) if hasattr(value, "__index__") else None


FORMS: tuple[tuple[Any, Callable[[Any], Json]], ...] = (
    (types.NoneType, lambda value: value),
    (bool, lambda value: value),
    (str, str.__str__),
    (int, int),
    (float, float),
    (complex, lambda value: {"complex": [value.real, value.imag]}),
    (list, encode_all),
    (tuple, lambda value: {"tuple": encode_all(value)}),
    (dict, lambda value: {"dict": [[encode(key), encode(item)] for key, item in value.items()]}),
    (frozenset, lambda value: {"frozenset": encode_all(value)}),
    (set, lambda value: {"set": encode_all(value)}),
    ((bytes, bytearray), lambda value: {"bytes": bytes(value).hex()}),
    (range, lambda value: {"range": [value.start, value.stop, value.step]}),
)


class Other:
    """A value without a plain form: equal to nothing, and of no use to a test."""

    def __init__(self, _: Json) -> None:
        pass


def decode(value: Json) -> Any:
    """The plain value that JSON holds. Only types of Python's own ever come out."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    return DECODED[kind](content)


DECODED: dict[str, Callable[[Json], Any]] = {
    "tuple": lambda content: tuple(decode(content)),
    "dict": lambda content: {decode(key): decode(item) for key, item in content},
    "set": lambda content: set(decode(content)),
    "frozenset": lambda content: frozenset(decode(content)),
    "complex": lambda content: complex(*content),
    "ratio": lambda content: Fraction(*content),
    "bytes": bytes.fromhex,
    "range": lambda content: range(*content),
    "iterator": lambda content: iter(decode(content)),
    "other": Other,
}


# --- the two processes --------------------------------------------------------------------------------------


class Failed(Exception):
    """The answer did not return a value."""


def work(asked: BinaryIO, answers: BinaryIO) -> None:
    """The worker's life: learn the answer, then call its function as often as asked."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    answer = json.loads(asked.readline())
    # Not "__main__": what stands under a main guard is no part of the function.
    module = types.ModuleType("answer")
    sys.modules["answer"] = module
    try:
        exec(compile(answer["program"], "answer.py", "exec"), module.__dict__)
        function = module.__dict__[answer["entry_point"]]
    except Exception as error:
        reply(answers, {"raised": type(error).__name__})
        return
    reply(answers, {"value": None})
    for line in asked:
        positional, named = decode(json.loads(line))
        try:
            told = {"value": encode(function(*positional, **named))}
        except Exception as error:
            told = {"raised": type(error).__name__}
        reply(answers, told)


def reply(answers: BinaryIO, told: Json) -> None:
    answers.write(json.dumps(told).encode() + b"\n")
    answers.flush()


class StandIn:
    """The function under test, as the tests see it."""

    def __init__(self, to_worker: BinaryIO, from_worker: BinaryIO) -> None:
        self.to_worker = to_worker
        self.from_worker = from_worker

    def learn(self, program: str, entry_point: str) -> None:
        """Have the worker execute the answer."""
        self.ask({"program": program, "entry_point": entry_point})

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return self.ask(encode((positional, named)))

    def ask(self, question: Json) -> Any:
        """The value that the worker answers with.

        Raises:
            Failed: it answers with none.
        """
        self.to_worker.write(json.dumps(question).encode() + b"\n")
        self.to_worker.flush()
        line = self.from_worker.readline(MESSAGE_CAP_BYTES)
        if not line.endswith(b"\n"):
            raise Failed("it returned too much" if line else "it ended its process")
        told = json.loads(line)
        if "value" not in told:
            raise Failed(f"it raised {str(told.get('raised'))[:80]}")
        return decode(told["value"])


def outcome_of(trial: dict[str, str], stand_in: StandIn) -> str:
    """The word "passed", or why the answer failed."""
    tests: dict[str, Any] = {"__name__": "tests"}
    try:
        exec(compile(trial["prompt"], "prompt.py", "exec"), tests)  # what the tests call beside the answer
        stand_in.learn(trial["program"], trial["entry_point"])
        tests[trial["entry_point"]] = stand_in
        exec(compile(trial["tests"], "tests.py", "exec"), tests)
        tests["check"](stand_in)
    except AssertionError:
        return "a test failed"
    except Failed as failed:
        return str(failed)
    except BrokenPipeError:
        return "it ended its process"
    except Exception as error:
        return f"it returned something that the tests cannot use ({type(error).__name__})"
    return "passed"


def split_off() -> StandIn:
    """The way to a worker: it runs nothing of the answer until it is told."""
    asked, to_worker = os.pipe()
    from_worker, answers = os.pipe()
    if os.fork():
        os.close(asked)
        os.close(answers)
        return StandIn(os.fdopen(to_worker, "wb"), os.fdopen(from_worker, "rb"))
    os.close(to_worker)
    os.close(from_worker)
    try:
        work(os.fdopen(asked, "rb"), os.fdopen(answers, "wb"))
    finally:
        os._exit(0)


def main(path: str) -> None:
    """One trial: told by the host, answered to the host."""
    stand_in = split_off()
    # From here on, no process of the same user may read or write our memory or open our descriptors.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    host = socket.socket(socket.AF_UNIX)
    host.connect(path)
    told = b""
    while chunk := host.recv(1 << 16):
        told += chunk
    host.sendall(outcome_of(json.loads(told), stand_in).encode()[:REASON_CAP_BYTES])
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
