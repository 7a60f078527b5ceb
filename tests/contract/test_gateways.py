"""What a gateway owes: hub clients work, policies hold, the ledger is complete, and nobody breaks it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from small_world import WEIGHTS_BYTES, World, make_hub, open_world, read_all, rows

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.gateways import socket_gateway
from posttrainbench.gateways.evaluations import QUEUE_LENGTH, workspace_path
from posttrainbench.gateways.hub import Hub
from posttrainbench.gateways.request_log import Exchange, RequestLog
from posttrainbench.gateways.socket_gateway import Patience
from posttrainbench.protocols import EvaluationAnswer
from posttrainbench.task import Policy

CLIENTS = Path(__file__).with_name("hub_clients.py")
GET = b"GET %s HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
TEST_FILE = b"/datasets/w/math/resolve/main/data/test.jsonl"
TRAIN_FILE = b"/datasets/w/math/resolve/main/data/train.jsonl"
WEIGHTS = b"/w/tiny-base/resolve/main/model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def world(hub: Path) -> Iterator[World]:
    with open_world(Policy.OPEN, hub, patience=Patience(idle_s=5, request_s=1, stall_s=1)) as made:
        yield made


def post(body: object, path: str = "/evaluate") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
        path.encode(),
        len(data),
        data,
    )


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


def body(reply: bytes) -> Any:
    return json.loads(reply.partition(b"\r\n\r\n")[2])


# --- the hub's real clients, through the relay --------------------------------------------------------------


@pytest.fixture(scope="module", params=list(Policy))
def seen(request: pytest.FixtureRequest, hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(policy, what the clients got, the ledger) of one program that tries everything."""
    with open_world(request.param, hub) as world:
        done = world.run(sys.executable, str(CLIENTS), home=tmp_path_factory.mktemp("home"))
        assert done.returncode == 0, done.stderr
        return request.param, json.loads(done.stdout.splitlines()[-1]), world


def test_clients_get_what_every_policy_allows(seen: Any) -> None:
    _, got, _ = seen
    assert got["base"] == {"value": ["config.json", "model.safetensors"]}
    assert got["base_bytes"] == {"value": WEIGHTS_BYTES}
    assert got["files"] == {"value": ["README.md", "data/test.jsonl", "data/train.jsonl"]}
    assert got["paths"] == {"value": ["data/test.jsonl"]}
    assert got["refs"] == {"value": ["main"]}
    assert got["train"] == got["file_system_train"] == got["load_train"] == got["load_named"] == {"value": 20}


def test_clients_tell_the_kinds_of_not_found_apart(seen: Any) -> None:
    policy, got, _ = seen
    assert got["no_revision"]["error"] == "RevisionNotFoundError"
    assert got["no_file"]["error"] == "RemoteEntryNotFoundError"
    if policy is not Policy.STRICT:
        assert got["no_repository"]["error"] == "RepositoryNotFoundError"


def test_the_test_split_reaches_agents_under_open_alone(seen: Any) -> None:
    policy, got, world = seen
    for attempt in ("test", "file_system_test", "load_plain"):
        if policy is Policy.OPEN:
            assert got[attempt] == {"value": 20}
        else:
            assert "is the benchmark's test split, which policy" in got[attempt]["text"]
    handed_out = [r for r in world.requests(file="data/test.jsonl", call="file") if r["bytes_out"]]
    assert bool([r for r in handed_out if r["status"] in (200, 206)]) == (policy is Policy.OPEN)
    denied = world.requests(file="data/test.jsonl", decision="denied", status=403)
    assert bool(denied) == (policy is not Policy.OPEN)


def test_strict_keeps_to_its_list_and_says_so(seen: Any) -> None:
    policy, got, _ = seen
    for attempt in ("instruct", "search", "load_other"):
        assert ("error" in got[attempt]) == (policy is Policy.STRICT)
    if policy is Policy.STRICT:
        assert "allowed are the base model w/tiny-base" in got["instruct"]["text"]


def test_whole_downloads_are_on_the_ledger_with_their_digest(seen: Any, hub: Path) -> None:
    _, _, world = seen
    row = world.requests(method="GET", file="model.safetensors", repo_id="w/tiny-base")[0]
    commit = row["commit"]
    folder = hub / "models/w/tiny-base" / commit[:12]
    digest = subprocess.run(
        ["sha256sum", folder / "model.safetensors"], capture_output=True, text=True, check=True
    )
    assert row["sha256"] == digest.stdout.split()[0]
    assert row["bytes_out"] == WEIGHTS_BYTES
    assert all(isinstance(value, str | int | float | bool | None) for value in row.values())


