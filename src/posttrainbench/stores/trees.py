"""Reading a folder that somebody hostile may have written.

Covered: links are never followed (every component is opened from its parent with O_NOFOLLOW), fifos, sockets
and devices are never opened, sizes are checked before a byte is read, names of any bytes come out printable,
and a million entries or a very deep tree end at a cap with a note that says so.
Not covered: a writer that is still alive can change a file between two reads; whoever needs one state of it
copies from one open file. Linux only.

Paths given and returned are relative, with forward slashes, and escaped: a backslash, a control character
and a byte that is not UTF-8 stand as `\\xNN`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from posttrainbench.budget import GIB, MIB
from posttrainbench.record import FileFact

NOT_LISTED = "the rest was not listed"  # ends the note where a scan stops
_CHUNK_BYTES = 1 * MIB
_SPARSE_FROM_BYTES = 1 * GIB  # smaller files are hashed whatever their holes: it takes a second
_SPARSE_RATIO = 16  # compressing file systems shrink text by less than this
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking, so that a fifo put in a file's place at the last moment cannot hang us.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


@dataclass(frozen=True, slots=True)
class Caps:
    """How far a scan goes before it notes that it stopped."""

    entries: int = 2_000_000
    depth: int = 64
    file_bytes: int = 16 * GIB  # a larger file is listed, not hashed


def scan(
    root: Path, relative: str = "", caps: Caps | None = None, digests: bool = True
) -> Iterator[FileFact]:
    """Every file, link and odd entry below `root/relative`, sorted by name within each folder.

    Folders are not listed themselves, unless they could not be entered. Without `digests` nothing is read.

    Raises:
        OSError: `root/relative` is not a folder, or a link lies on the way to it.
    """
    with ExitStack() as stack:
        top = _open_folder(root, relative)
        stack.callback(os.close, top)
        yield from _Scan(caps or Caps(), digests).folder(top, "", 0)


@contextmanager
def open_regular(root: Path, relative: str) -> Iterator[BinaryIO]:
    """The regular file at `root/relative`, open for reading; no link on the way is followed.

    Raises:
        OSError: it is not there, not a regular file, or behind a link.
    """
    *folders, name = _components(relative)
    parent = _open_folder(root, "/".join(folders))
    try:
        descriptor = _open_file(parent, _unescape(name))
    finally:
        os.close(parent)
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_bytes(root: Path, relative: str, cap_bytes: int) -> bytes:
    """The content of a regular file of at most `cap_bytes` bytes.

    Raises:
        OSError: as `open_regular`; EFBIG when it is larger.
    """
    with open_regular(root, relative) as file:
        content = file.read(cap_bytes + 1)
    if len(content) > cap_bytes:
        raise OSError(errno.EFBIG, f"larger than {cap_bytes} bytes", relative)
    return content


def read_text(root: Path, relative: str, cap_bytes: int) -> str:
    """As `read_bytes`, as text; bytes that are not UTF-8 become replacement characters."""
    return read_bytes(root, relative, cap_bytes).decode("utf-8", "replace")


def remove_file(root: Path, relative: str) -> None:
    """Remove the entry at `root/relative`, as `scan` names it; no link on the way is followed.

    Raises:
        OSError: it is not there, is a folder, or lies behind a link.
    """
    *folders, name = _components(relative)
    parent = _open_folder(root, "/".join(folders))
    try:
        os.unlink(_unescape(name), dir_fd=parent)
    finally:
        os.close(parent)


def printable(name: str) -> str:
    """A file name with every backslash, control character and odd byte escaped; reversible."""
    raw = os.fsencode(name)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in raw)
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8"))


def _unescape(name: str) -> bytes:
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), name.encode("utf-8", "surrogateescape"))


class _Scan:
    """One walk: its caps, and how many entries it has seen."""

    def __init__(self, caps: Caps, digests: bool) -> None:
        self._caps, self._digests, self._seen = caps, digests, 0

    def folder(self, descriptor: int, prefix: str, depth: int) -> Iterator[FileFact]:
        for name in self._names(descriptor):
            if self._seen >= self._caps.entries:
                yield _odd(f"{prefix}...", f"more than {self._caps.entries} entries: {NOT_LISTED}")
                return
            self._seen += 1
            yield from self._entry(descriptor, name, prefix, depth)

    def _names(self, descriptor: int) -> list[str]:
        """The folder's names, sorted; no more than the scan may still list, plus one."""
        names: list[str] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) > self._caps.entries - self._seen:
                    break
        return sorted(names, key=os.fsencode)

    def _entry(self, parent: int, name: str, prefix: str, depth: int) -> Iterator[FileFact]:
        path = prefix + printable(name)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from self._below(parent, name, path, depth)
            elif stat.S_ISLNK(status.st_mode):
                target = printable(os.readlink(name, dir_fd=parent))
                yield FileFact(path, "link", status.st_size, None, f"symbolic link to {target}")
            elif stat.S_ISREG(status.st_mode):
                yield self._file(parent, name, path, status)
            else:
                yield _odd(path, _kind_of(status.st_mode))
        except OSError as problem:
            yield _odd(path, f"could not be read: {problem.strerror}")

    def _below(self, parent: int, name: str, path: str, depth: int) -> Iterator[FileFact]:
        if depth + 1 >= self._caps.depth:
            yield _odd(path, f"a folder more than {self._caps.depth} deep: not entered")
            return
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
        try:
            yield from self.folder(descriptor, f"{path}/", depth + 1)
        finally:
            os.close(descriptor)

    def _file(self, parent: int, name: str, path: str, status: os.stat_result) -> FileFact:
        notes = [f"hard link: {status.st_nlink} names"] if status.st_nlink > 1 else []
        unread = _reason_not_to_read(status, self._caps.file_bytes)
        if unread:
            notes.append(unread)
        sha256 = None
        if self._digests and not unread:
            sha256 = _sha256(parent, os.fsencode(name), status.st_size)
            if sha256 is None:
                notes.append("changed while it was read")
        return FileFact(path, "file", status.st_size, sha256, "; ".join(notes))


