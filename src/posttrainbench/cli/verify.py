"""`ptb verify`: is a run directory what its record says?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import typer
from rich.console import Console

from posttrainbench.errors import PtbError, SetupError
from posttrainbench.flows.verify import Check
from posttrainbench.flows.verify import verify as verify_run
from posttrainbench.stores.runs import RunStore, find_runs


def verify(root: Path, as_json: bool) -> None:
    """Check every run at or below `root`; exit status 1 when something does not hold."""
    stores = list(find_runs(root))
    if not stores:
        raise SetupError(f"{root} holds no run directory (a folder with a spec.json)")
    found = [(store, _checks(store)) for store in stores]
    if as_json:
        rows = [
            {"run": str(store.layout.root), "checks": [dataclasses.asdict(check) for check in checks]}
            for store, checks in found
        ]
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(found)
    if any(not check.holds for _, checks in found for check in checks):
        raise typer.Exit(1)


def _checks(store: RunStore) -> tuple[Check, ...]:
    try:
        return verify_run(store)
    except PtbError as error:  # a record that cannot even be read
        return (Check("record", False, str(error)),)


def _print(found: list[tuple[RunStore, tuple[Check, ...]]]) -> None:
    console = Console()
    for store, checks in found:
        wrong = [check for check in checks if not check.holds]
        mark, colour = ("FAILED", "red") if wrong else ("ok", "green")
        console.print(f"{mark:6} ", style=colour, end="")
        console.print(
            f"{store.layout.root}  ({len(checks)} checks)", markup=False, highlight=False, soft_wrap=True
        )
        for check in wrong:
            console.print(f"         {check.what}: {check.detail}", markup=False, highlight=False)