def with_a_row_more(test_file: bytes) -> bytes:
    return test_file + b'{"question": "planted", "answer": "#### 0"}\n'


@pytest.mark.parametrize("policy", list(Policy))
def test_a_test_file_carries_the_canaries_of_its_run_and_the_ledger_says_when(
    policy: Policy, hub: Path
) -> None:
    with open_world(policy, hub, plant=with_a_row_more) as world:
        head = world.send(GET.replace(b"GET", b"HEAD") % TEST_FILE)
        assert [kind for kind, _ in world.entries if kind == "canary"] == []
        for _ in range(2):
            reply = world.send(GET % TEST_FILE)
        train = world.send(GET % TRAIN_FILE)
        tree = body(world.send(GET % b"/api/datasets/w/math/tree/main/data"))
    noted = [data for kind, data in world.entries if kind == "canary"]
    size = {row["path"]: row["size"] for row in tree}["data/test.jsonl"]
    assert size == len(with_a_row_more(rows("test")))
    assert b"planted" not in train
    if policy is Policy.OPEN:
        content = reply.partition(b"\r\n\r\n")[2]
        assert content == with_a_row_more(rows("test"))
        assert f"content-length: {size}".encode() in head.lower()
        assert [(row["repo_id"], row["file"]) for row in noted] == [("w/math", "data/test.jsonl")]
        assert noted[0]["sha256"] == hashlib.sha256(content).hexdigest()
    else:
        assert status(reply) == 403
        assert noted == []
    assert (hub / "datasets/w/math" / f"{3:040x}"[:12] / "data/test.jsonl").read_bytes() == rows("test")


# --- what a gateway answers ---------------------------------------------------------------------------------


def test_head_get_and_range_agree(world: World) -> None:
    head = world.send(GET.replace(b"GET", b"HEAD") % TRAIN_FILE)
    whole = world.send(GET % TRAIN_FILE)
    assert head == whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    content = whole.partition(b"\r\n\r\n")[2]
    for header, expected in (
        (b"bytes=5-9", content[5:10]),
        (b"bytes=-7", content[-7:]),
        (b"bytes=100-", content[100:]),
    ):
        part = world.send(GET.replace(b"Host:", b"Range: %s\r\nHost:" % header) % TRAIN_FILE)
        assert status(part) == 206
        assert part.endswith(b"\r\n\r\n" + expected)
    beyond = world.send(GET.replace(b"Host:", b"Range: bytes=999999-\r\nHost:") % TRAIN_FILE)
    assert status(beyond) == 416
    assert [r["sha256"] is not None for r in world.requests(method="GET")] == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_one_connection_carries_many_requests(world: World) -> None:
    keep = (GET % b"/rules").replace(b"Connection: close\r\n", b"")
    replies = world.send(keep * 3 + GET % b"/rules")
    assert replies.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize(
    ("raw", "host"),
    [
        (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n", "example.com:443"),
        (b"GET http://example.com/a?b HTTP/1.1\r\n\r\n", "example.com"),
        (b"GET http://127.0.0.1.example.com/ HTTP/1.1\r\n\r\n", "127.0.0.1.example.com"),
        (b"GET http://127.0.0.1@example.com/ HTTP/1.1\r\n\r\n", "127.0.0.1@example.com"),
        (b"GET ftp://example.com/ HTTP/1.1\r\n\r\n", "example.com"),
    ],
)
def test_other_hosts_are_refused_and_written_down(world: World, raw: bytes, host: str) -> None:
    reply = world.send(raw)
    assert status(reply) == 403
    assert b"no internet" in reply
    (row,) = world.requests(decision="denied")
    assert row["host"] == host


def test_a_proxy_request_for_ourselves_is_served(world: World) -> None:
    assert status(world.send(GET % b"http://127.0.0.1:4711/api/models/w/tiny-base")) == 200


def test_the_rules_say_what_is_left(world: World) -> None:
    rules = body(world.send(GET % b"/rules"))
    assert rules["policy"] == "open"
    assert rules["queries_answered"] == 0


# --- the evaluation service ---------------------------------------------------------------------------------


def test_an_evaluation_is_answered_and_written_down(world: World) -> None:
    answer = body(world.send(post({"path": "runs/best"})))
    assert answer == {"score": 0.412, "stderr": 0.049, "n": 100, "error": None, "queries_left": None}
    (row,) = world.evaluations()
    assert {name: row[name] for name in ("path", "score", "stderr", "n", "error")} == {
        "path": "runs/best",
        "score": 0.412,
        "stderr": 0.049,
        "n": 100,
        "error": None,
    }
    assert row["wall_s"] >= 0


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"path": 1}',
        b'{"path": ""}',
        b"[" * 50_000,
        {"path": "../other"},
        {"path": "/etc"},
        {"path": "a/../../b"},
        {"path": "a\0b"},
        {"path": "x" * 5000},
        {"path": "\ud800"},
        b'{"path": "a\\ud800"}',
    ],
)
def test_a_path_that_is_none_is_refused(world: World, bad: object) -> None:
    reply = world.send(post(bad))
    assert status(reply) == 400
    assert b"Traceback" not in reply
    assert not world.evaluations()