def _reason_not_to_read(status: os.stat_result, cap_bytes: int) -> str:
    allocated = status.st_blocks * 512
    sizes = f"{status.st_size} bytes, {allocated} of them allocated"
    if status.st_size > cap_bytes:
        return f"{sizes}: larger than {cap_bytes}, not hashed"
    if status.st_size > _SPARSE_FROM_BYTES and allocated * _SPARSE_RATIO < status.st_size:
        return f"{sizes}: sparse, not hashed"
    return ""


def _sha256(parent: int, name: bytes, size_bytes: int) -> str | None:
    """The digest, or None when the file did not hold `size_bytes` bytes while it was read."""
    digest, left = hashlib.sha256(), size_bytes + 1
    with os.fdopen(_open_file(parent, name), "rb", buffering=0) as file:
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest() if left == 1 else None


def _open_folder(root: Path, relative: str) -> int:
    """A descriptor of `root/relative`; only `root` itself, a path of ours, may hold links."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in _components(relative):
        try:
            below = _open_below(descriptor, _unescape(name))
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _open_below(parent: int, name: bytes) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except NotADirectoryError as problem:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
        raise OSError(errno.ENOTDIR, f"is {kind}", printable(os.fsdecode(name))) from problem


def _open_file(parent: int, name: bytes) -> int:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, "is a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"is {_kind_of(status.st_mode)}, not a regular file")
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no longer a regular file")
    return descriptor


def _components(relative: str) -> list[str]:
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    if ".." in parts or relative.startswith("/") or any("\0" in part for part in parts):
        raise OSError(errno.EINVAL, "is not a relative path that stays inside", relative)
    return parts


def _odd(path: str, note: str) -> FileFact:
    return FileFact(path, "other", 0, None, note)


def _kind_of(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a fifo"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    return next((kind for holds, kind in kinds if holds(mode)), "a device")
