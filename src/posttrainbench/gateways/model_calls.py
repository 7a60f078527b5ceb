"""The model APIs that an agent may use: real keys put in, tokens and USD counted, outages waited out.

Inside, an API lies at `$PTB_GATEWAY/llm/NAME` and any key will do. The real one is put in here, outside, and
goes to that API's generating paths alone.

Covered: keys never enter a sandbox, not in a refusal by the provider either; a budget in USD or tokens ends
in an error that the CLI prints; answers are passed on as they stream; overloads, rate limits and lost
connections are waited out; every call is on the ledger, and its bodies are kept.
Not covered: calls under way when the budget is reached are finished and paid; an agent may use its own LLM
for anything (to write training data, say): that is for the judge, from the bodies.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from posttrainbench.budget import Budget, Spend
from posttrainbench.gateways.calls_file import CallsFile
from posttrainbench.gateways.dialects import (
    Dialect,
    Json,
    Reading,
    Route,
    Usage,
    count_tokens_of_stream,
    error_body,
    estimate,
    provider_fetches,
    provider_tools,
    read_response,
    read_route,
    without_provider_tools,
)
from posttrainbench.gateways.http1 import Connection, Reply, Request
from posttrainbench.gateways.prices import Prices
from posttrainbench.gateways.request_log import Exchange, RequestLog
from posttrainbench.ledger import Scalar
from posttrainbench.protocols import Trouble
from posttrainbench.record import SolveEnd
from posttrainbench.task import Policy

if TYPE_CHECKING:
    import httpx

PREFIX = "/llm/"
REQUEST_CAP_BYTES = 64 * 1024 * 1024
RESPONSE_CAP_BYTES = 64 * 1024 * 1024  # of what is kept of an answer; the client gets all of it
CONNECT_S = 30.0
FETCHES_TOLD = 5  # addresses of a call that stand on the ledger
SILENCE_S = 1800.0  # between two parts of an answer: a model may think that long
_PASSED_UP = (
    "accept",
    "content-type",
    "user-agent",
    "openai-beta",
    "originator",
    "session_id",
    "conversation_id",
)
_PASSED_UP_PREFIXES = ("anthropic-", "x-stainless-", "x-goog-api-client", "x-app", "x-codex-")
_BETAS = "anthropic-beta"
_PASSED_DOWN = ("content-type", "request-id", "x-request-id", "retry-after", "x-should-retry")
_PASSED_DOWN_PREFIXES = ("anthropic-ratelimit-", "x-ratelimit-")
_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_NOT_THE_AGENTS = {401, 402, 403, 404}  # beside these: refusals that an agent can do nothing about
_OUT_OF_CREDIT = (b"insufficient_quota", b"billing")  # a 429 that waiting does not mend


Auth = Literal["bearer", "x-api-key", "x-goog-api-key"]


@dataclass(frozen=True, slots=True)
class ModelApi:
    """One provider's API, and the key to it."""

    name: str  # its place inside: /llm/NAME
    base_url: str  # without the /v1
    key: str = field(repr=False)
    auth: Auth = "bearer"
    provider: str | None = None  # as genai-prices calls it; None: found by the model's name
    models: tuple[str, ...] = ()  # patterns of the models that may be asked; empty: any
    headers: Mapping[str, str] = field(default_factory=dict)  # put in beside the key
    versioned: bool = True  # whether its paths begin with the /v1 that clients put there

    def credentials(self) -> dict[str, str]:
        """The headers that open the API."""
        if self.auth == "bearer":
            return {**self.headers, "authorization": f"Bearer {self.key}"}
        return {**self.headers, self.auth: self.key}


@dataclass(frozen=True, slots=True)
class Hold:
    """How an outage is waited out."""

    most_s: float = 3600.0  # after that, the agent gets the provider's own answer
    first_s: float = 1.0
    longest_s: float = 60.0

    def pauses(self) -> Iterator[float]:
        """Seconds to wait between tries, for `most_s` in all."""
        pause_s, left_s = self.first_s, self.most_s
        while left_s > 0:
            yield min(pause_s, left_s)
            left_s -= pause_s
            pause_s = min(pause_s * 2, self.longest_s)


