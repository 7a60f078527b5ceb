"""What the gateway costs an agent: latency added, requests in flight, a large download, a stream.

    python perf/gateway.py [DOWNLOAD_BYTES]

A client behind the relay, as in a sandbox, asks servers of this machine: once directly, once through the
gateway. Model calls go through the harness, other hosts through mitmproxy with TLS on both sides. Memory is
the most that the mitmproxy process ever held.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

DOUBLES = Path(__file__).parent.parent / "tests" / "contract"
sys.path.insert(0, str(DOUBLES))

from far_hosts import FarHost, make_certificate
from scripted_llm import REAL_KEY
from small_world import World, make_hub, open_world

from posttrainbench.gateways.model_apis import ModelApi
from posttrainbench.gateways.socket_gateway import Llm
from posttrainbench.task import Policy

LATENCY_LIMIT_MS = 5.0
CALLS = 200
DOWNLOAD_BYTES = 4_000_000_000
CLIENT = textwrap.dedent("""
    import json, os, sys, time, threading, requests
    url = sys.argv[1].replace("GATEWAY", os.environ.get("PTB_GATEWAY", ""))
    count, at_once = map(int, sys.argv[2:4])
    body = json.loads(sys.argv[4]) if len(sys.argv) > 4 else None
    took = []
    def ask():
        session = requests.Session()
        for number in range(count + 1):
            started = time.perf_counter()
            reply = session.post(url, json=body) if body else session.get(url)
            assert reply.status_code == 200, reply.text
            if number:  # the first one opens the connection
                took.append((time.perf_counter() - started) * 1000)
    started = time.perf_counter()
    threads = [threading.Thread(target=ask) for _ in range(at_once)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(json.dumps({"ms": took, "wall_s": time.perf_counter() - started}))
""")
FIRST_PART = textwrap.dedent("""
    import json, os, sys, time, requests
    url = sys.argv[1].replace("GATEWAY", os.environ.get("PTB_GATEWAY", ""))
    started = time.perf_counter()
    parts = requests.post(url, json=json.loads(sys.argv[2]), stream=True).iter_content(None)
    next(parts); first = time.perf_counter() - started
    for _ in parts: pass
    print(first, time.perf_counter() - started)
""")
QUESTION = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "x" * 100_000}],
}


def client(world: World | None, home: Path, *words: str, program: str = CLIENT) -> str:
    """What a client prints that runs behind the relay, or beside it when there is no world."""
    argv = [sys.executable, "-c", program, *words]
    if world is None:
        trusted = {"REQUESTS_CA_BUNDLE": str(home / "far.pem")}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=trusted)
    else:
        done = world.run(*argv, home=home, timeout_s=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def compare(what: str, world: World, home: Path, direct: str, through: str, body: object = None) -> None:
    """Print the latency that the gateway adds to one kind of request, and what 64 at once come to."""
    more = [json.dumps(body)] if body else []
    plain = statistics.median(json.loads(client(None, home, direct, str(CALLS), "1", *more))["ms"])
    carried = statistics.median(json.loads(client(world, home, through, str(CALLS), "1", *more))["ms"])
    added = f"added {carried - plain:5.2f} ms (aim {LATENCY_LIMIT_MS:.0f})"
    print(f"{what:34} median {plain:6.2f} -> {carried:6.2f} ms, {added}")
    crowd: dict[str, Any] = json.loads(client(world, home, through, "10", "64", *more))
    print(f"{'  64 at once':34} {64 * 10 / crowd['wall_s']:6.0f} requests/s")


@contextmanager
def serving(program: str, *words: str) -> Iterator[int]:
    """The port of a server in a process of its own."""
    argv = [sys.executable, str(DOUBLES / program), *words]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield int(server.stdout.readline())
        server.stdin.close()


def most_memory_mib(world: World) -> float:
    """The most that the mitmproxy process held, in MiB."""
    assert world.gateway._interceptor is not None
    status = Path(f"/proc/{world.gateway._interceptor.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def model_calls(folder: Path, hub: Path) -> None:
    api = ModelApi("anthropic", "", REAL_KEY, "x-api-key", "anthropic")
    through = "GATEWAY/llm/anthropic/v1/messages"
    with serving("scripted_llm.py", "0.05") as port:
        llm = Llm((replace(api, base_url=f"http://127.0.0.1:{port}"),))
        with open_world(Policy.PAPER, hub, llm=llm, calls=folder / "calls.zst") as world:
            direct = f"http://127.0.0.1:{port}/v1/messages"
            compare("model call, 100 kB of context", world, folder, direct, through, QUESTION)
            streamed = json.dumps({**QUESTION, "stream": True})
            for name, url, at in (("direct", direct, None), ("through", through, world)):
                first, last = map(float, client(at, folder, url, streamed, program=FIRST_PART).split())
                print(f"  stream {name:26} first part {first * 1000:6.0f} ms, last {last * 1000:6.0f} ms")


def other_hosts(folder: Path, hub: Path, download_bytes: int) -> None:
    certificate = make_certificate(folder, "far.example", "localhost")
    with (
        serving("far_hosts.py", str(certificate), "10000") as port,
        open_world(Policy.PAPER, hub, internet=FarHost(port, certificate).internet("far.example")) as world,
    ):
        direct = f"https://localhost:{port}/"
        compare("https request, 10 kB", world, folder, direct, "https://far.example/")
        print(f"{'  mitmproxy at most':34} {most_memory_mib(world):6.0f} MiB")
    with (
        serving("far_hosts.py", str(certificate), str(download_bytes)) as port,
        open_world(Policy.PAPER, hub, internet=FarHost(port, certificate).internet("far.example")) as world,
    ):
        started = time.monotonic()
        done = world.run("curl", "-sS", "-o", "/dev/null", "https://far.example/", home=folder, timeout_s=600)
        wall_s = time.monotonic() - started
        assert done.returncode == 0, done.stderr
        world.wait_for(world.requests)
        assert world.requests()[0]["bytes_out"] == download_bytes
        what = f"download of {download_bytes / 1e9:g} GB"
        rate = f"{download_bytes / 1e6 / wall_s:.0f} MB/s"
        print(f"{what:34} {wall_s:.1f} s, {rate}, mitmproxy at most {most_memory_mib(world):.0f} MiB")


def main() -> None:
    download_bytes = int(sys.argv[1]) if len(sys.argv) > 1 else DOWNLOAD_BYTES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "hub").mkdir()
        hub = make_hub(folder / "hub")
        model_calls(folder, hub)
        other_hosts(folder, hub, download_bytes)


if __name__ == "__main__":
    main()
