"""The way to the internet: a mitmproxy process of a run's own, told by us what may pass.

The process (interceptor_program.py) holds the run's certificate authority and no credential. Connections
reach it through us alone, over a socket that it inherits; it asks before each request, and tells how it went.

Covered: see the program's docstring; here: the policy on every request, hub requests by repository and file,
bytes that the hub's storage hands out under the repository that they belong to, all of it on the ledger.
A process that dies is followed by another with the same authority; that is on the ledger.
Not covered: requests of which the process was killed before it told; those are written as dropped.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from posttrainbench.errors import SetupError
from posttrainbench.gateways import hub_urls
from posttrainbench.gateways.policy import Decision, Protected, decide, decide_elsewhere, is_hub
from posttrainbench.gateways.request_log import Exchange, RequestLog
from posttrainbench.protocols import Mount
from posttrainbench.task import Policy, Task

PROGRAM = Path(__file__).with_name("interceptor_program.py")
PYTHON = Path(sys.prefix, "gateway", "bin", "python")  # where set-up installs mitmproxy
AUTHORITY_INSIDE = "/run/gateway/authority.pem"
HUB_ADDRESS = "https://huggingface.co"
START_S = 60.0
PACKET_BYTES = 192 * 1024
REDIRECTS_CAP = 10_000
DEATHS_CAP, DEATHS_WITHIN_S = 5, 60.0  # more than so many within so long: it does not work here
# Read by OpenSSL and uv; Python's requests and pip; curl; Node and npm; git; cargo; AWS; Codex.
AUTHORITY_VARIABLES = (
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
    *("NPM_CONFIG_CAFILE", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "AWS_CA_BUNDLE", "CODEX_CA_CERTIFICATE"),
)
# Where programs look that read no variable.
SYSTEM_STORES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
OWN_STORE = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Internet:
    """How the internet is reached from this machine."""

    python: Path = PYTHON
    routes: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # host -> (address, port): mirrors
    trusted: Path | None = None  # authorities that upstream servers are checked against; None: the usual ones

    def check(self) -> None:
        """Raises SetupError when mitmproxy is not installed."""
        if not self.python.exists():
            raise SetupError(f"the gateway's own Python ({self.python}) is missing; run: make setup")


@dataclass(frozen=True, slots=True)
class _Started:
    """A process and our end of its socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket


