"""What the way to the internet owes: real clients work, policies hold, nobody is contacted in vain."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from far_hosts import FarHost, far_host, make_certificate, needs_mitmproxy, say, tls_in_front
from sandbox_rooms import Room
from small_world import WEIGHTS_BYTES, World, make_hub, open_world

from posttrainbench.budget import GIB, Limits
from posttrainbench.gateways import interceptor as interceptor_module
from posttrainbench.gateways.interceptor import DEATHS_CAP, Internet
from posttrainbench.task import Policy

CLIENTS = Path(__file__).with_name("hub_clients.py")
NAMES = ("far.example", "other.example", "huggingface.co")
BODY = b"a far answer\n" * 1000


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    needs_mitmproxy()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate for the far host with")
    return make_certificate(tmp_path_factory.mktemp("tls"), *NAMES)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def far(certificate: Path) -> Iterator[FarHost]:
    with far_host(certificate, say(BODY)) as host:
        yield host


@pytest.fixture(scope="module")
def strict(far: FarHost, hub: Path) -> Iterator[World]:
    with open_world(Policy.STRICT, hub, internet=far.internet(*NAMES)) as world:
        yield world


@pytest.fixture
def world(far: FarHost, paper: World) -> World:
    """The paper's world, with nothing on its ledger yet."""
    paper.entries.clear()
    far.seen.clear()
    return paper


@pytest.fixture(scope="module")
def paper(far: FarHost, hub: Path) -> Iterator[World]:
    with open_world(Policy.PAPER, hub, internet=far.internet(*NAMES)) as made:
        yield made


def last_request(world: World, **wanted: object) -> dict[str, Any]:
    world.wait_for(lambda: world.requests(**wanted))
    return world.requests(**wanted)[-1]


# --- clients ------------------------------------------------------------------------------------------------

CLIENT_COMMANDS = {
    "curl": ["curl", "-sS", "https://far.example/a?b=c"],
    "urllib": [
        sys.executable,
        "-c",
        "import urllib.request as r; print(r.urlopen('https://far.example/a?b=c').read().decode(), end='')",
    ],
    "requests": [
        sys.executable,
        "-c",
        "import requests; print(requests.get('https://far.example/a?b=c').text, end='')",
    ],
    "httpx": [
        sys.executable,
        "-c",
        "import httpx; print(httpx.get('https://far.example/a?b=c').text, end='')",
    ],
}


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_clients_trust_the_runs_authority(world: World, tmp_path: Path, name: str) -> None:
    if shutil.which(CLIENT_COMMANDS[name][0]) is None:
        pytest.skip(f"{name} is not installed")
    done = world.run(*CLIENT_COMMANDS[name], home=tmp_path)
    assert done.stdout.encode() == BODY, done.stderr
    row = last_request(world, decision="allowed")
    assert (row["method"], row["host"], row["path"], row["status"]) == ("GET", "far.example:443", "/a", 200)
    assert row["bytes_out"] == len(BODY)
    assert row["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_nothing_else_is_trusted_with_it(world: World, certificate: Path, tmp_path: Path) -> None:
    """A client that pins a certificate is refused, and that is written down."""
    done = world.run("curl", "-sS", "--cacert", str(certificate), "https://far.example/", home=tmp_path)
    assert done.returncode == 60
    row = last_request(world, decision="denied")
    assert row["host"] == "far.example:443"
    assert "certificate" in row["reason"]


def test_each_run_has_an_authority_of_its_own(world: World, strict: World) -> None:
    seen = [next(m.host for m in w.gateway.door.mounts if m.inside.endswith(".pem")) for w in (world, strict)]
    assert seen[0].read_bytes() != seen[1].read_bytes()
    assert b"PRIVATE" not in seen[0].read_bytes()


def test_what_is_sent_is_counted(world: World, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 3_000_000)
    told = ["curl", "-sS", "-H", "Expect:", "--data-binary", f"@{tmp_path}/body", "https://far.example/up"]
    assert world.run(*told, home=tmp_path).returncode == 0
    assert last_request(world, path="/up")["bytes_in"] == 3_000_000


# --- who is not contacted -----------------------------------------------------------------------------------


def test_a_denied_host_is_never_contacted(strict: World, far: FarHost, tmp_path: Path) -> None:
    before = len(far.connections)
    done = strict.run("curl", "-sS", "-w", "%{http_code}", "https://other.example/x", home=tmp_path)
    assert done.stdout.endswith("403")
    assert "not on the list of policy 'strict'" in json.loads(done.stdout[:-3])["error"]
    assert len(far.connections) == before
    assert last_request(strict, host="other.example:443")["decision"] == "denied"


def test_a_large_upload_to_a_denied_host_is_not_read(strict: World, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"x" * 8_000_000)
    told = ["curl", "-sS", "-H", "Expect:", "--data-binary", f"@{tmp_path}/body", "https://other.example/big"]
    assert strict.run(*told, home=tmp_path).returncode != 0
    assert last_request(strict, path="/big")["decision"] == "denied"


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest/", "http://10.1.2.3/", "http://[::ffff:127.0.0.2]/"]
)
def test_addresses_that_are_not_public_are_refused(world: World, tmp_path: Path, url: str) -> None:
    done = world.run("curl", "-sS", "-m", "20", "-w", "%{http_code}", url, home=tmp_path)
    assert done.stdout.endswith("502")
    assert "not a public address" in last_request(world)["reason"]


