"""Runs `ptb run RUN` and has the process killed, as by `kill -9`, at a named point.

    python kill_at.py POINT RUN

A point is "before STAGE EVENT" or "after STAGE EVENT" (a ledger entry is about to be written, or was just
written), or "within FUNCTION N": the N-th call of a function that a stage is made of.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from posttrainbench.stores.ledger import Ledger


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at_entry(when: str, stage: str, event: str) -> None:
    """Die before or after the ledger says that a stage has come to an event."""
    append = Ledger.append

    def watched(self: Ledger, kind: str, data: Any) -> Any:
        here = kind == "stage" and (str(data.get("stage")), data.get("event")) == (stage, event)
        if here and when == "before":
            die()
        entry = append(self, kind, data)
        if here:
            die()
        return entry

    Ledger.append = watched  # type: ignore[method-assign]


def kill_within(function: str, number: int) -> None:
    """Die in the `number`-th call of `module:name`, once it has done its work."""
    module_name, _, name = function.partition(":")
    owner: Any = importlib.import_module(module_name)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, last)
    calls = 0

    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        result = original(*args, **kwargs)
        if calls == number:
            die()
        return result

    setattr(owner, last, watched)


def main() -> None:
    words, run_dir = sys.argv[1].split(), sys.argv[2]
    if words[0] == "within":
        kill_within(words[1], int(words[2]))
    else:
        kill_at_entry(*words)
    sys.argv = ["ptb", "run", run_dir]
    from posttrainbench.cli.main import main as ptb

    ptb()


if __name__ == "__main__":
    main()