class ProviderGone(Exception):
    """An answer that broke off in the middle."""


class NoAnswer(Exception):
    """A provider that could not be reached for as long as we hold."""


class ClientGone(Exception):
    """The CLI hung up while its call was waiting."""


@dataclass
class Call:
    """One call as it goes: what was asked, what came of it."""

    api: ModelApi
    route: Route
    request: Request
    path: str
    body: Json
    sent: bytes  # the body as it goes out
    begun_s: float
    tools: list[str]  # what the provider was to do by itself
    stripped: bool  # and was not let
    tries: int = 0
    held_s: float = 0.0
    status: int | None = None
    error: str | None = None
    answer: bytearray = field(default_factory=bytearray)
    finished: bool = False
    left: bool = False  # by its client
    kept: Mapping[str, Scalar] | None = None  # what is to be kept of it beside the bodies

    @property
    def model(self) -> str | None:
        named = self.route.model or self.body.get("model")
        return named if isinstance(named, str) else None


class Refusal(Exception):
    """A call that goes to nobody; the text is for the agent."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class ModelCalls:
    """Serves the model APIs of one run, from many threads."""

    def __init__(
        self,
        apis: tuple[ModelApi, ...],
        policy: Policy,
        budget: Budget,
        prices: Prices,
        log: RequestLog,
        calls: CallsFile,
        hold: Hold,
        spent: Spend,
    ) -> None:
        self._apis = {api.name: api for api in apis}
        self._policy, self._budget, self._prices, self._log = policy, budget, prices, log
        self._calls, self._hold = calls, hold
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._closed = threading.Event()
        self._total = Total(spent)
        self._trouble: Trouble | None = None

    def serve(self, connection: Connection, peer: socket.socket, head: Request) -> bool:
        """Answer the request that begins with `head`; whether the connection can carry another.

        Raises:
            BadRequest, Disconnected: as the connection does.
        """
        request = connection.read_body(head, REQUEST_CAP_BYTES)
        name, _, rest = request.path.removeprefix(PREFIX).partition("/")
        path = f"/{rest}"
        route = read_route(request.method, path)
        try:
            call = self._call(name, path, route, request)
            return self._carry(call, connection, peer)
        except Refusal as refused:
            dialect = route.dialect if route else Dialect.CHAT
            self._refuse(connection, request, dialect, refused)
            return request.keep_alive

    def spend(self) -> Spend | None:
        """What all calls until now took; no cost at all where the price of one of them is not known.

        None when there is no API to call.
        """
        if not self._apis:
            return None
        with self._lock:
            return self._total.spend()

    def trouble(self) -> Trouble | None:
        """What became of the last call; None when it was answered, or there was none."""
        return self._trouble

    def close(self) -> None:
        """Wake who waits for an outage to end, and drop connections to providers."""
        self._closed.set()
        if self._http is not None:
            self._http.close()
        self._calls.close()

    # --- before ---

    def _call(self, name: str, path: str, route: Route | None, request: Request) -> Call:
        """The call as it will go out.

        Raises:
            Refusal: it will not.
        """
        api = self._apis.get(name)
        if api is None:
            raise Refusal(
                404, f"there is no model API {name!r} here, only: {', '.join(self._apis) or 'none'}"
            )
        if route is None:
            raise Refusal(403, f"{request.method} {path} is not among the calls that an agent may make")
        if "content-encoding" in request.headers:
            raise Refusal(415, "send the request uncompressed")
        asked = _json(request.body) if request.method == "POST" else {}
        tools = provider_tools(route.dialect, asked)
        fetches = provider_fetches(route.dialect, asked)
        body = asked
        if self._policy is Policy.STRICT:
            if fetches:
                raise Refusal(
                    403,
                    f"policy 'strict': the provider would look up {fetches[0][:200]}, outside the sandbox; "
                    "put contents into the request itself",
                )
            body = without_provider_tools(route.dialect, body) if tools else body
        tools += [f"looks up {address[:200]}" for address in fetches[:FETCHES_TOLD]]
        body = count_tokens_of_stream(route.dialect, body)
        sent = request.body if body is asked else json.dumps(body).encode()
        stripped = bool(tools) and self._policy is Policy.STRICT
        call = Call(api, route, request, path, body, sent, time.monotonic(), tools, stripped)
        self._check_model(call)
        if route.generates:
            self._check_budget(call)
        return call

    def _check_model(self, call: Call) -> None:
        allowed, model = call.api.models, call.model
        if allowed and model is not None and not any(fnmatchcase(model, pattern) for pattern in allowed):
            raise Refusal(403, f"model {model} is not this run's agent model; allowed: {', '.join(allowed)}")

    def _check_budget(self, call: Call) -> None:
        with self._lock:
            why = self._total.beyond(self._budget)
        if why is not None:
            why = f"The budget of this run is spent: {why}. No further model calls are possible."
            self._trouble = Trouble(SolveEnd.BUDGET_SPENT, why)
            raise Refusal(400, why)
        model = call.model
        if self._budget.cost_usd is not None and not (model and self._prices.knows(call.api.provider, model)):
            raise Refusal(
                400,
                f"This run has a budget in USD, and no price is known for model {model}. "
                "Whoever started the run can name one in the table of prices (PTB_PRICES).",
            )

    def _refuse(self, connection: Connection, request: Request, dialect: Dialect, refused: Refusal) -> None:
        why = str(refused)
        self._log.request(Exchange(request.method, "gateway", request.path, refused.status, "denied", why))
        body = error_body(dialect, refused.status, why)
        reply = Reply(refused.status, body, {"Content-Type": "application/json", "x-should-retry": "false"})
        connection.send(reply, request.method == "HEAD", request.keep_alive)

    # --- there and back ---

    def _carry(self, call: Call, connection: Connection, peer: socket.socket) -> bool:
        """Ask the provider, pass the answer on as it comes; whether the connection can carry another."""
        try:
            with closing(self._answer(call, peer)) as response:
                call.status = response.status_code
                if call.status == 200:
                    connection.send_stream(200, _passed_down(response), self._parts(call, response))
                else:
                    connection.send(self._failure(call, response), head_only=False, keep_alive=True)
        except ClientGone:
            call.error, call.left = "the client hung up while its call waited", True
            return False
        except ProviderGone as gone:
            call.error = f"the answer broke off: {gone}"
            return False
        except NoAnswer as never:
            call.error = f"the provider did not answer for {call.held_s:.0f} s: {never}"
            self._finish(call)
            body = error_body(call.route.dialect, 502, call.error)
            connection.send(Reply(502, body, {"Content-Type": "application/json"}), False, keep_alive=True)
        except BaseException:
            call.error, call.left = "the client hung up in the middle of its answer", True
            raise
        finally:
            self._finish(call)
            if call.kept is not None:  # after the client has its answer: to compress takes a while
                self._keep(call)
        return True

    def _parts(self, call: Call, response: httpx.Response) -> Iterator[bytes]:
        """The body as it comes; the call is counted before its end is told.

        Raises:
            ProviderGone: it broke off.
        """
        import httpx

        try:
            for part in response.iter_raw():
                if len(call.answer) < RESPONSE_CAP_BYTES:
                    call.answer += part
                yield part
        except (httpx.TransportError, httpx.StreamError) as gone:
            raise ProviderGone(type(gone).__name__) from gone
        self._finish(call)

    def _failure(self, call: Call, response: httpx.Response) -> Reply:
        """What the provider said instead of an answer, without anything of the key."""
        headers = _passed_down(response)
        if response.status_code in (401, 403):
            call.error = f"the provider refused the gateway's key (status {response.status_code})"
            why = f"{call.error}; whoever started the run must mend it"
            call.answer += error_body(call.route.dialect, response.status_code, why)
            headers = {"content-type": "application/json", "x-should-retry": "false"}
        else:
            call.answer += response.read().replace(call.api.key.encode(), b"[key]")
        self._finish(call)
        return Reply(response.status_code, bytes(call.answer), headers)

    def _answer(self, call: Call, peer: socket.socket) -> httpx.Response:
        """The provider's answer, its body still to come; failures that pass are waited out.

        Raises:
            ClientGone: nobody waits for it any more.
            NoAnswer: none could be had, for as long as we hold.
        """
        import httpx

        pauses = self._hold.pauses()
        waiting = False
        while True:
            call.tries += 1
            response, why = None, ""
            try:
                response = self._client().send(self._outgoing(call), stream=True)
                if response.status_code not in _TRANSIENT:
                    break
                said = response.read()
                why = f"status {response.status_code}"
                if any(word in said for word in _OUT_OF_CREDIT):
                    break
            except httpx.TransportError as failed:
                why = type(failed).__name__
            pause_s = next(pauses, None)
            if pause_s is None or self._closed.is_set():
                if response is None:
                    raise NoAnswer(why)
                break
            if not waiting:
                self._log.outage({"api": call.api.name, "state": "begins", "why": why})
                waiting = True
            self._wait(call, peer, max(pause_s, _retry_after_s(response, self._hold.longest_s)))
        if waiting:
            self._log.outage({"api": call.api.name, "state": "ends", "held_s": round(call.held_s, 3)})
        return response

    def _wait(self, call: Call, peer: socket.socket, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while (left_s := until_s - time.monotonic()) > 0 and not self._closed.is_set():
            began_s = time.monotonic()
            gone = _readable(peer, min(left_s, 0.5)) and not peer.recv(1, socket.MSG_PEEK)
            call.held_s += time.monotonic() - began_s
            if gone:
                raise ClientGone
            if _readable(peer, 0):
                self._closed.wait(
                    min(left_s, 0.5)
                )  # it sends its next request already: nothing to do with us

    def _outgoing(self, call: Call) -> httpx.Request:
        sent = {
            name: value
            for name, value in call.request.headers.items()
            if name in _PASSED_UP or name.startswith(_PASSED_UP_PREFIXES)
        }
        ours = {"accept-encoding": "identity", **call.api.credentials()}
        if (
            _BETAS in ours and _BETAS in sent
        ):  # features that the client asks for, and one that its login needs
            ours[_BETAS] = f"{sent[_BETAS]},{ours[_BETAS]}"
        sent |= ours
        query = "&".join(
            part for part in call.request.query.split("&") if part and not part.startswith("key=")
        )
        path = call.path if call.api.versioned else call.path.removeprefix("/v1")
        url = call.api.base_url.rstrip("/") + path + (f"?{query}" if query else "")
        return self._client().build_request(call.request.method, url, headers=sent, content=call.sent)

    def _client(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._http is None:
                self._http = httpx.Client(
                    timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
                    follow_redirects=False,
                )
            return self._http

    # --- after ---

    def _finish(self, call: Call) -> None:
        """Count the call and put it on the ledger; once."""
        if call.finished:
            return
        call.finished = True
        paid = call.route.generates and call.status == 200
        answer = bytes(call.answer)
        reading = read_response(call.route.dialect, answer) if paid else Reading(None, None, True)
        cost_usd = self._cost(call, reading.model, reading.usage)
        estimated = estimate(reading, call.sent, answer) if paid and not reading.complete else None
        estimated_usd = self._cost(call, reading.model, estimated)
        if paid:
            with self._lock:
                self._total.add(reading, cost_usd, estimated, estimated_usd)
        if call.route.generates and not call.left:
            self._trouble = _trouble(call)
        if not call.route.generates:
            reason = call.error or "a model API's own question"
            self._log.request(
                Exchange(call.request.method, "gateway", call.request.path, call.status, "allowed", reason)
            )
            return
        entry = {"call": self._calls.next_number(), **_entry(call, reading, cost_usd)}
        if estimated is not None:
            entry["estimated_tokens"] = estimated.input_tokens + estimated.output_tokens
            entry["estimated_usd"] = estimated_usd
        self._log.model_call(entry)
        call.kept = entry

    def _keep(self, call: Call) -> None:
        assert call.kept is not None
        try:
            self._calls.keep(call.kept, call.body, bytes(call.answer))
        except OSError as failed:
            self._log.lost({"what": "the bodies of model calls from here on", "why": str(failed)})

    def _cost(self, call: Call, told: str | None, usage: Usage | None) -> float | None:
        """The price of `usage` by the model's name as the answer tells it, or else as it was asked for."""
        if usage is None:
            return None
        for model in (told, call.model):
            cost_usd = self._prices.cost_usd(call.api.provider, model, usage) if model else None
            if cost_usd is not None:
                return cost_usd
        return None


