"""`ptb audit RUN --dispute TEXT`: a signed note beside a record, which `show` and `rank` point out."""

from __future__ import annotations

from pathlib import Path

import typer

from posttrainbench.cli.keys import SHOWN_DIGITS, signing_key
from posttrainbench.errors import SetupError
from posttrainbench.report.visible import visible
from posttrainbench.stores.runs import RunStore

LONGEST = 4000  # characters


def dispute(run_dir: Path, text: str) -> None:
    """Keep `text` beside the run's newest record.

    Raises:
        SetupError: it is empty or very long, or there is no record yet.
    """
    if not text.strip() or len(text) > LONGEST:
        raise SetupError(f'say in 1 to {LONGEST} characters why: ptb audit {run_dir} --dispute "TEXT"')
    key = signing_key()
    made = RunStore(run_dir).dispute(text.strip(), key)
    who = f"signed by {key.fingerprint[:SHOWN_DIGITS]}" if key else "not signed"
    typer.echo(f"record {made.record} of {visible(made.run_id)} is disputed ({who}); the verdict stands")