def test_paths_are_relative_to_the_workspace() -> None:
    assert workspace_path(b'{"path": "/workspace/final_model/"}') == "final_model"
    assert workspace_path(b'{"path": "./a//b/../c"}') == "a/c"
    assert workspace_path(b'{"path": "/workspace/../etc"}') is None
    assert workspace_path(b'{"path": "/workspace//etc"}') is None
    assert workspace_path(b'{"path": "."}') is None


def test_answers_are_limited_and_errors_are_free(hub: Path) -> None:
    with open_world(Policy.OPEN, hub, max_queries=2) as world:
        replies = [body(world.send(post({"path": path}))) for path in ("no_model", "a", "b", "c")]
    assert replies[0]["error"] == "no_model holds no weights"
    assert [reply["queries_left"] for reply in replies[:3]] == [2, 1, 0]
    assert replies[3]["error"] == "all 2 evaluations that this task allows are used up"
    assert len(world.evaluations()) == 3


def test_evaluations_wait_for_their_turn(hub: Path) -> None:
    running, most = [0], [0]

    def slow(path: str) -> EvaluationAnswer:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        return EvaluationAnswer(0.5, None, 1)

    with open_world(Policy.OPEN, hub, slow) as world, ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda n: status(world.send(post({"path": f"m{n}"}))), range(20)))
    assert most == [1]
    assert replies.count(200) >= QUEUE_LENGTH
    assert set(replies) <= {200, 429}


def test_a_client_that_leaves_does_not_stop_its_evaluation(hub: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(path: str) -> EvaluationAnswer:
        begun.set()
        assert go.wait(10)
        return EvaluationAnswer(0.5, None, 1)

    with open_world(Policy.OPEN, hub, slow) as world:
        with world.connect() as peer:
            peer.sendall(post({"path": "m"}))
            assert begun.wait(10)
        go.set()
        world.wait_for(world.evaluations)
        assert world.evaluations()[0]["score"] == 0.5
        assert status(world.send(post({"path": "next"}))) == 200


def test_an_evaluation_that_breaks_is_our_fault_and_says_no_more(hub: Path) -> None:
    def broken(path: str) -> EvaluationAnswer:
        raise RuntimeError("at /host/secret/path")

    with open_world(Policy.OPEN, hub, broken) as world:
        reply = world.send(post({"path": "m"}))
    assert body(reply)["error"].startswith("the evaluation failed on our side")
    assert b"secret" not in reply
    assert "secret" in world.evaluations()[0]["error"]


# --- hostile clients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        b"/w/tiny-base/resolve/main/../../../../secret.txt",
        b"/w/tiny-base/resolve/main/%2e%2e/%2e%2e/%2e%2e/secret.txt",
        b"/w/tiny-base/resolve/main/..%2f..%2f..%2f..%2fsecret.txt",
        b"/w/tiny-base/resolve/main//etc/passwd",
        b"/w/tiny-base/resolve/..%2f..%2f..%2f..%2f/secret.txt",
        b"/w%2f..%2f..%2f../x/resolve/main/secret.txt",
        b"/datasets/../secret.txt",
        b"/../../../../../../etc/passwd",
        b"/api/models/w/tiny-base/tree/main/..%2f..",
    ],
)
def test_no_path_leads_out_of_the_repositories(world: World, path: bytes) -> None:
    reply = world.send(GET % path)
    assert status(reply) == 404
    assert b"not in any repository" not in reply
    assert b"root:" not in reply