class Total:
    """What all calls of a run came to, those of earlier attempts among them."""

    def __init__(self, spent: Spend) -> None:
        self._unpriced = spent.tokens is not None and spent.tokens > 0 and spent.cost_usd is None
        self._cost_usd, self._tokens = spent.cost_usd or 0.0, spent.tokens or 0
        self._broken_off = spent.broken_off or 0
        self._lacking_usd, self._lacking_tokens = spent.broken_off_usd or 0.0, spent.broken_off_tokens or 0

    def add(
        self, reading: Reading, cost_usd: float | None, estimated: Usage | None, estimated_usd: float | None
    ) -> None:
        """One more call: what it told, and what it is taken for where it broke off."""
        told = _tokens(reading.usage)
        self._tokens += told
        self._cost_usd += cost_usd or 0.0
        self._unpriced = self._unpriced or (told > 0 and cost_usd is None)
        if estimated is not None:
            self._broken_off += 1
            self._lacking_tokens += _tokens(estimated) - told
            self._lacking_usd += (estimated_usd or 0.0) - (cost_usd or 0.0)

    def beyond(self, budget: Budget) -> str | None:
        """Which budget is spent, in words; None when none is."""
        cost_usd, tokens = self._cost_usd + self._lacking_usd, self._tokens + self._lacking_tokens
        if budget.cost_usd is not None and cost_usd >= budget.cost_usd:
            return f"{cost_usd:.2f} of {budget.cost_usd:.2f} USD"
        if budget.tokens is not None and tokens >= budget.tokens:
            return f"{tokens} of {budget.tokens} tokens"
        return None

    def spend(self) -> Spend:
        return Spend(
            cost_usd=None if self._unpriced else round(self._cost_usd, 9),
            tokens=self._tokens,
            broken_off=self._broken_off,
            broken_off_usd=round(self._lacking_usd, 9) if self._broken_off else None,
            broken_off_tokens=self._lacking_tokens if self._broken_off else None,
        )


