"""Benchmark data get into the data folder whole, or not at all, and only when they are the published ones."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from posttrainbench.datasets.catalog import DataFile
from posttrainbench.errors import SetupError
from posttrainbench.stores import benchmark_data
from posttrainbench.stores.benchmark_data import fetch, import_folder, states

CONTENTS = {
    name: json.dumps({"name": name}).encode() + b"\n" for name in ("a/one.jsonl", "a/two.jsonl", "b/all.zip")
}
FILES = tuple(
    DataFile(name, hashlib.sha256(content).hexdigest(), 1, "some/one", "0" * 40, f"path/{name}")
    for name, content in CONTENTS.items()
)
ONE, TWO, ZIP = FILES


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one file plain, one compressed, and one absent."""
    folder = tmp_path / "source"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one.jsonl").write_bytes(CONTENTS["a/one.jsonl"])
    (folder / "a" / "two.jsonl.gz").write_bytes(gzip.compress(CONTENTS["a/two.jsonl"], mtime=0))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data"


def what(found: tuple[benchmark_data.FileState, ...]) -> list[str]:
    return [state.state for state in found]


def test_what_is_there_is_imported_and_what_is_not_is_told(source: Path, target: Path) -> None:
    told: list[str] = []
    done = import_folder(source, FILES, target, lambda state: told.append(state.file.name))
    assert what(done) == ["imported", "imported", "absent"]
    assert told == list(CONTENTS)
    assert (target / "a" / "two.jsonl").read_bytes() == CONTENTS["a/two.jsonl"]
    assert what(states(FILES, target)) == ["ready", "ready", "absent"]


def test_a_file_that_is_not_the_published_one_is_refused_and_the_others_are_kept(
    source: Path, target: Path
) -> None:
    (source / "a" / "one.jsonl").write_bytes(b"{}\n{}\n")
    done = import_folder(source, FILES, target, lambda _: None)
    assert what(done) == ["refused", "imported", "absent"]
    assert "2 rows instead of 1" in done[0].why
    assert not (target / "a" / "one.jsonl").exists()


def test_importing_again_mends_what_was_damaged(source: Path, target: Path) -> None:
    import_folder(source, FILES, target, lambda _: None)
    (target / "a" / "one.jsonl").write_bytes(b"half")
    assert what(states((ONE,), target)) == ["damaged"]
    import_folder(source, FILES, target, lambda _: None)
    assert what(states((ONE,), target)) == ["ready"]
    assert sorted(path.name for path in (target / "a").iterdir()) == ["one.jsonl", "two.jsonl"]


def test_a_folder_without_any_of_the_files_is_an_error_that_names_one(tmp_path: Path, target: Path) -> None:
    with pytest.raises(SetupError, match=r"a/one\.jsonl"):
        import_folder(tmp_path, FILES, target, lambda _: None)
    with pytest.raises(SetupError, match="is not a folder"):
        import_folder(tmp_path / "nowhere", FILES, target, lambda _: None)


class Host(ThreadingHTTPServer):
    """A host of raw files that answers from a script: path -> the answers to give, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        self.script: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Answering)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        answers = self.server.script.get(self.path, [(404, b"")])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + (10 if status == 299 else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(benchmark_data.time, "sleep", lambda _: None)
    server = Host()
    for file in FILES:
        server.script[f"/{file.source}"] = [(200, CONTENTS[file.name])]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_only_what_is_lacking_is_downloaded(host: Host, target: Path) -> None:
    assert what(fetch((ONE,), target, lambda _: None, host.url)) == ["imported"]
    assert what(fetch(FILES, target, lambda _: None, host.url)) == ["ready", "imported", "imported"]
    assert host.asked == [f"/{file.source}" for file in FILES]
    assert what(states(FILES, target)) == ["ready"] * 3


def test_a_compressed_source_is_kept_uncompressed(host: Host, target: Path) -> None:
    host.script[f"/{ONE.source}"] = [(200, gzip.compress(CONTENTS[ONE.name], mtime=0))]
    fetch((ONE,), target, lambda _: None, host.url)
    assert (target / ONE.name).read_bytes() == CONTENTS[ONE.name]


@pytest.mark.parametrize("hiccup", [(503, b"busy"), (429, b"slow down"), (299, b"cut off")])
def test_a_server_that_stumbles_is_asked_again(host: Host, target: Path, hiccup: tuple[int, bytes]) -> None:
    host.script[f"/{ONE.source}"] = [hiccup, (200, CONTENTS[ONE.name])]
    assert what(fetch((ONE,), target, lambda _: None, host.url)) == ["imported"]


def test_a_server_without_the_file_ends_it_with_the_other_way(host: Host, target: Path) -> None:
    host.script[f"/{TWO.source}"] = [(404, b"")]
    with pytest.raises(SetupError, match=r"answers 404.*`ptb data import DIR`"):
        fetch(FILES, target, lambda _: None, host.url)
    assert what(states(FILES, target)) == ["ready", "absent", "absent"]
    assert len(host.asked) == 2


def test_no_network_says_what_to_do_instead(target: Path, host: Host) -> None:
    host.shutdown()
    host.server_close()
    with pytest.raises(SetupError, match="`ptb data import DIR`"):
        fetch((ONE,), target, lambda _: None, host.url)


def test_a_download_that_is_not_the_published_file_is_refused(host: Host, target: Path) -> None:
    host.script[f"/{ONE.source}"] = [(200, b"<html>Sign in</html>")]
    done = fetch((ONE,), target, lambda _: None, host.url)
    assert what(done) == ["refused"]
    assert not (target / ONE.name).exists()


def test_a_source_without_end_is_given_up(host: Host, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_data, "LARGEST_BYTES", 1000)
    host.script[f"/{ONE.source}"] = [(200, bytes(5000))]
    done = fetch((ONE,), target, lambda _: None, host.url)
    assert what(done) == ["refused"]
    assert "larger than 1000 bytes" in done[0].why