def test_a_public_name_of_a_private_address_is_refused(hub: Path, far: FarHost, tmp_path: Path) -> None:
    """`localhost` and its like: a name is judged by where it leads."""
    name = socket.gethostname()
    try:
        private = all(
            i[4][0].startswith(("127.", "10.", "172.", "192.168.")) for i in socket.getaddrinfo(name, 80)
        )
    except OSError:
        private = False
    if not private:
        pytest.skip("this machine's own name leads to no private address")
    with open_world(Policy.OPEN, hub, internet=Internet()) as world:
        url = f"http://{name}:{far.port}/"
        done = world.run("curl", "-sS", "-m", "20", "-w", "%{http_code}", url, home=tmp_path)
        assert done.stdout.endswith("502")
        assert "not public" in last_request(world)["reason"]


def test_a_request_for_two_hosts_is_refused(world: World, far: FarHost, tmp_path: Path) -> None:
    told = ["curl", "-sS", "-H", "Host: other.example", "-w", "%{http_code}", "https://far.example/fronted"]
    assert world.run(*told, home=tmp_path).stdout.endswith("403")
    assert ("GET", "/fronted") not in far.seen


def test_what_is_no_http_is_refused_and_written_down(world: World, far: FarHost) -> None:
    before = len(far.connections)
    with world.connect() as peer:
        peer.sendall(b"CONNECT far.example:22 HTTP/1.1\r\nHost: far.example:22\r\n\r\n")
        assert b" 200 " in peer.recv(1000)
        peer.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        assert peer.recv(1000) == b""
    assert "something else than HTTP" in last_request(world, host="far.example:22")["reason"]
    assert len(far.connections) == before


def test_our_own_routes_still_answer(world: World, tmp_path: Path) -> None:
    done = world.run("sh", "-c", "curl -sS $PTB_GATEWAY/rules", home=tmp_path)
    assert json.loads(done.stdout)["policy"] == "paper"


def interceptions(world: World) -> list[dict[str, Any]]:
    return [data for kind, data in world.entries if kind == "interceptor"]


def kill_mitmproxy(world: World, before: int | None = None) -> int:
    """Kill the process that works now, once it is another than `before`; its number."""
    interceptor = world.gateway._interceptor
    assert interceptor is not None
    world.wait_for(lambda: interceptor.pid != before, 60)
    pid = interceptor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_process_is_followed_by_another_with_the_same_authority(
    hub: Path, far: FarHost, tmp_path: Path
) -> None:
    with open_world(Policy.PAPER, hub, internet=far.internet("far.example")) as world:
        authority = next(m.host for m in world.gateway.door.mounts if m.inside.endswith(".pem"))
        before = authority.read_bytes()
        get = ("curl", "-sS", "-m", "60", "https://far.example/")
        assert world.run(*get, home=tmp_path, timeout_s=90).stdout.encode() == BODY
        pid = None
        for deaths in (1, 2):
            pid = kill_mitmproxy(world, pid)  # the next request may come before anybody noticed
            world.wait_for(lambda n=deaths: len(interceptions(world)) == n, 60)  # type: ignore[misc]
            assert world.run(*get, home=tmp_path, timeout_s=90).stdout.encode() == BODY
        assert authority.read_bytes() == before
        first = interceptions(world)[0]
        assert (first["state"], first["status"]) == ("ended; another one starts", -9)


