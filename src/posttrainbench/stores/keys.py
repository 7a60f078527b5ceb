"""The key by which this installation signs what it publishes; made at first use, readable by its owner only.

Covered: two processes that make it at once; a key that others may read is refused.
Not covered: whoever runs commands as the same user can read it and sign; agents without isolation do.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.signature import Signature, fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VARIABLE = "PTB_KEYS"
PRIVATE, PUBLIC = "installation.pem", "installation.pub"


def keys_folder(environment: Mapping[str, str]) -> Path:
    """Where keys lie: `$PTB_KEYS`, else below the user's data folder; it need not be there."""
    data = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(environment.get(VARIABLE) or f"{data}/posttrainbench/keys").expanduser()


class InstallationKey:
    """Signs; its public half is what others trust."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = _raw(key.public_key())

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.public_key)

    def sign(self, content: bytes) -> Signature:
        """A signature of exactly these bytes."""
        signed: bytes = self._key.sign(content)
        return Signature(base64.b64encode(self.public_key).decode(), base64.b64encode(signed).decode())


def installation_key(folder: Path) -> InstallationKey:
    """The key in `folder`, made now if there is none.

    Raises:
        SetupError: the folder cannot be written, or others may read the key; the text says how to mend it.
    """
    try:
        return existing_key(folder) or _make(folder)
    except OSError as error:
        raise SetupError(
            f"no signing key can be kept in {folder} ({error.strerror or error}); set {VARIABLE} to a folder "
            "of yours that is shown to no agent"
        ) from None


def existing_key(folder: Path) -> InstallationKey | None:
    """The key in `folder`, or None while there is none.

    Raises:
        SetupError: others may read it, or it is no key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = folder / PRIVATE
    try:
        mode, content = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise SetupError(f"others may read the signing key: chmod 600 {path}, or remove it for a new one")
    try:
        key = load_pem_private_key(content, password=None)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidFile(f"{path} is no Ed25519 key; put it aside, and a new one is made")
    return InstallationKey(key)


def _make(folder: Path) -> InstallationKey:
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):  # another process was first: its key is the one
        _put(folder / PRIVATE, private, 0o600)
    made = existing_key(folder)
    assert made is not None
    with suppress(FileExistsError):
        _put(folder / PUBLIC, public_pem(made.public_key).encode(), 0o644)
    return made


def _put(path: Path, content: bytes, mode: int) -> None:
    """A file that was never there with other content or other rights.

    Raises:
        FileExistsError: something lies there.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink()


def public_pem(public_key: bytes) -> str:
    """A public key (32 bytes) as the text of a file that others are given."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(public_key)
    pem: bytes = key.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of a public key file.

    Raises:
        SetupError: it is not there, or holds something else (a private key, say).
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SetupError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidFile(f"{path} holds no Ed25519 public key; `ptb keys show` prints one")
    return _raw(key)


def fits(signature: Signature, content: bytes) -> bool:
    """Whether a signature is one of exactly these bytes, by the key that it names."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature.public_key, validate=True))
        key.verify(base64.b64decode(signature.value, validate=True), content)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _raw(key: Ed25519PublicKey) -> bytes:
    raw: bytes = key.public_bytes_raw()
    return raw
