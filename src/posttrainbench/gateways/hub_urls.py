"""What a request to a Hugging Face hub asks for, read from its method and path alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

MAIN = "main"
_COMMIT_DIGITS = 40
_CONTENT_VERBS = ("resolve", "raw")


class RepoType(StrEnum):
    """The hub's kinds of repository."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"


class Call(StrEnum):
    """What is asked of a repository. Only FILE hands out content."""

    INFO = "info"
    TREE = "tree"
    PATHS = "paths"
    REFS = "refs"
    FILE = "file"
    SEARCH = "search"
    ACCESS = "access"


@dataclass(frozen=True, slots=True)
class HubRequest:
    """A request that was understood. `file` is a path within the repository, None where none is named."""

    call: Call
    repo_type: RepoType
    repo_id: str
    revision: str = MAIN
    file: str | None = None


_FOLDERS = {"models": RepoType.MODEL, "datasets": RepoType.DATASET, "spaces": RepoType.SPACE}
_API_CALLS = {"revision": Call.INFO, "tree": Call.TREE, "paths-info": Call.PATHS, "refs": Call.REFS}
_API_CALLS |= {"auth-check": Call.ACCESS}
_METHODS = dict.fromkeys(Call, ("GET", "HEAD")) | {Call.PATHS: ("POST",)}


def read(method: str, path: str) -> HubRequest | None:
    """The hub request that `method` and `path` (still percent-encoded, no query) make, or None.

    Percent-encoding is undone after the path was cut at its slashes, so that `refs%2Fpr%2F1` is one revision;
    a file that is not a plain relative path (`..`, an empty part, a backslash, a NUL) is no request at all.
    """
    parts = path.removeprefix("/").split("/")
    request = _read_api(parts[1:]) if parts[0] == "api" else _read_content(parts)
    if request is None or method not in _METHODS[request.call]:
        return None
    return request


def _read_api(parts: list[str]) -> HubRequest | None:
    if parts[:1] == ["resolve-cache"]:
        return _read_cached_content(parts[1:])
    repo_type = _FOLDERS.get(parts[0]) if parts else None
    if repo_type is None:
        return None
    if parts[1:] in ([], [""]):
        return HubRequest(Call.SEARCH, repo_type, "")
    return _read_repository_call(repo_type, parts[1:])


def _read_repository_call(repo_type: RepoType, rest: list[str]) -> HubRequest | None:
    """The request whose `rest` is `owner/name[/call[/revision[/file]]]`."""
    at = next((i for i in (1, 2) if i < len(rest) and rest[i] in _API_CALLS), len(rest))
    repo_id = _repo_id(rest[:at])
    if repo_id is None:
        return None
    if at == len(rest):
        return HubRequest(Call.INFO, repo_type, repo_id)
    call = _API_CALLS[rest[at]]
    if call in (Call.REFS, Call.ACCESS):
        return HubRequest(call, repo_type, repo_id) if len(rest) == at + 1 else None
    return _at_revision(call, repo_type, repo_id, rest[at + 1 :])


def _read_content(parts: list[str]) -> HubRequest | None:
    repo_type = _FOLDERS.get(parts[0], RepoType.MODEL)
    rest = parts[1:] if parts[0] in _FOLDERS else parts
    at = next((i for i in (1, 2) if i < len(rest) and rest[i] in _CONTENT_VERBS), None)
    repo_id = _repo_id(rest[:at]) if at else None
    if at is None or repo_id is None:
        return None
    request = _at_revision(Call.FILE, repo_type, repo_id, rest[at + 1 :])
    return request if request and request.file else None


def _read_cached_content(parts: list[str]) -> HubRequest | None:
    """`models/owner/name/COMMIT/file`: where the real hub redirects `resolve` to."""
    repo_type = _FOLDERS.get(parts[0]) if parts else None
    rest = parts[1:]
    at = next((i for i in (1, 2) if i < len(rest) and _is_commit(rest[i])), None)
    repo_id = _repo_id(rest[:at]) if at else None
    if repo_type is None or at is None or repo_id is None:
        return None
    request = _at_revision(Call.FILE, repo_type, repo_id, rest[at:])
    return request if request and request.file else None


def _at_revision(call: Call, repo_type: RepoType, repo_id: str, rest: list[str]) -> HubRequest | None:
    """The request whose `rest` is `revision[/file]`."""
    revision, file_parts = _revision(rest)
    if not revision or (call in (Call.INFO, Call.PATHS) and file_parts):
        return None
    if not file_parts or file_parts == [""]:
        return HubRequest(call, repo_type, repo_id, revision)
    file = _plain_path(file_parts)
    return HubRequest(call, repo_type, repo_id, revision, file) if file else None


def _revision(rest: list[str]) -> tuple[str, list[str]]:
    """The revision and what follows it; `refs/pr/1` and `refs/convert/parquet` may span three parts."""
    if rest[:1] == ["refs"] and len(rest) >= 3:
        return unquote("/".join(rest[:3])), rest[3:]
    return (unquote(rest[0]), rest[1:]) if rest else ("", [])


def _repo_id(parts: list[str]) -> str | None:
    """`owner/name`, or the bare name of an old repository; None for anything else."""
    names = [name for part in parts for name in unquote(part).split("/")]
    plain = all(
        name and not name.startswith(".") and name.isprintable() and "\\" not in name for name in names
    )
    return "/".join(names) if plain and len(names) in (1, 2) else None


def _plain_path(parts: list[str]) -> str | None:
    names = [name for part in parts for name in unquote(part, errors="replace").split("/")]
    plain = all(n not in ("", ".", "..") and "\\" not in n and n.isprintable() for n in names)
    return "/".join(names) if plain else None


def _is_commit(text: str) -> bool:
    return len(text) == _COMMIT_DIGITS and all(digit in "0123456789abcdef" for digit in text)