def test_what_a_killed_process_carried_is_written_down(hub: Path, certificate: Path, tmp_path: Path) -> None:
    let_go = threading.Event()

    def hang(handler: Any) -> None:
        let_go.wait(60)

    with (
        far_host(certificate, hang) as host,
        open_world(Policy.PAPER, hub, internet=host.internet(*NAMES)) as world,
    ):
        get = world.relayed("curl", "-sS", "-m", "60", "https://far.example/slow")
        client = subprocess.Popen(get, env=world.environment(tmp_path), stderr=subprocess.DEVNULL)
        world.wait_for(lambda: host.seen, 60)
        kill_mitmproxy(world)
        assert client.wait(60) != 0
        row = last_request(world, path="/slow")
        let_go.set()
    assert (row["status"], row["reason"]) == (None, "dropped: the gateway's mitmproxy process ended")


def test_a_process_that_always_dies_takes_the_network_alone(
    hub: Path, far: FarHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor_module, "DEATHS_WITHIN_S", 1e9)  # a busy machine is slow at it
    with open_world(Policy.PAPER, hub, internet=far.internet("far.example")) as world:
        assert world.gateway.door  # it has started
        pid = None
        for deaths in range(1, DEATHS_CAP + 2):
            pid = kill_mitmproxy(world, pid)
            world.wait_for(lambda n=deaths: len(interceptions(world)) == n, 60)  # type: ignore[misc]
        assert interceptions(world)[-1]["state"] == "ended; no other one starts"
        done = world.run("curl", "-sS", "-m", "20", "https://far.example/", home=tmp_path)
        assert "502" in done.stderr
        assert "mitmproxy process has ended" in last_request(world, host="far.example:443")["reason"]
        assert world.run("sh", "-c", "curl -sSf $PTB_GATEWAY/rules", home=tmp_path).returncode == 0


