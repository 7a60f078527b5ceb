"""The signing key: made once, kept private, and every changed bit shows."""

from __future__ import annotations

import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.signature import covered
from posttrainbench.stores.keys import (
    PRIVATE,
    PUBLIC,
    existing_key,
    fits,
    installation_key,
    keys_folder,
    read_public_key,
)


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert existing_key(folder) is None
    key = installation_key(folder)
    assert installation_key(folder).public_key == key.public_key == read_public_key(folder / PUBLIC)
    assert stat.S_IMODE((folder / PRIVATE).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [PRIVATE, PUBLIC]
    assert installation_key(tmp_path / "others").public_key != key.public_key


def test_processes_that_start_together_share_one_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from posttrainbench.stores.keys import installation_key; "
        "print(installation_key(Path(sys.argv[1])).fingerprint)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "keys")]
    started = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({one.communicate(timeout=120)[0] for one in started}) == 1


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    installation_key(tmp_path)
    (tmp_path / PRIVATE).chmod(0o644)
    with pytest.raises(SetupError, match="chmod 600"):
        installation_key(tmp_path)
    (tmp_path / PRIVATE).chmod(0o600)
    (tmp_path / PRIVATE).write_text("no key")
    with pytest.raises(InvalidFile, match="no Ed25519 key"):
        installation_key(tmp_path)


def test_a_folder_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="PTB_KEYS"):
        installation_key(tmp_path / "file" / "keys")


def test_a_signature_fits_its_bytes_and_no_others(tmp_path: Path) -> None:
    key, other = installation_key(tmp_path / "a"), installation_key(tmp_path / "b")
    signature = key.sign(b"content")
    assert fits(signature, b"content")
    assert signature.fingerprint == key.fingerprint
    assert not fits(signature, b"contents")
    assert not fits(replace(signature, public_key=other.sign(b"").public_key), b"content")
    assert not fits(replace(signature, value="?"), b"content")
    assert not fits(replace(signature, public_key="AAAA"), b"content")


def test_a_private_key_is_no_key_to_trust(tmp_path: Path) -> None:
    installation_key(tmp_path)
    with pytest.raises(InvalidFile, match="public key"):
        read_public_key(tmp_path / PRIVATE)
    with pytest.raises(SetupError, match="cannot read"):
        read_public_key(tmp_path / "nowhere.pub")


def test_a_signature_covers_all_content_and_no_formatting() -> None:
    text = '{"b": [1, 2.5, "ä"], "a": {"y": null}, "signature": {"value": "x"}}'
    assert covered(text, "record") == covered('{"a":{"y":null},\n"b":[1,2.5,"\\u00e4"]}', "record")
    assert covered(text, "record") != covered(text.replace("2.5", "2.6"), "record")
    assert covered(text, "record") != covered(text, "dispute")
    assert covered(text, "record") != covered(text.replace('"a"', '"c": 1, "a"'), "record")


def test_keys_lie_where_the_environment_says() -> None:
    assert keys_folder({"PTB_KEYS": "/k"}) == Path("/k")
    assert keys_folder({"XDG_DATA_HOME": "/d"}) == Path("/d/posttrainbench/keys")
