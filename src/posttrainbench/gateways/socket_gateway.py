"""The gateway that a run opens: a hub folder, the evaluation service, model APIs, the way to the internet.

It listens on one unix socket. Whoever can open that socket is taken for the agent, so its folder must be
private on the host.

Covered: what leaves or enters the sandbox through the socket, each request on the ledger; floods of requests
and of connections; slow and malformed clients.
Without a way to the internet every other host is refused; with one, the interceptor goes on with each
connection that asks for another host.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from posttrainbench.budget import Spend
from posttrainbench.errors import SetupError
from posttrainbench.gateways import hub_urls
from posttrainbench.gateways.calls_file import CallsFile
from posttrainbench.gateways.downloads import Downloads
from posttrainbench.gateways.evaluations import Evaluations
from posttrainbench.gateways.http1 import (
    BadRequest,
    Connection,
    Disconnected,
    FileBody,
    Reply,
    Request,
    json_reply,
)
from posttrainbench.gateways.hub import Hub, HubAnswer
from posttrainbench.gateways.interceptor import (
    HUB_ADDRESS,
    Interceptor,
    Internet,
    authority_environment,
    authority_mounts,
)
from posttrainbench.gateways.model_apis import Hold, ModelApi
from posttrainbench.gateways.model_calls import PREFIX, ModelCalls
from posttrainbench.gateways.overlap_checks import OverlapChecks
from posttrainbench.gateways.policy import Decision, Protected, decide, is_test_file
from posttrainbench.gateways.prices import Prices
from posttrainbench.gateways.request_log import Exchange, RequestLog
from posttrainbench.protocols import Door, GatewayJob, Mount, Trouble
from posttrainbench.task import ModelRef
from posttrainbench.tinyworld import catalog

RELAY = Path(__file__).with_name("relay.py")
RELAY_INSIDE = "/opt/gateway/relay.py"
SOCKET_INSIDE = "/run/gateway/gateway.sock"
SOCKET_PATH_BYTES = 100
CONNECTIONS_CAP = 96
_OURSELVES = {"127.0.0.1", "localhost"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a gateway waits for a client, in seconds."""

    idle_s: float = 300.0  # for the next request on an open connection
    request_s: float = 20.0  # for the rest of a request that has begun
    stall_s: float = 60.0  # for a client that does not read its reply


@dataclass(frozen=True, slots=True)
class Llm:
    """The model APIs that agents may use, what calls cost, and how long an outage is waited out."""

    apis: tuple[ModelApi, ...] = ()
    prices: Prices = field(default_factory=Prices)
    hold: Hold = field(default_factory=Hold)


class SocketGateway:
    """A gateway over a hub folder: the embedded world's, unless another is named.

    `protected` says where each benchmark's test split lies, by the benchmark's name; `models` are folders
    that the hub offers beside its own. Without `internet` there is none; `llm` says which model APIs
    agents may use.
    """

    def __init__(
        self,
        protected: Mapping[str, Protected],
        hub: Path | None = None,
        patience: Patience | None = None,
        models: Mapping[ModelRef, Path] | None = None,
        internet: Internet | None = None,
        llm: Llm | None = None,
    ) -> None:
        self._hub_folder = hub or catalog.hub_root()
        self._protected = protected
        self._patience = patience or Patience()
        self._models = models or {}
        self._internet = internet
        self._llm = llm or Llm()

    def open(self, job: GatewayJob) -> RunningSocketGateway:
        """Listen on `job.socket`; its folder is made, private, when it is missing.

        Raises:
            SetupError: the socket cannot be made there, the benchmark's test split is not known, or mitmproxy
                is missing.
            InvalidFile: the hub folder holds no hub.
        """
        protected = self._protected.get(job.task.benchmark)
        if protected is None:
            raise SetupError(f"the gateway does not know where {job.task.benchmark} keeps its test split")
        if self._internet is not None:
            self._internet.check()
        listener = _listen(job.socket)
        hub = Hub(self._hub_folder, self._models)
        if job.plant is not None:
            # Under every policy: what gets past one, by whatever hole, carries the canaries.
            is_test = partial(is_test_file, protected)
            hub.plant(protected.hub_id, is_test, job.plant, job.socket.parent / "planted")
        return RunningSocketGateway(job, hub, protected, listener, self._patience, self._internet, self._llm)


