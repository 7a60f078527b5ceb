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
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from posttrainbench.budget import Budget, Spend
from posttrainbench.gateways.call_totals import Total
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
from posttrainbench.gateways.model_apis import Call, Hold, ModelApi
from posttrainbench.gateways.prices import Prices
from posttrainbench.gateways.providers import (
    TRANSIENT,
    ClientGone,
    NoAnswer,
    ProviderGone,
    Providers,
    passed_down,
)
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
FETCHES_TOLD = 5  # addresses of a call that stand on the ledger
_NOT_THE_AGENTS = {401, 402, 403, 404}  # beside these: refusals that an agent can do nothing about


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
        self._calls, self._providers = calls, Providers(hold, log)
        self._lock = threading.Lock()
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
        self._providers.close()
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
            with closing(self._providers.answer(call, peer)) as response:
                call.status = response.status_code
                if call.status == 200:
                    connection.send_stream(200, passed_down(response), self._parts(call, response))
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
        headers = passed_down(response)
        if response.status_code in (401, 403):
            call.error = f"the provider refused the gateway's key (status {response.status_code})"
            why = f"{call.error}; whoever started the run must mend it"
            call.answer += error_body(call.route.dialect, response.status_code, why)
            headers = {"content-type": "application/json", "x-should-retry": "false"}
        else:
            call.answer += response.read().replace(call.api.key.encode(), b"[key]")
        self._finish(call)
        return Reply(response.status_code, bytes(call.answer), headers)

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


def _trouble(call: Call) -> Trouble | None:
    """What an ended call means for an agent that gives up now; None when it is not its LLM's doing."""
    if call.error is not None:
        return Trouble(SolveEnd.LLM_FAILED, call.error)
    if call.status in TRANSIENT | _NOT_THE_AGENTS:
        return Trouble(SolveEnd.LLM_FAILED, f"the provider answered with status {call.status}")
    return None


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
