"""`ptb verify`: is a run directory what its record says, and who says so?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from posttrainbench.cli.keys import SHOWN_DIGITS, own_key
from posttrainbench.errors import PtbError, SetupError
from posttrainbench.flows.verify import Check, Keys, Verified
from posttrainbench.flows.verify import verify as verify_run
from posttrainbench.signature import Signed
from posttrainbench.stores.keys import read_public_key
from posttrainbench.stores.parcels import unpacked
from posttrainbench.stores.runs import RunStore, find_runs


def verify(root: Path, trusted: Sequence[Path], as_json: bool) -> None:
    """Check every run in `root`, a folder or a packed one; exit status 1 when something does not hold."""
    own = own_key()
    keys = Keys(own.public_key if own else None, frozenset(read_public_key(path) for path in trusted))
    with _folder(root) as folder:
        stores = list(find_runs(folder))
        if not stores:
            raise SetupError(f"{root} holds no run directory (a folder with a spec.json)")
        found = [(_shown(root, folder, store), _verified(store, keys)) for store in stores]
    if as_json:
        rows = [{"run": name, **dataclasses.asdict(verified)} for name, verified in found]
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(found)
    if not all(verified.holds for _, verified in found):
        raise typer.Exit(1)


@contextmanager
def _folder(root: Path) -> Iterator[Path]:
    if root.is_file():
        with unpacked(root) as folder:
            yield folder
    else:
        yield root


def _shown(root: Path, folder: Path, store: RunStore) -> str:
    """A run's place as it was typed; within a packed file, behind an exclamation mark."""
    if folder == root:
        return str(store.layout.root)
    return f"{root}!{store.layout.root.relative_to(folder)}"


def _verified(store: RunStore, keys: Keys) -> Verified:
    try:
        return verify_run(store, keys)
    except (PtbError, UnicodeDecodeError) as error:  # a record that cannot even be read
        return Verified((Check("record", False, str(error)),), Signed.NOT, None)


def _print(found: list[tuple[str, Verified]]) -> None:
    console = Console()
    for name, verified in found:
        mark, colour = ("ok", "green") if verified.holds else ("FAILED", "red")
        console.print(f"{mark:6} ", style=colour, end="")
        told = f"{name}  ({len(verified.checks)} checks; {_who(verified)})"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
        for check in verified.checks:
            if not check.holds:
                told = f"         {check.what}: {check.detail}"
                console.print(told, markup=False, highlight=False, soft_wrap=True)


def _who(verified: Verified) -> str:
    key = f", key {verified.fingerprint[:SHOWN_DIGITS]}" if verified.fingerprint else ""
    return f"{verified.signed.value}{key}"
