"""`ptb keys show`: the key by which this installation signs, as others need it; and who signs what."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec

import typer

from posttrainbench.stores.keys import (
    InstallationKey,
    existing_key,
    installation_key,
    keys_folder,
    public_pem,
)

SHOWN_DIGITS = 16  # of a fingerprint: what people compare


def signing_key() -> InstallationKey | None:
    """The key that signs what this installation publishes, made at first use.

    None where the package `cryptography` is missing: what is published then says that it is not signed.
    """
    return installation_key(keys_folder(os.environ)) if find_spec("cryptography") else None


def own_key() -> InstallationKey | None:
    """The key of this installation, None while there is none."""
    return existing_key(keys_folder(os.environ)) if find_spec("cryptography") else None


def show(as_json: bool) -> None:
    """Print this installation's fingerprint and its public key; a line that says so while there is none."""
    folder = keys_folder(os.environ)
    key = own_key()
    if as_json:
        facts = (
            {"fingerprint": key.fingerprint, "public_key": public_pem(key.public_key), "folder": str(folder)}
            if key
            else None
        )
        typer.echo(json.dumps(facts, indent=2))
    elif key is None:
        typer.echo(f"no key yet: the first run makes one in {folder}")
    else:
        typer.echo(f"fingerprint {key.fingerprint[:SHOWN_DIGITS]} (whole: {key.fingerprint})")
        typer.echo(f"kept in {folder}; give others what follows, for `ptb verify RUN --trust FILE`:")
        typer.echo(public_pem(key.public_key), nl=False)