class Interceptor:
    """A mitmproxy process, and another when it dies, until it is closed."""

    def __init__(
        self, internet: Internet, policy: Policy, task: Task, protected: Protected, log: RequestLog
    ) -> None:
        internet.check()
        self._internet = internet
        self._policy, self._task, self._protected, self._log = policy, task, protected, log
        self._folder = tempfile.TemporaryDirectory(prefix="ptb-ca-")
        self._errors = Path(self._folder.name, "errors.txt")
        self._lock = threading.Lock()
        self._under_way: dict[int, Exchange] = {}
        self._redirects: OrderedDict[str, hub_urls.HubRequest] = OrderedDict()
        self._authority = threading.Event()
        self._changed = threading.Condition(self._lock)
        self._closing = False
        self._deaths_s: deque[float] = deque(maxlen=DEATHS_CAP)
        self._started: _Started | None = self._start()  # None: it does not work here
        self._listener = threading.Thread(target=self._listen, name="interceptor", daemon=True)
        self._listener.start()

    def _start(self) -> _Started:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._errors.open("ab") as errors:
            process = subprocess.Popen(
                [str(self._internet.python), "-I", str(PROGRAM), self._folder.name],
                stdin=theirs.fileno(),
                stdout=errors,
                stderr=errors,
                env={"PATH": "/usr/bin:/bin"},
                cwd=self._folder.name,
            )
        control.send(_settings(self._internet))
        return _Started(process, control)

    @property
    def certificate(self) -> Path:
        """The authority that the sandbox trusts; waits until it is there.

        Raises:
            SetupError: the process did not start; the text holds what it said.
        """
        if not self._authority.wait(START_S) or not self._certificate.exists():
            said = self._errors.read_text(errors="replace").strip()[-500:]
            self.close()
            raise SetupError(
                f"the gateway's mitmproxy process did not start; run `make setup` again ({said})"
            )
        return self._certificate

    @property
    def pid(self) -> int | None:
        """Of the process that works now, None when none will any more."""
        started = self._started
        return started.process.pid if started else None

    def take(self, peer: socket.socket, received: bytes) -> bool:
        """Go on with a connection of which `received` was read; False when no process will.

        The caller closes its `peer`.
        """
        while (started := self._started) is not None:
            try:
                socket.send_fds(started.control, [received], [peer.fileno()])
            except OSError:  # it has died; another may be on its way
                with self._changed:
                    if not self._changed.wait_for(lambda s=started: self._started is not s, START_S):  # type: ignore[misc]
                        return False
            else:
                return True
        return False

    def close(self) -> None:
        """Kill the process; requests under way are written down as dropped."""
        with self._lock:
            self._closing = True
            if self._started is not None:
                self._started.process.kill()
        self._listener.join(timeout=5)
        self._folder.cleanup()

    # --- what the process says ---

    @property
    def _certificate(self) -> Path:
        return Path(self._folder.name, "authority.pem")

    def _listen(self) -> None:
        """Hear each process to its end."""
        while (started := self._started) is not None:
            while data := _received(started.control):
                self._hear(json.loads(data), started.control)
            self._authority.set()  # nobody should wait for it any more
            self._follow(started)

    def _follow(self, ended: _Started) -> None:
        """After a process has ended: drop what it carried; start another, unless that is of no use."""
        ended.process.kill()
        status = ended.process.wait()
        with self._changed:
            closing = self._closing
            dropped, self._under_way = self._under_way, {}
        why = "the gateway was closed" if closing else "the gateway's mitmproxy process ended"
        for exchange in dropped.values():
            self._log.request(replace(exchange, reason=f"dropped: {why}"))
        following = None if closing else self._another(status, len(dropped))
        with self._changed:
            self._started = following
            if self._closing and following is not None:  # closed while it started
                following.process.kill()
            self._changed.notify_all()
        ended.control.close()

    def _another(self, status: int, dropped: int) -> _Started | None:
        now_s = time.monotonic()
        too_often = len(self._deaths_s) == DEATHS_CAP and now_s - self._deaths_s[0] < DEATHS_WITHIN_S
        self._deaths_s.append(now_s)
        works = self._certificate.exists() and not too_often
        what = "ended; another one starts" if works else "ended; no other one starts"
        self._log.interceptor({"state": what, "status": status, "dropped": dropped})
        return self._start() if works else None

    def _hear(self, message: dict[str, Any], control: socket.socket) -> None:
        kind = message["kind"]
        if kind == "ask":
            self._answer(message, control)
        elif kind == "done":
            self._finish(message)
        elif kind == "refused":
            asked = Exchange(
                message["method"], message["host"], message["path"], None, "denied", message["why"]
            )
            self._log.request(asked)
        elif kind == "authority" and not self._authority.is_set():  # sandboxes read it: never written again
            self._certificate.write_text(message["certificate"])
            self._authority.set()

    def _answer(self, message: dict[str, Any], control: socket.socket) -> None:
        host, port, path = message["host"], message["port"], message["target"].partition("?")[0]
        exchange = Exchange(message["method"], f"{host}:{port}", path, None, "allowed", "")
        asked = self._hub_request(message, host, path)
        decision = self._decide(message, asked)
        exchange = replace(exchange, reason=decision.reason, **_hub_fields(asked))
        answer: dict[str, object] = {"number": message["number"], "allowed": decision.allowed}
        if decision.allowed:
            with self._lock:
                self._under_way[message["number"]] = exchange
        else:
            self._log.request(replace(exchange, status=403, decision="denied"))
            # GatedRepo is the one error code whose message every hub client shows as it is.
            headers = {"X-Error-Message": decision.reason}
            headers |= {"X-Error-Code": "GatedRepo"} if asked else {}
            answer |= {"status": 403, "reason": decision.reason, "headers": headers}
        with contextlib.suppress(OSError):
            control.send(json.dumps(answer).encode())

    def _hub_request(self, message: Mapping[str, Any], host: str, path: str) -> hub_urls.HubRequest | None:
        """What is asked of a hub, also where the hub's storage is asked for what the hub promised."""
        if is_hub(host):
            return hub_urls.read(message["method"], path)
        with self._lock:
            return self._redirects.get(host.casefold() + path)

    def _decide(self, message: Mapping[str, Any], asked: hub_urls.HubRequest | None) -> Decision:
        host = message["host"]
        other = [name for name in message["names"] if _name(name) != host.casefold()]
        if other:
            return Decision(False, f"the request is addressed to {host} and to {other[0]}; these must agree")
        if asked is not None:
            return decide(self._policy, self._task, self._protected, asked)
        return decide_elsewhere(self._policy, self._protected, host, message["target"])

    def _finish(self, message: dict[str, Any]) -> None:
        with self._lock:
            exchange = self._under_way.pop(message["number"], None)
        if exchange is None:
            return  # it was denied, and is written down
        if exchange.repo_id is not None and message["location"]:
            self._remember(exchange, message["location"])
        reason = exchange.reason if message["error"] is None else f"{exchange.reason}; {message['error']}"
        whole = message["status"] == 200
        self._log.request(
            replace(
                exchange,
                status=message["status"],
                reason=reason,
                bytes_in=message["bytes_in"],
                bytes_out=message["bytes_out"],
                sha256=message["sha256"] if whole else None,
            )
        )

    def _remember(self, exchange: Exchange, location: str) -> None:
        """That the hub sent a client to `location` for a file: the bytes are booked under its name."""
        parts = urlsplit(location)
        if not parts.hostname or exchange.repo_id is None:
            return
        asked = hub_urls.HubRequest(
            hub_urls.Call(str(exchange.call)),
            hub_urls.RepoType(str(exchange.repo_type)),
            exchange.repo_id,
            exchange.revision or hub_urls.MAIN,
            exchange.file,
        )
        with self._lock:
            self._redirects[parts.hostname.casefold() + parts.path] = asked
            if len(self._redirects) > REDIRECTS_CAP:
                self._redirects.popitem(last=False)


