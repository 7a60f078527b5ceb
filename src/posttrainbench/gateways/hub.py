"""A hub made of folders, answering what `huggingface_hub` and `datasets` ask of the real one.

The folder holds `index.json` and one folder per revision. Only files that a walk of those folders found are
ever opened: no path is made from a client's text.

Covered: repository info, trees, paths, refs, search, file downloads with ranges, and the three kinds of "not
found" that the clients tell apart.
Not covered: pagination, uploads, xet transfers, the dataset viewer, commit history.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs

from posttrainbench.errors import InvalidFile
from posttrainbench.gateways.http1 import FileBody, Reply, Request, json_reply
from posttrainbench.gateways.hub_urls import Call, HubRequest, RepoType
from posttrainbench.task import ModelRef

_PUBLISHED = "2026-01-01T00:00:00.000Z"  # the clients want a date; nothing depends on it
_LARGE_SUFFIXES = {".safetensors", ".bin", ".parquet", ".arrow"}  # what the real hub keeps as LFS objects
_POINTER_BYTES = 134
_HASH_CHUNK_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a revision, with the digests that the hub's clients know it by."""

    source: Path
    size_bytes: int
    sha256: str
    git_oid: str
    planted: bool = False  # a copy of a test file with the run's canaries in it

    @property
    def is_large(self) -> bool:
        return self.source.suffix in _LARGE_SUFFIXES

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_oid


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: names of revisions, and where each revision's files lie."""

    repo_type: RepoType
    repo_id: str
    refs: Mapping[str, str]
    folders: Mapping[str, Path]

    def commit(self, revision: str) -> str | None:
        """The commit that `revision` (a ref or a full commit) means, or None."""
        commit = self.refs.get(revision, revision)
        return commit if commit in self.folders else None


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """A reply, and what it hands out: the commit and, for content, the file."""

    reply: Reply
    commit: str | None = None
    file: HubFile | None = None


class Hub:
    """The repositories below a hub folder, and model folders beside it. Safe to use from many threads."""

    def __init__(self, root: Path, models: Mapping[ModelRef, Path] | None = None) -> None:
        self._repositories = _read_index(root)
        for model, folder in (models or {}).items():
            self._repositories[RepoType.MODEL, model.hub_id] = _lone_model(model, folder)
        self._with_links = set((models or {}).values())  # a cache of downloads is made of links
        self._planted: dict[Path, Path] = {}  # test file -> the copy that is handed out
        self._files: dict[Path, Mapping[str, HubFile]] = {}
        self._lock = threading.Lock()

    def plant(
        self, hub_id: str, is_test: Callable[[str], bool], plant: Callable[[bytes], bytes], out: Path
    ) -> None:
        """Hand out a data set's test files, of every revision, as `plant` makes them; they lie in `out`."""
        repository = self._repositories.get((RepoType.DATASET, hub_id))
        for folder in repository.folders.values() if repository else ():
            for path, source in _walk(folder, with_links=False):
                if is_test(path):
                    copy = out / folder.name / path
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(plant(source.read_bytes()))
                    self._planted[source] = copy

    def answer(self, asked: HubRequest, request: Request) -> HubAnswer:
        """What the hub says to `asked`, which was read from `request`."""
        if asked.call is Call.SEARCH:
            return HubAnswer(json_reply(200, self._search(asked.repo_type, request.query)))
        repository = self._repositories.get((asked.repo_type, asked.repo_id))
        if repository is None:
            return HubAnswer(_missing("RepoNotFound", f"there is no {asked.repo_type} {asked.repo_id} here"))
        if asked.call is Call.ACCESS:
            return HubAnswer(json_reply(200, {}))
        if asked.call is Call.REFS:
            return HubAnswer(json_reply(200, _refs(repository)))
        commit = repository.commit(asked.revision)
        if commit is None:
            return HubAnswer(
                _missing("RevisionNotFound", f"{asked.repo_id} has no revision {asked.revision}")
            )
        return self._answer_at(repository, commit, asked, request)

    def _answer_at(
        self, repository: Repository, commit: str, asked: HubRequest, request: Request
    ) -> HubAnswer:
        files = self._files_of(repository.folders[commit])
        if asked.call is Call.FILE:
            return _content(files, commit, asked, request)
        if asked.call is Call.INFO:
            return HubAnswer(json_reply(200, _info(repository, commit, files)), commit)
        if asked.call is Call.TREE:
            recursive = parse_qs(request.query).get("recursive", ["false"])[0].casefold() in ("true", "1")
            listing = _tree(files, asked.file or "", recursive)
            if listing is None:
                return HubAnswer(
                    _missing("EntryNotFound", f"{asked.repo_id} has no folder {asked.file}"), commit
                )
            return HubAnswer(json_reply(200, listing), commit)
        return HubAnswer(json_reply(200, _paths(files, request)), commit)

    def _search(self, repo_type: RepoType, query: str) -> list[dict[str, object]]:
        wanted = parse_qs(query)
        words = " ".join(wanted.get("search", [])).casefold()
        owner = "".join(wanted.get("author", [])[:1]).casefold()
        found = [
            repository
            for repository in self._repositories.values()
            if repository.repo_type is repo_type
            and words in repository.repo_id.casefold()
            and (not owner or repository.repo_id.casefold().startswith(owner + "/"))
        ]
        return [_summary(repository) for repository in found]

    def _files_of(self, folder: Path) -> Mapping[str, HubFile]:
        with self._lock:
            if folder not in self._files:
                self._files[folder] = {
                    path: self._described(source)
                    for path, source in _walk(folder, folder in self._with_links)
                }
            return self._files[folder]

    def _described(self, source: Path) -> HubFile:
        copy = self._planted.get(source)
        return replace(_describe(copy), planted=True) if copy else _describe(source)