def test_a_link_in_the_hub_folder_is_not_followed(tmp_path: Path) -> None:
    hub = make_hub(tmp_path)
    index = json.loads((hub / "index.json").read_text())
    (folder,) = index["models"]["w/tiny-base"]["revisions"].values()
    (hub / folder / "link.txt").symlink_to(hub / "secret.txt")
    with open_world(Policy.OPEN, hub) as world:
        assert status(world.send(GET % b"/w/tiny-base/resolve/main/link.txt")) == 404


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00" * 20 + b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n\r\n", 400),
        (b"G\xc3T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000, 431),
        (b"POST /evaluate HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /evaluate HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", 413),
        (b"POST /evaluate HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST /evaluate HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST /evaluate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"DELETE /api/models/w/tiny-base HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
        (b"GET /evaluate HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
        (b"GET http://[::1/x HTTP/1.1\r\n\r\n", 403),
        (b"GET * HTTP/1.1\r\nConnection: close\r\n\r\n", 403),
    ],
)
def test_what_is_no_request_gets_a_short_answer(world: World, raw: bytes, expected: int) -> None:
    reply = world.send(raw)
    assert status(reply) == expected
    assert b"Traceback" not in reply
    assert len(reply) < 1000
    assert status(world.send(GET % b"/rules")) == 200


def test_random_bytes_never_hurt(world: World) -> None:
    for _ in range(50):
        world.send(os.urandom(300) + b"\r\n\r\n")
    assert status(world.send(GET % b"/rules")) == 200


def test_a_slow_sender_is_cut_off(world: World) -> None:
    begun_s = time.monotonic()
    with world.connect() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(60):  # a header a moment: each byte comes in time, the whole does not
            try:
                peer.sendall(b"a: b\r\n")
            except OSError:
                break
            time.sleep(0.05)
        assert time.monotonic() - begun_s < 2.5
        assert b"408" in read_all(peer)


def test_a_reader_that_reads_nothing_is_cut_off(world: World) -> None:
    with world.connect() as peer:
        peer.sendall(GET % WEIGHTS)
        world.wait_for(lambda: world.requests(file="model.safetensors"))
    (row,) = world.requests(file="model.safetensors")
    assert row["bytes_out"] < WEIGHTS_BYTES
    assert row["sha256"] is None


def test_what_an_agent_writes_is_cut_to_size_on_the_ledger(world: World) -> None:
    world.send(GET % (b"/" + b"x" * 20_000))
    (row,) = world.requests()
    assert len(row["path"]) == 500
    assert row["path"].endswith("...")


def test_too_many_connections_are_turned_away_and_later_served(world: World) -> None:
    crowd = [world.connect() for _ in range(socket_gateway.CONNECTIONS_CAP)]
    world.wait_for(lambda: b" 503 " in world.send(GET % b"/rules"))
    for peer in crowd:
        peer.close()
    world.wait_for(lambda: status(world.send(GET % b"/rules")) == 200)


def test_a_flood_cannot_hide_a_download() -> None:
    entries: list[tuple[str, Any]] = []
    log = RequestLog(lambda kind, data: entries.append((kind, data)), cap=10)
    noise = Exchange("GET", "gateway", "/noise", 404, "allowed", "nothing here", bytes_out=90)
    fetched = Exchange(
        "GET", "hub", "/f", 206, "allowed", "open", 5, "file", "dataset", "w/math", "main", "0", "t"
    )
    for _ in range(100):
        log.request(noise)
    for _ in range(100):
        log.request(fetched)
    log.close()
    log.request(noise)
    kinds = [kind for kind, _ in entries]
    assert kinds == ["request"] * 10 + ["request_flood", "request", "request_flood"]
    assert entries[-2][1]["file"] == "t"
    assert entries[-1][1]["unwritten"] == 90 + 99


# --- closing ------------------------------------------------------------------------------------------------


def test_closing_drops_what_is_under_way_and_writes_it_down(hub: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(path: str) -> EvaluationAnswer:
        begun.set()
        go.wait(10)
        return EvaluationAnswer(0.5, None, 1)

    with open_world(Policy.OPEN, hub, slow) as world:
        peer = world.connect()
        peer.sendall(post({"path": "m"}))
        assert begun.wait(10)
        world.gateway.close()
        assert read_all(peer) == b""
        assert not world.job.socket.exists()
        with pytest.raises(OSError, match=r".*"):
            world.connect()
    written = len(world.entries)
    assert world.evaluations()[0]["error"] == "dropped: the run ended first"
    assert world.requests()[0]["reason"] == "dropped: the gateway was closed"
    go.set()
    time.sleep(0.1)
    assert len(world.entries) == written  # the ledger may be sealed by now


def test_what_cannot_be_opened_says_why(hub: Path, tmp_path: Path) -> None:
    with open_world(Policy.OPEN, hub) as world:
        job = world.job
    with pytest.raises(SetupError, match="where math keeps its test split"):
        socket_gateway.SocketGateway({}, hub).open(job)
    with pytest.raises(InvalidFile, match="no hub index"):
        Hub(tmp_path)
    with pytest.raises(SetupError, match="longer than 100 bytes"):
        socket_gateway._listen(tmp_path / ("x" * 100))


# --- the relay ----------------------------------------------------------------------------------------------


def test_the_relay_tells_its_child_where_to_go(world: World, tmp_path: Path) -> None:
    done = world.run("env", home=tmp_path)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())
    address = seen["PTB_GATEWAY"]
    assert address.startswith("http://127.0.0.1:")
    assert {seen[name] for name in ("HF_ENDPOINT", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")} == {address}
    assert seen["NO_PROXY"] == seen["no_proxy"] == "127.0.0.1,localhost"


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_relay_ends_as_its_child_does(world: World, tmp_path: Path, script: str, code: int) -> None:
    assert world.run("sh", "-c", script, home=tmp_path).returncode == code


def test_the_relay_says_what_it_cannot_start(world: World, tmp_path: Path) -> None:
    done = world.run("/no/such/program", home=tmp_path)
    assert (done.returncode, done.stderr) == (127, "/no/such/program: No such file or directory\n")
    assert (
        subprocess.run(
            [sys.executable, str(socket_gateway.RELAY)], check=False, capture_output=True
        ).returncode
        == 2
    )


def test_the_relay_passes_term_on(world: World, tmp_path: Path) -> None:
    script = "trap 'echo told; exit 5' TERM; echo ready; for i in $(seq 300); do sleep 0.05; done"
    command = world.relayed("sh", "-c", script)
    with subprocess.Popen(
        command, env=world.environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as relay:
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"
        relay.send_signal(signal.SIGTERM)
        assert relay.stdout.readline() == "told\n"
        assert relay.wait(10) == 5


def test_the_relay_starts_fast_since_it_loads_little() -> None:
    tree = ast.parse(socket_gateway.RELAY.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"os", "selectors", "signal", "socket", "sys"}
    assert {"-I", "-S"} <= set(socket_gateway.door(Path("/x")).argv)  # site-packages are not even looked at


@pytest.fixture
def port(world: World, tmp_path: Path) -> Iterator[int]:
    """A relay that only listens, and its port."""
    command = world.relayed("sh", "-c", "echo $PTB_GATEWAY; exec sleep 60")
    with subprocess.Popen(
        command, env=world.environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as relay:
        assert relay.stdout is not None
        try:
            yield int(relay.stdout.readline().rpartition(":")[2])
        finally:
            relay.terminate()


def ask(port: int, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)  # a half-closed connection still gets its answer
        return read_all(peer)


def test_the_relay_carries_64_downloads_at_once(port: int) -> None:
    with ThreadPoolExecutor(64) as pool:
        sizes = list(pool.map(lambda _: len(ask(port, GET % WEIGHTS)), range(64)))
    assert all(size > WEIGHTS_BYTES for size in sizes)


def test_the_relay_makes_the_65th_wait(port: int) -> None:
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(ask, port, GET % b"/rules")
        time.sleep(0.2)
        assert not late.done()
        for peer in crowd:
            peer.close()
        assert status(late.result(10)) == 200


def test_the_relay_holds_little_for_a_reader_that_does_not_read(world: World, port: int) -> None:
    lazy = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for peer in lazy:
        peer.sendall(GET % WEIGHTS)
    time.sleep(0.3)
    (relay,) = relays(world)
    resident_bytes = int(Path(f"/proc/{relay}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident_bytes < 40 * 1024**2
    assert status(ask(port, GET % b"/rules")) == 200
    for peer in lazy:
        peer.close()


def relays(world: World) -> list[int]:
    """The processes that relay to this world's socket."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            argv = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"relay.py" in argv and str(world.job.socket).encode() in argv:
            found.append(int(folder.name))
    return found
