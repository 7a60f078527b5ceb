"""Servers that stand for hosts of the internet: TLS on 127.0.0.1, with an authority of their own."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from posttrainbench.gateways.interceptor import PYTHON, Internet


def needs_mitmproxy() -> None:
    """Skip the test where set-up has not installed mitmproxy."""
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing: make setup installs it")


def make_certificate(folder: Path, *names: str) -> Path:
    """A file with a key and its own certificate for `names`, which is at once the authority to trust."""
    path = folder / "far.pem"
    if not path.exists():
        alternatives = ",".join(f"DNS:{name}" for name in names)
        told = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ]
        told += [
            "-subj",
            "/CN=far",
            "-addext",
            f"subjectAltName={alternatives}",
            "-keyout",
            "key",
            "-out",
            "cert",
        ]
        subprocess.run(told, cwd=folder, check=True, capture_output=True)
        path.write_bytes((folder / "cert").read_bytes() + (folder / "key").read_bytes())
    return path


@dataclass
class FarHost:
    """A server under a name that leads to it; `connections` counts who came."""

    port: int
    certificate: Path
    connections: list[int] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # (method, path), in order

    def internet(self, *names: str) -> Internet:
        routes = dict.fromkeys(names, ("127.0.0.1", self.port))
        return Internet(routes=routes, trusted=self.certificate)


@contextmanager
def far_host(
    certificate: Path, answer: Callable[[http.server.BaseHTTPRequestHandler], None]
) -> Iterator[FarHost]:
    """An HTTPS server that answers each request with `answer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            host.seen.append((self.command, self.path))
            answer(self)

        do_POST = do_GET  # noqa: N815
        do_HEAD = do_GET  # noqa: N815

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, object]:
            peer, address = super().get_request()
            host.connections.append(1)
            return context.wrap_socket(peer, server_side=True, do_handshake_on_connect=False), address

        def handle_error(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server(("127.0.0.1", 0), Handler)
    host = FarHost(server.server_address[1], certificate)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()


def say(text: bytes) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answers every request with `text`."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("content-length", 0)))
        handler.send_response(200)
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(text)

    return answer


@contextmanager
def tls_in_front(certificate: Path, path: Path) -> Iterator[FarHost]:
    """A TLS server whose connections are carried, opened, to the unix socket at `path`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    host = FarHost(listener.getsockname()[1], certificate)

    def pour(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            pass

    def carry(raw: socket.socket) -> None:
        with context.wrap_socket(raw, server_side=True) as peer, socket.socket(socket.AF_UNIX) as inner:
            inner.connect(str(path))
            back = threading.Thread(target=pour, args=(inner, peer), daemon=True)
            back.start()
            pour(peer, inner)
            back.join(10)

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            host.connections.append(1)
            threading.Thread(target=carry, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield host
    finally:
        listener.close()


def zeros(count: int) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """Answers every request with `count` zero bytes, never held in memory."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(count))
        handler.end_headers()
        part = bytes(1 << 20)
        for start in range(0, count, len(part)):
            handler.wfile.write(part[: count - start])

    return answer


if __name__ == "__main__":  # CERTIFICATE BYTES: in a process of its own, to measure with
    with far_host(Path(sys.argv[1]), zeros(int(sys.argv[2]))) as running:
        print(running.port, flush=True)
        sys.stdin.read()