# --- the hub, under its real name ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[Policy.PAPER, Policy.STRICT])
def hub_seen(request: Any, hub: Path, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(policy, what the hub's clients got, the ledger): the hub lies behind TLS at huggingface.co."""
    home = tmp_path_factory.mktemp("home")
    with (
        open_world(Policy.OPEN, hub) as behind,
        tls_in_front(certificate, behind.job.socket) as front,
        open_world(request.param, hub, internet=front.internet("huggingface.co")) as world,
    ):
        told = ["env", "HF_ENDPOINT=https://huggingface.co", sys.executable, str(CLIENTS)]
        done = world.run(*told, home=home, timeout_s=120)
        assert done.returncode == 0, done.stderr
        return request.param, json.loads(done.stdout.splitlines()[-1]), world


def test_hub_clients_work_through_tls(hub_seen: Any) -> None:
    _, got, _ = hub_seen
    assert got["base"] == {"value": ["config.json", "model.safetensors"]}
    assert got["base_bytes"] == {"value": WEIGHTS_BYTES}
    assert got["train"] == got["file_system_train"] == got["load_train"] == {"value": 20}


def test_the_test_split_stays_out_through_tls(hub_seen: Any) -> None:
    policy, got, world = hub_seen
    for attempt in ("test", "file_system_test", "load_plain"):
        assert f"is the benchmark's test split, which policy '{policy}'" in got[attempt]["text"]
    assert not [r for r in world.requests(file="data/test.jsonl", call="file") if r["decision"] == "allowed"]
    assert ("error" in got["instruct"]) == (policy is Policy.STRICT)


def test_downloads_through_tls_are_on_the_ledger(hub_seen: Any) -> None:
    _, _, world = hub_seen
    row = world.requests(method="GET", file="model.safetensors", repo_id="w/tiny-base")[0]
    assert (row["host"], row["bytes_out"]) == ("huggingface.co:443", WEIGHTS_BYTES)
    assert len(row["sha256"]) == 64


@pytest.mark.parametrize(
    "target",
    [
        "/datasets/w/math/info/refs?service=git-upload-pack",
        "/api/datasets/w/math/xet-read-token/main",
        "/api/datasets/w%2fmath/parquet",
        "/datasets/W/Math/viewer/default/test",
    ],
)
def test_other_ways_into_the_target_are_closed(
    world: World, far: FarHost, tmp_path: Path, target: str
) -> None:
    told = ["curl", "-sS", "--path-as-is", "-w", "%{http_code}", f"https://huggingface.co{target}"]
    assert world.run(*told, home=tmp_path).stdout.endswith("403")
    assert not far.seen


def test_the_hubs_storage_is_booked_under_the_file_it_holds(
    hub: Path, certificate: Path, tmp_path: Path
) -> None:
    def answer(handler: Any) -> None:
        if handler.path.startswith("/store"):
            return say(BODY)(handler)
        handler.send_response(302)
        handler.send_header("location", "https://far.example/store/abc?signature=1")
        handler.send_header("content-length", "0")
        handler.end_headers()
        return None

    with (
        far_host(certificate, answer) as host,
        open_world(Policy.PAPER, hub, internet=host.internet(*NAMES)) as world,
    ):
        url = "https://huggingface.co/w/tiny-instruct/resolve/main/model.safetensors"
        assert world.run("curl", "-sSL", url, home=tmp_path).stdout.encode() == BODY
        row = last_request(world, host="far.example:443")
    assert (row["repo_id"], row["file"], row["status"]) == ("w/tiny-instruct", "model.safetensors", 200)


# --- package managers, from inside a sandbox, against the registries of this machine ------------------------


def reachable(url: str) -> Internet:
    """A way to the registry at `url`, which may lie in a private network; skips where there is none."""
    hosts = {urlsplit(url).hostname or "", "pypi.org", "files.pythonhosted.org"}
    try:
        urllib.request.urlopen(url, timeout=10).close()
        routes = {h: (str(socket.getaddrinfo(h, 443, type=socket.SOCK_STREAM)[0][4][0]), 443) for h in hosts}
    except OSError as failed:
        pytest.skip(f"no registry can be reached from here ({type(failed).__name__})")
    return Internet(routes=routes)


def asked(*told: str) -> str:
    """What a package manager says of its own configuration, "" when it says nothing."""
    if shutil.which(told[0]) is None:
        pytest.skip(f"{told[0]} is not installed")
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def run_inside(room: Room, world: World, *argv: str) -> str:
    door = world.gateway.door
    inside = replace(room, limits=Limits(memory_bytes=2 * GIB, pids=200))
    return inside.run(*door.argv, *argv, mounts=door.mounts, environment=door.environment).output


@pytest.mark.slow
def test_pip_installs_inside_a_sandbox(bwrap: Room, hub: Path) -> None:
    index = (
        asked(sys.executable, "-m", "pip", "config", "get", "global.index-url") or "https://pypi.org/simple"
    )
    with open_world(Policy.PAPER, hub, internet=reachable(f"{index}/six/")) as world:
        told = [
            "python",
            "-m",
            "pip",
            "install",
            "--index-url",
            index,
            "--no-deps",
            "--target",
            "here",
            "six==1.17.0",
        ]
        said = run_inside(bwrap, world, *told)
        assert (bwrap.workspace / "here" / "six.py").is_file(), said[-2000:]
        fetched = [r for r in world.requests(method="GET", status=200) if r["path"].endswith(".whl")]
    assert fetched, [r["path"] for r in world.requests()]
    assert fetched[0]["sha256"]


@pytest.mark.slow
def test_npm_installs_inside_a_sandbox(bwrap: Room, hub: Path) -> None:
    registry = asked("npm", "config", "get", "registry")
    with open_world(Policy.PAPER, hub, internet=reachable(f"{registry}is-number")) as world:
        said = run_inside(bwrap, world, "npm", "install", "--registry", registry, "is-number@7.0.0")
        assert (bwrap.workspace / "node_modules/is-number/package.json").is_file(), said[-2000:]
        assert [r for r in world.requests(method="GET", status=200) if r["path"].endswith(".tgz")]


@pytest.mark.extended
def test_uv_installs_inside_a_sandbox(bwrap: Room, hub: Path) -> None:
    """pip fetches it first; it brings TLS of its own, which reads the authority from a variable."""
    index = (
        asked(sys.executable, "-m", "pip", "config", "get", "global.index-url") or "https://pypi.org/simple"
    )
    with open_world(Policy.PAPER, hub, internet=reachable(f"{index}/six/")) as world:
        get_uv = f"python -m pip install --quiet --index-url {index} --no-deps --target tools uv"
        get_six = f"tools/bin/uv pip install --no-cache --index-url {index} --target here six==1.17.0"
        said = run_inside(bwrap, world, "sh", "-c", f"{get_uv} && {get_six}")
        assert (bwrap.workspace / "here" / "six.py").is_file(), said[-2000:]
        assert [r for r in world.requests(method="GET", status=200) if "/six-" in r["path"]]


@pytest.mark.slow
def test_git_reads_the_authority(world: World, tmp_path: Path) -> None:
    """git speaks to the far host, which is no git server: it gets past TLS, and says so."""
    asked("git", "--version")
    done = world.run("git", "ls-remote", "https://far.example/repo", home=tmp_path)
    assert "SSL" not in done.stderr
    assert last_request(world)["path"] == "/repo/info/refs"