class RunningSocketGateway:
    """A gateway that listens: one thread accepts, one serves each connection."""

    def __init__(
        self,
        job: GatewayJob,
        hub: Hub,
        protected: Protected,
        listener: socket.socket,
        patience: Patience,
        internet: Internet | None,
        llm: Llm,
    ) -> None:
        self._job = job
        self._hub = hub
        self._protected = protected
        self._listener = listener
        self._patience = patience
        self._log = RequestLog(job.log)
        self._downloads = Downloads(job.downloads, job.log)
        self._interceptor = (
            Interceptor(internet, job.policy, job.task, protected, self._log) if internet else None
        )
        self._model_calls = ModelCalls(
            llm.apis,
            job.policy,
            job.task.budget,
            llm.prices,
            self._log,
            CallsFile(job.calls),
            llm.hold,
            job.spent,
        )
        self._evaluations = Evaluations(
            job.evaluate, job.task.rules.max_queries, self._log, job.spent.evaluations or 0
        )
        self._overlap_checks = OverlapChecks(job.check_overlap, self._log) if job.check_overlap else None
        self._places = threading.BoundedSemaphore(CONNECTIONS_CAP)
        self._lock = threading.Lock()
        self._under_way: dict[socket.socket, Exchange | None] = {}
        self._planted_out: set[Path] = set()
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, name="gateway", daemon=True)
        self._acceptor.start()

    @property
    def door(self) -> Door:
        """What a sandbox needs; with the internet behind it, also whom to trust."""
        return door(self._job.socket, self._interceptor.certificate if self._interceptor else None)

    def spend(self) -> Spend | None:
        """What the agent's model calls took until now; None when it has no LLM."""
        return self._model_calls.spend()

    def trouble(self) -> Trouble | None:
        """What became of the agent's last model call; None when it was answered, or there was none."""
        return self._model_calls.trouble()

    def close(self) -> None:
        """Stop listening; requests under way are dropped and logged as such. A second call does nothing."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            under_way = dict(self._under_way)
        for exchange in under_way.values():
            if exchange is not None:
                self._log.request(replace(exchange, reason="dropped: the gateway was closed"))
        self._evaluations.close()
        self._model_calls.close()
        if self._interceptor is not None:
            self._interceptor.close()
        self._log.close()
        for peer in (self._listener, *under_way):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(timeout=5)
        self._listener.close()
        self._job.socket.unlink(missing_ok=True)

    # --- connections ---

    def _accept(self) -> None:
        while not self._closing:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                continue
            if not self._places.acquire(blocking=False):
                self._turn_away(peer)
                continue
            with self._lock:
                self._under_way[peer] = None
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _turn_away(self, peer: socket.socket) -> None:
        exchange = Exchange("?", "gateway", "?", 503, "denied", f"more than {CONNECTIONS_CAP} connections")
        self._log.request(exchange)
        with contextlib.suppress(Disconnected):
            connection = Connection(peer, idle_s=1, request_s=1, stall_s=1)
            connection.send(_refusal(503, exchange.reason), head_only=False, keep_alive=False)
        peer.close()

    def _serve(self, peer: socket.socket) -> None:
        patience = self._patience
        connection = Connection(peer, patience.idle_s, patience.request_s, patience.stall_s)
        try:
            while not self._closing and self._serve_one(connection, peer):
                pass
        except (Disconnected, OSError):
            pass
        finally:
            with self._lock:
                self._under_way.pop(peer, None)
            peer.close()
            self._places.release()

    def _serve_one(self, connection: Connection, peer: socket.socket) -> bool:
        """Answer one request; whether the connection can carry another."""
        try:
            request = connection.read_head()
            if _is_elsewhere(request.host) and self._take(peer, connection):
                return False
            if request.host is None and request.path.startswith(PREFIX):
                return self._model_calls.serve(connection, peer, request)
            request = connection.read_body(request)
        except BadRequest as bad:
            self._log.request(Exchange("?", "?", "?", bad.status, "denied", str(bad)))
            connection.send(_refusal(bad.status, str(bad)), head_only=False, keep_alive=False)
            return False
        exchange = Exchange(request.method, request.host or "gateway", request.path, None, "allowed", "")
        with self._lock:
            self._under_way[peer] = exchange
        exchange, reply = self._answer(request, exchange)
        keep_alive = request.keep_alive and request.method != "CONNECT"
        bytes_out = 0
        try:
            bytes_out = connection.send(reply, request.method == "HEAD", keep_alive)
        except Disconnected:
            exchange = replace(exchange, reason=f"{exchange.reason}; the client went away")
        with self._lock:
            self._under_way[peer] = None
        sent = _after_sending(exchange, reply, bytes_out)
        if isinstance(reply.body, FileBody) and sent.is_download:
            self._downloads.keep(sent, reply.body.path)
        self._log.request(sent)
        return keep_alive

    def _take(self, peer: socket.socket, connection: Connection) -> bool:
        """Whether the interceptor goes on with a connection that asks for another host."""
        return self._interceptor is not None and self._interceptor.take(peer, connection.received())

    # --- routes ---

    def _answer(self, request: Request, exchange: Exchange) -> tuple[Exchange, Reply]:
        """The reply to `request`, and `exchange` with what was decided."""
        try:
            return self._route(request, exchange)
        except Exception as failed:  # a client must neither see a traceback nor stop the gateway
            reply = _refusal(500, "the gateway failed on this request")
            reason = f"internal error: {type(failed).__name__}: {failed}"
            return replace(exchange, status=500, decision="denied", reason=reason), reply

    def _route(self, request: Request, exchange: Exchange) -> tuple[Exchange, Reply]:
        if request.method == "CONNECT" or _is_elsewhere(request.host):
            if self._interceptor is not None:
                return _refused(exchange, 502, "the gateway's mitmproxy process has ended")
            return _refused(exchange, 403, f"{exchange.host} cannot be reached: {_NO_INTERNET}")
        exchange = replace(exchange, host="gateway")
        if request.path in ("/evaluate", "/overlap"):
            return self._route_question(request, exchange)
        if request.path == "/rules" and request.method in ("GET", "HEAD"):
            return _answered(exchange, json_reply(200, self._rules()), "the rules")
        asked = hub_urls.read(request.method, request.path)
        if asked is None:
            return _answered(exchange, json_reply(404, {"error": _NOTHING_HERE}), _NOTHING_HERE)
        return self._route_hub(request, asked, replace(exchange, host="hub"))

    def _route_question(self, request: Request, exchange: Exchange) -> tuple[Exchange, Reply]:
        """What the evaluation service, or the overlap service, says of a path in the workspace."""
        if request.method != "POST":
            return _refused(exchange, 405, f'POST {{"path": "final_model"}} to {request.path}')
        if request.path == "/evaluate":
            return _answered(exchange, self._evaluations.answer(request.body), "evaluation service")
        if self._overlap_checks is None:
            return _answered(exchange, json_reply(404, {"error": _NOTHING_HERE}), _NOTHING_HERE)
        return _answered(exchange, self._overlap_checks.answer(request.body), "overlap service")

    def _route_hub(
        self, request: Request, asked: hub_urls.HubRequest, exchange: Exchange
    ) -> tuple[Exchange, Reply]:
        exchange = replace(
            exchange,
            call=str(asked.call),
            repo_type=str(asked.repo_type),
            repo_id=asked.repo_id,
            revision=asked.revision,
            file=asked.file,
        )
        decision = decide(self._job.policy, self._job.task, self._protected, asked)
        if not decision.allowed:
            return replace(exchange, status=403, decision="denied", reason=decision.reason), _denial(decision)
        answer = self._hub.answer(asked, request)
        exchange = replace(exchange, commit=answer.commit, sha256=_whole_file_sha256(answer))
        self._note_canaries(request, exchange, answer)
        return _answered(exchange, answer.reply, decision.reason)

    def _note_canaries(self, request: Request, exchange: Exchange, answer: HubAnswer) -> None:
        """The first time that a planted file goes out, for the audit: from then on a model may know it."""
        if answer.file is None or not answer.file.planted or request.method != "GET":
            return
        with self._lock:
            is_new = answer.file.source not in self._planted_out
            self._planted_out.add(answer.file.source)
        if is_new:
            told = {"repo_id": exchange.repo_id, "revision": exchange.revision, "file": exchange.file}
            self._log.canary({**told, "sha256": answer.file.sha256})

    def _rules(self) -> dict[str, object]:
        rules = self._job.task.rules
        return {
            "policy": str(self._job.policy),
            "base_model": self._job.task.base_model.hub_id,
            "benchmark": self._protected.hub_id,
            "allowed_datasets": list(rules.allowed_datasets),
            "query_split": rules.query_split,
            "max_queries": rules.max_queries,
            "queries_answered": self._evaluations.answered,
        }


def door(socket_path: Path, authority: Path | None = None) -> Door:
    """What a sandbox needs to reach the gateway that listens at `socket_path`.

    With the internet behind it, that is also the `authority` to trust.

    The socket alone is shown, not its folder; connecting needs no writable mount.
    """
    return Door(
        argv=("python", "-I", "-S", RELAY_INSIDE, "--socket", SOCKET_INSIDE, "--"),
        mounts=(
            Mount(socket_path, SOCKET_INSIDE),
            Mount(RELAY, RELAY_INSIDE),
            *(authority_mounts(authority) if authority else ()),
        ),
        # Without these the hub's clients look for services that are not here, and the ledger fills with it.
        environment={
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            **({**authority_environment(), "HF_ENDPOINT": HUB_ADDRESS} if authority else {}),
        },
    )


def _listen(path: Path) -> socket.socket:
    if len(str(path).encode()) > SOCKET_PATH_BYTES:
        raise SetupError(
            f"the socket's path {path} is longer than {SOCKET_PATH_BYTES} bytes; use a shorter folder"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o666)  # the sandbox may run under another uid; the folder keeps others on the host out
        listener.listen(256)
    except OSError as failed:
        listener.close()
        raise SetupError(f"cannot listen at {path}: {failed.strerror or failed}") from failed
    return listener


_NOTHING_HERE = "nothing here; this is the gateway of a run: a model hub, /rules and /evaluate"
_NO_INTERNET = "this run has no internet, only the model hub at $HF_ENDPOINT and $PTB_GATEWAY/evaluate"


def _is_elsewhere(host: str | None) -> bool:
    """Whether a proxy request is for anybody but us (some clients ignore NO_PROXY)."""
    return host is not None and host.rpartition("@")[2].partition(":")[0] not in _OURSELVES


def _refused(exchange: Exchange, status: int, reason: str) -> tuple[Exchange, Reply]:
    return replace(exchange, status=status, decision="denied", reason=reason), _refusal(status, reason)


def _refusal(status: int, reason: str) -> Reply:
    phrase = "Refused by the gateway" if status == 403 else ""
    return json_reply(status, {"error": reason}, {"X-Error-Message": reason}, phrase)


def _denial(decision: Decision) -> Reply:
    """A policy's denial. GatedRepo is the one error code whose message every hub client shows as it is."""
    headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": decision.reason}
    return json_reply(403, {"error": decision.reason}, headers)


def _answered(exchange: Exchange, reply: Reply, reason: str) -> tuple[Exchange, Reply]:
    return replace(exchange, status=reply.status, reason=reason), reply


def _whole_file_sha256(answer: HubAnswer) -> str | None:
    file = answer.file
    return file.sha256 if file is not None and answer.reply.body_bytes == file.size_bytes else None


def _after_sending(exchange: Exchange, reply: Reply, bytes_out: int) -> Exchange:
    """The exchange with what went out; a digest only where the whole file did."""
    whole = isinstance(reply.body, FileBody) and bytes_out == reply.body_bytes
    return replace(exchange, bytes_out=bytes_out, sha256=exchange.sha256 if whole else None)