# --- reading the folder -------------------------------------------------------------------------------------


def _read_index(root: Path) -> dict[tuple[RepoType, str], Repository]:
    path = root / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        return {
            (repo_type, repo_id): _repository(root, repo_type, repo_id, entry)
            for group, repo_type in (("models", RepoType.MODEL), ("datasets", RepoType.DATASET))
            for repo_id, entry in index[group].items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as wrong:
        raise InvalidFile(
            f"{path} is no hub index ({wrong}); reinstall the package or make the hub again"
        ) from wrong


def _repository(
    root: Path, repo_type: RepoType, repo_id: str, entry: Mapping[str, Mapping[str, str]]
) -> Repository:
    folders = {commit: root / folder for commit, folder in entry["revisions"].items()}
    gone = [folder for folder in folders.values() if not folder.is_dir()]
    if gone:
        raise InvalidFile(f"{root / 'index.json'} names {gone[0]}, which is not there; make the hub again")
    return Repository(repo_type, repo_id, dict(entry["refs"]), folders)


def _lone_model(model: ModelRef, folder: Path) -> Repository:
    """A model folder as a repository of one revision, whose commit is made of its name."""
    commit = hashlib.sha1(f"{model.hub_id}@{model.revision}".encode(), usedforsecurity=False).hexdigest()
    return Repository(
        RepoType.MODEL, model.hub_id, {"main": commit, model.revision: commit}, {commit: folder}
    )


def _walk(folder: Path, with_links: bool) -> Iterator[tuple[str, Path]]:
    """Every regular file below `folder`, as (path within it, where it lies)."""
    for source in sorted(folder.rglob("*")):
        if source.is_file() and (with_links or not source.is_symlink()):
            yield source.relative_to(folder).as_posix(), source


def _describe(source: Path) -> HubFile:
    size_bytes = source.stat().st_size
    sha256 = hashlib.sha256()
    git_oid = hashlib.sha1(b"blob %d\0" % size_bytes, usedforsecurity=False)
    with source.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            sha256.update(chunk)
            git_oid.update(chunk)
    return HubFile(source, size_bytes, sha256.hexdigest(), git_oid.hexdigest())


# --- what the clients expect --------------------------------------------------------------------------------


def _missing(code: str, message: str, commit: str | None = None) -> Reply:
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    if commit:
        headers["X-Repo-Commit"] = commit
    return json_reply(404, {"error": message}, headers)


def _summary(repository: Repository) -> dict[str, object]:
    summary: dict[str, object] = {
        "_id": hashlib.sha256(repository.repo_id.encode()).hexdigest()[:24],
        "id": repository.repo_id,
        "author": repository.repo_id.partition("/")[0],
        "lastModified": _PUBLISHED,
        "createdAt": _PUBLISHED,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }
    if repository.repo_type is RepoType.MODEL:
        summary |= {"modelId": repository.repo_id, "library_name": "transformers"}
    return summary


def _info(repository: Repository, commit: str, files: Mapping[str, HubFile]) -> dict[str, object]:
    siblings = [
        {"rfilename": path, "size": file.size_bytes, "blobId": file.git_oid} for path, file in files.items()
    ]
    return {**_summary(repository), "sha": commit, "siblings": siblings}


def _refs(repository: Repository) -> dict[str, object]:
    def rows(names: list[str], folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": repository.refs[name]}
            for name in names
        ]

    tags = [name for name in repository.refs if re.fullmatch(r"v\d.*", name)]
    branches = [name for name in repository.refs if name not in tags]
    return {
        "branches": rows(branches, "heads"),
        "converts": [],
        "tags": rows(tags, "tags"),
        "pullRequests": [],
    }


def _tree(files: Mapping[str, HubFile], folder: str, recursive: bool) -> list[dict[str, object]] | None:
    """The rows below `folder` ("" for all), or None when there is no such folder."""
    prefix = folder + "/" if folder else ""
    inside = [path for path in files if path.startswith(prefix)]
    if folder and not inside:
        return None
    folders = {parent for path in inside for parent in _parents(path) if parent.startswith(prefix)}
    rows = [_folder_row(path) for path in sorted(folders)] + [_file_row(path, files[path]) for path in inside]
    return [row for row in rows if recursive or "/" not in str(row["path"])[len(prefix) :]]


def _paths(files: Mapping[str, HubFile], request: Request) -> list[dict[str, object]]:
    """The rows of the paths that the body names and that exist."""
    folders = {parent for path in files for parent in _parents(path)}
    rows = []
    for path in _asked_paths(request):
        if path in files:
            rows.append(_file_row(path, files[path]))
        elif path in folders:
            rows.append(_folder_row(path))
    return rows


def _asked_paths(request: Request) -> list[str]:
    text = request.body.decode("utf-8", "replace")
    if "json" not in request.headers.get("content-type", ""):
        return parse_qs(text).get("paths", [])
    try:
        paths = json.loads(text)["paths"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _folder_row(path: str) -> dict[str, object]:
    return {
        "type": "directory",
        "oid": hashlib.sha256(path.encode()).hexdigest()[:40],
        "size": 0,
        "path": path,
    }


def _file_row(path: str, file: HubFile) -> dict[str, object]:
    row: dict[str, object] = {"type": "file", "oid": file.git_oid, "size": file.size_bytes, "path": path}
    if file.is_large:
        row["lfs"] = {"oid": file.sha256, "size": file.size_bytes, "pointerSize": _POINTER_BYTES}
    return row


def _content(files: Mapping[str, HubFile], commit: str, asked: HubRequest, request: Request) -> HubAnswer:
    file = files.get(asked.file or "")
    if file is None:
        return HubAnswer(
            _missing("EntryNotFound", f"{asked.repo_id} has no file {asked.file}", commit), commit
        )
    headers = {
        "X-Repo-Commit": commit,
        "ETag": f'"{file.etag}"',
        "X-Linked-ETag": f'"{file.etag}"',
        "X-Linked-Size": str(file.size_bytes),
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    wanted = _byte_range(request.headers.get("range", ""), file.size_bytes)
    if wanted is None:
        return HubAnswer(Reply(200, FileBody(file.source, 0, file.size_bytes), headers), commit, file)
    start, stop = wanted
    if start >= stop:
        headers["Content-Range"] = f"bytes */{file.size_bytes}"
        return HubAnswer(Reply(416, b"", headers), commit)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size_bytes}"
    return HubAnswer(Reply(206, FileBody(file.source, start, stop), headers), commit, file)


def _byte_range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """(start, stop) of a single byte range; None: none is asked for; an empty one: it cannot be met."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None  # a header that we do not understand is ignored, as the standard says
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(size_bytes, int(last) + 1) if last else size_bytes
