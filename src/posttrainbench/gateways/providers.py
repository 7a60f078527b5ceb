"""The providers of model APIs: asked with the real key, their outages waited out.

Covered: of a client's headers only those that such an API reads go up, and only harmless ones of its answer
come down; overloads, rate limits and lost connections are waited out, unless the client hangs up.
Not covered: an answer that breaks off in its middle is the client's to ask for again.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from typing import TYPE_CHECKING

from posttrainbench.gateways.model_apis import Call, Hold
from posttrainbench.gateways.request_log import RequestLog

if TYPE_CHECKING:
    import httpx

CONNECT_S = 30.0
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
TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_OUT_OF_CREDIT = (b"insufficient_quota", b"billing")  # a 429 that waiting does not mend


class ProviderGone(Exception):
    """An answer that broke off in the middle."""


class NoAnswer(Exception):
    """A provider that could not be reached for as long as we hold."""


class ClientGone(Exception):
    """The CLI hung up while its call was waiting."""


class Providers:
    """Asks the providers of one run's model APIs, from many threads."""

    def __init__(self, hold: Hold, log: RequestLog) -> None:
        self._hold, self._log = hold, log
        self._lock = threading.Lock()
        self._http: httpx.Client | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Wake who waits for an outage to end, and drop all connections."""
        self._closed.set()
        if self._http is not None:
            self._http.close()

    def answer(self, call: Call, peer: socket.socket) -> httpx.Response:
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
                if response.status_code not in TRANSIENT:
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


def _readable(peer: socket.socket, timeout_s: float) -> bool:
    """Whether bytes, or the end, can be read within `timeout_s`."""
    poll = select.poll()  # select knows 1024 descriptors only
    poll.register(peer, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def passed_down(response: httpx.Response) -> dict[str, str]:
    """The headers of an answer that its client gets."""
    return {
        name: value
        for name, value in response.headers.items()
        if name in _PASSED_DOWN or name.startswith(_PASSED_DOWN_PREFIXES)
    }


def _retry_after_s(response: httpx.Response | None, longest_s: float) -> float:
    text = response.headers.get("retry-after", "") if response is not None else ""
    return min(float(text), longest_s) if text.isascii() and text.isdigit() else 0.0