def _tokens(usage: Usage | None) -> int:
    return usage.input_tokens + usage.output_tokens if usage else 0


def _trouble(call: Call) -> Trouble | None:
    """What an ended call means for an agent that gives up now; None when it is not its LLM's doing."""
    if call.error is not None:
        return Trouble(SolveEnd.LLM_FAILED, call.error)
    if call.status in _TRANSIENT | _NOT_THE_AGENTS:
        return Trouble(SolveEnd.LLM_FAILED, f"the provider answered with status {call.status}")
    return None


def _readable(peer: socket.socket, timeout_s: float) -> bool:
    """Whether bytes, or the end, can be read within `timeout_s`."""
    poll = select.poll()  # select knows 1024 descriptors only
    poll.register(peer, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _entry(call: Call, reading: Reading, cost_usd: float | None) -> dict[str, Scalar]:
    usage = reading.usage
    return {
        "api": call.api.name,
        "dialect": str(call.route.dialect),
        "model": reading.model or call.model,
        "status": call.status,
        "input_tokens": usage.input_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None,
        "cache_write_tokens": usage.cache_write_tokens if usage else None,
        "output_tokens": usage.output_tokens if usage else None,
        "reasoning_tokens": usage.reasoning_tokens if usage else None,
        "cost_usd": cost_usd,
        "complete": reading.complete if usage else None,
        "provider_tools": (", ".join(call.tools) + (" (stripped)" if call.stripped else "")) or None,
        "tries": call.tries,
        "held_s": round(call.held_s, 3),
        "wall_s": round(time.monotonic() - call.begun_s, 3),
        "error": call.error,
    }


def _json(body: bytes) -> Json:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Refusal(400, "the request's body is no JSON object")
    return value


def _passed_down(response: httpx.Response) -> dict[str, str]:
    return {
        name: value
        for name, value in response.headers.items()
        if name in _PASSED_DOWN or name.startswith(_PASSED_DOWN_PREFIXES)
    }


def _retry_after_s(response: httpx.Response | None, longest_s: float) -> float:
    text = response.headers.get("retry-after", "") if response is not None else ""
    return min(float(text), longest_s) if text.isascii() and text.isdigit() else 0.0