def authority_mounts(certificate: Path) -> tuple[Mount, ...]:
    """The authority, where our variables point and where other programs look."""
    stores = [inside for inside in SYSTEM_STORES if Path(inside).is_file()]
    return tuple(Mount(certificate, inside) for inside in (AUTHORITY_INSIDE, *stores))


def authority_environment() -> dict[str, str]:
    """The variables by which programs inside find the run's authority."""
    # npm knows its own variables in lower case too, and these win.
    return {**dict.fromkeys(AUTHORITY_VARIABLES, AUTHORITY_INSIDE), "npm_config_cafile": AUTHORITY_INSIDE}


def _received(control: socket.socket) -> bytes:
    """The next message, nothing when there will be none."""
    try:
        return control.recv(PACKET_BYTES)
    except OSError:
        return b""


def _settings(internet: Internet) -> bytes:
    trusted = internet.trusted or (Path(OWN_STORE) if Path(OWN_STORE).is_file() else None)
    return json.dumps(
        {"routes": dict(internet.routes), "trusted": str(trusted) if trusted else None}
    ).encode()


def _name(authority: str) -> str:
    """The host of a Host header, without its port."""
    return (urlsplit(f"//{authority}").hostname or "").casefold()


def _hub_fields(asked: hub_urls.HubRequest | None) -> dict[str, Any]:
    if asked is None:
        return {}
    return {
        "call": str(asked.call),
        "repo_type": str(asked.repo_type),
        "repo_id": asked.repo_id,
        "revision": asked.revision,
        "file": asked.file,
    }
