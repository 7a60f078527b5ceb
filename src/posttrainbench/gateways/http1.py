"""HTTP/1.1 as a gateway speaks it: one hostile request in, one reply out, over a socket.

Covered: heads and bodies over their caps, slow senders (one deadline for a whole request), slow readers,
bytes that are no HTTP, ambiguous lengths (request smuggling), bodies of unknown length (refused).
Not covered: HTTP/2, upgrades, trailers, compressed bodies; nothing that the embedded world serves needs them.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

HEAD_CAP_BYTES = 32 * 1024
BODY_CAP_BYTES = 256 * 1024
CHUNK_BYTES = 256 * 1024
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    keep_alive: bool = True

    @property
    def host(self) -> str | None:
        """The host that a proxy is asked for (CONNECT, absolute form); None for a request to ourselves."""
        if self.method == "CONNECT":
            return self.target
        return None if self.target.startswith("/") else _cut_absolute(self.target)[0]

    @property
    def path(self) -> str:
        """The path, percent-encoding kept, without its query."""
        return self._origin_form().partition("?")[0]

    @property
    def query(self) -> str:
        return self._origin_form().partition("?")[2]

    def _origin_form(self) -> str:
        form = self.target if self.target.startswith("/") else _cut_absolute(self.target)[1]
        return form.partition("#")[0]


@dataclass(frozen=True, slots=True)
class FileBody:
    """Bytes `start` to `stop` (exclusive) of a file of ours."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes | FileBody = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  # the status line's text; some proxies' clients show nothing else

    @property
    def body_bytes(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.stop - self.body.start


class BadRequest(Exception):
    """A request that is refused before anybody reads what it asks for."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Disconnected(Exception):
    """The peer is gone, or never said anything."""


def json_reply(
    status: int, value: object, headers: Mapping[str, str] | None = None, reason: str = ""
) -> Reply:
    """`value` as a JSON reply."""
    body = json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **(headers or {})}, reason)


class Connection:
    """One client's connection: requests come out of it, replies go in."""

    def __init__(self, peer: socket.socket, idle_s: float, request_s: float, stall_s: float) -> None:
        self._peer = peer
        self._idle_s = idle_s  # between requests
        self._request_s = request_s  # for a whole request, head and body, from its first byte
        self._stall_s = stall_s  # for a reader that takes nothing
        self._buffer = bytearray()
        self._head = b""
        self._until_s = 0.0

    def read(self) -> Request:
        """The next request, whole.

        Raises:
            Disconnected: there is none.
            BadRequest: there is one that cannot be answered; the connection is of no more use.
        """
        return self.read_body(self.read_head())

    def read_head(self) -> Request:
        """The next request without its body. Raises as `read` does."""
        self._wait_for_first_byte()
        self._until_s = time.monotonic() + self._request_s
        self._head = self._read_head(self._until_s)
        method, target, version, headers = _parse_head(self._head)
        wish = headers.get("connection", "").casefold()
        keep = wish != "close" if version == "HTTP/1.1" else wish == "keep-alive"
        return Request(method, target, headers, keep_alive=keep)

    def read_body(self, request: Request, cap_bytes: int = BODY_CAP_BYTES) -> Request:
        """`request`, whose head was read last, with its body. Raises as `read` does."""
        length = _body_length(request.headers, cap_bytes)
        if request.headers.get("expect", "").casefold() == "100-continue":
            self.send_raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._buffer) < length:
            self._receive(self._until_s)
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return replace(request, body=body)

    def received(self) -> bytes:
        """All that came since the last request, for who goes on with the socket after `read_head`."""
        return self._head + b"\r\n\r\n" + bytes(self._buffer)

    def send(self, reply: Reply, head_only: bool, keep_alive: bool) -> int:
        """Send `reply`; the number of body bytes that went out.

        Raises:
            Disconnected: the peer went away or stopped reading.
        """
        reason = reply.reason or _phrase(reply.status)
        lines = [f"HTTP/1.1 {reply.status} {reason}"]
        lines += [f"{name}: {_header_value(value)}" for name, value in reply.headers.items()]
        lines += [f"Content-Length: {reply.body_bytes}"]
        lines += [f"Connection: {'keep-alive' if keep_alive else 'close'}", "", ""]
        self.send_raw("\r\n".join(lines).encode("latin-1", "replace"))
        if head_only:
            return 0
        if isinstance(reply.body, bytes):
            self.send_raw(reply.body)
            return len(reply.body)
        return self._send_file(reply.body)

    def send_stream(self, status: int, headers: Mapping[str, str], parts: Iterable[bytes]) -> None:
        """Send a reply whose length is not known, each part as it comes.

        What `parts` raises comes through, and the client sees that its reply was cut off.

        Raises:
            Disconnected: the peer went away or stopped reading.
        """
        lines = [f"HTTP/1.1 {status} {_phrase(status)}"]
        lines += [f"{name}: {_header_value(value)}" for name, value in headers.items()]
        lines += ["Transfer-Encoding: chunked", "Connection: keep-alive", "", ""]
        self.send_raw("\r\n".join(lines).encode("latin-1", "replace"))
        for part in parts:
            if part:
                self.send_raw(b"%x\r\n%s\r\n" % (len(part), part))
        self.send_raw(b"0\r\n\r\n")

    def send_raw(self, data: bytes) -> None:
        self._peer.settimeout(self._stall_s)
        try:
            self._peer.sendall(data)
        except OSError as gone:
            raise Disconnected from gone

    def _send_file(self, body: FileBody) -> int:
        sent = 0
        with body.path.open("rb") as file:
            file.seek(body.start)
            while body.start + sent < body.stop:
                chunk = file.read(min(CHUNK_BYTES, body.stop - body.start - sent))
                if not chunk:
                    raise Disconnected  # the file shrank under us: the length that we promised cannot be kept
                self.send_raw(chunk)
                sent += len(chunk)
        return sent

    def _wait_for_first_byte(self) -> None:
        if not self._buffer:
            self._fill(self._idle_s, Disconnected())

    def _read_head(self, until_s: float) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end > HEAD_CAP_BYTES or (end < 0 and len(self._buffer) > HEAD_CAP_BYTES):
                raise BadRequest(431, f"the request's head is longer than {HEAD_CAP_BYTES} bytes")
            if end >= 0:
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return head
            self._receive(until_s)

    def _receive(self, until_s: float) -> None:
        late = BadRequest(408, "the request took too long to arrive")
        remaining_s = until_s - time.monotonic()
        if remaining_s <= 0:
            raise late
        self._fill(remaining_s, late)

    def _fill(self, timeout_s: float, on_timeout: Exception) -> None:
        self._peer.settimeout(timeout_s)
        try:
            data = self._peer.recv(CHUNK_BYTES)
        except TimeoutError:
            raise on_timeout from None
        except OSError as gone:
            raise Disconnected from gone
        if not data:
            raise Disconnected
        self._buffer += data


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not set(words[0]) <= _TOKEN or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(400, "this is not an HTTP/1.1 request")
    method, target, version = words
    if not target or not target.isprintable():
        raise BadRequest(400, "the request's target holds characters that no URL has")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or not set(name) <= _TOKEN or "\n" in value or "\r" in value:
            raise BadRequest(400, "a header line is malformed")
        name = name.lower()
        if name in headers and name in ("content-length", "host", "transfer-encoding"):
            raise BadRequest(400, f"header {name} comes twice")
        headers[name] = value.strip()
    return method, target, version, headers


def _cut_absolute(target: str) -> tuple[str, str]:
    """Host and origin form of `http://host/path?query`."""
    authority, slash, rest = target.partition("://")[2].partition("/")
    return authority, slash + rest or "/"


def _body_length(headers: Mapping[str, str], cap_bytes: int) -> int:
    if "transfer-encoding" in headers:
        raise BadRequest(411, "send a Content-Length; bodies of unknown length are not accepted")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadRequest(400, "Content-Length is not a number")
    if int(text) > cap_bytes:
        raise BadRequest(413, f"the request's body is longer than {cap_bytes} bytes")
    return int(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _header_value(value: str) -> str:
    """A value that cannot end its header line."""
    return "".join(char if char.isprintable() else " " for char in value)
