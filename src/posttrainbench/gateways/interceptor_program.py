"""Carries connections from a sandbox to the internet and opens their TLS: `PROGRAM FOLDER`, control on stdin.

A program for a Python of its own, in which mitmproxy is installed: its pins do not fit beside ours. It
listens nowhere. The harness hands it connections over a socket, is asked before each request, and hears how
each ended; nothing is decided here, and no credential is held.

Covered: TLS with an authority that exists for this process alone; request by request, so that a connection's
first request vouches for no other; a Host header or server name that differs from the host asked for;
addresses that are not public (the host's own services, a cloud's metadata service), also behind public names;
connections that carry something else than HTTP; bodies of any size in constant memory.
Not covered: what a permitted host does with what it is sent.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import itertools
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow

CONNECTIONS_CAP = 256
PACKET_BYTES = 192 * 1024
REFUSED_BODY_BYTES = 1024 * 1024  # of a request that is denied: what is longer is not even read
DENIED = "Refused by the gateway"


# --- the authority ------------------------------------------------------------------------------------------


AUTHORITY = "mitmproxy-ca.pem"  # where mitmproxy looks: the key, then the certificate
CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def authority(folder: Path) -> str:
    """The certificate of the run's authority, as PEM: made now, unless a process before this one made it."""
    path = folder / AUTHORITY
    if not path.exists():
        make_authority(path)
    text = path.read_text()
    return text[text.index(CERTIFICATE) :]


def make_authority(path: Path) -> None:
    """Put a new certificate authority at `path`, whole or not at all."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PostTrainBench gateway of one run")])
    now = datetime.datetime.now(datetime.UTC)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
            *("key_agreement", "encipher_only", "decipher_only"),
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=60))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(key_id, critical=False)
        .sign(key, hashes.SHA256())
    )
    text = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    half = path.with_suffix(".half")
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret + text)
    half.rename(path)


# --- where a name leads -------------------------------------------------------------------------------------


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which names lead to public addresses only, but for the operator's own routes."""

    def __init__(self, routes: dict[str, tuple[str, int]]) -> None:
        super().__init__()
        self.routes = routes

    async def getaddrinfo(self, host: Any, port: Any, **wanted: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in self.routes:
            address, port = self.routes[name]
            return await super().getaddrinfo(address, port, **wanted)
        found = await super().getaddrinfo(host, port, **wanted)
        public = [info for info in found if is_public(str(info[4][0]))]
        if found and not public:
            raise OSError(f"{name} leads to an address that is not public")
        return public


def is_public(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_global


def is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# --- the harness --------------------------------------------------------------------------------------------


class Harness:
    """The other end of the control socket: hands over connections, answers questions, hears reports."""

    def __init__(self, control: socket.socket, adopt: Callable[[socket.socket, bytes], None]) -> None:
        self._control = control
        self._adopt = adopt
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._receive)

    async def ask(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The number under which a request is known, and whether it may pass."""
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.tell({"kind": "ask", "number": number, **question})
        return number, await answer

    def tell(self, message: dict[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode())
        except OSError:
            self.gone.set()

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self.gone.set()
            asyncio.get_running_loop().remove_reader(self._control)
        elif descriptors:
            self._adopt(socket.socket(fileno=descriptors[0]), data)
        else:
            answer = json.loads(data)
            self._asked.pop(answer["number"]).set_result(answer)


# --- requests -----------------------------------------------------------------------------------------------


class Passing:
    """One request under way: what has gone through of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.bytes_in = 0  # of the request's body
        self.bytes_out = 0  # of the response's
        self.digest = hashlib.sha256()

    def request_part(self, data: bytes) -> bytes:
        self.bytes_in += len(data)
        return data

    def response_part(self, data: bytes) -> bytes:
        self.bytes_out += len(data)
        self.digest.update(data)
        return data


class Questions:
    """The add-on: asks the harness about each request before anybody is contacted."""

    def __init__(self, harness: Harness, routes: dict[str, tuple[str, int]]) -> None:
        self._harness = harness
        self._routes = routes
        self._passing: dict[str, Passing] = {}
        self._permitted: dict[str, set[tuple[str, int]]] = {}  # client connection -> hosts it may reach

    async def requestheaders(self, flow: HTTPFlow) -> None:
        if flow.error is not None:
            self._refused(flow, flow.error.msg)
            return
        request = flow.request
        number, answer = await self._harness.ask(
            {
                "method": request.method,
                "scheme": request.scheme,
                "host": request.host,
                "port": request.port,
                "target": request.path,
                "names": sorted({name for name in (request.host_header, flow.client_conn.sni) if name}),
            }
        )
        passing = self._passing[flow.id] = Passing(number)
        if answer["allowed"]:
            self._permitted.setdefault(flow.client_conn.id, set()).add((request.host, request.port))
            request.stream = passing.request_part
        else:
            self._deny(flow, answer)

    def _deny(self, flow: HTTPFlow, answer: dict[str, Any]) -> None:
        from mitmproxy.http import Response

        length = flow.request.headers.get("content-length", "0")
        chunked = "transfer-encoding" in flow.request.headers
        if chunked or not length.isdigit() or int(length) > REFUSED_BODY_BYTES:
            flow.kill()
            return
        body = json.dumps({"error": answer["reason"]})
        flow.response = Response.make(answer["status"], body, {"Content-Type": "application/json"})
        flow.response.reason = DENIED
        for name, value in answer["headers"].items():
            flow.response.headers[name] = value
        if flow.request.method == "HEAD":
            flow.response.raw_content = b""

    def responseheaders(self, flow: HTTPFlow) -> None:
        passing = self._passing.get(flow.id)
        if flow.response is not None and passing is not None and flow.request.stream:
            flow.response.stream = passing.response_part

    def response(self, flow: HTTPFlow) -> None:
        self._done(flow, None)

    def error(self, flow: HTTPFlow) -> None:
        self._done(flow, flow.error.msg if flow.error else "broken off")

    def _done(self, flow: HTTPFlow, error: str | None) -> None:
        passing = self._passing.pop(flow.id, None)
        if passing is None:
            return
        response = flow.response
        self._harness.tell(
            {
                "kind": "done",
                "number": passing.number,
                "status": response.status_code if response else None,
                "bytes_in": passing.bytes_in,
                "bytes_out": passing.bytes_out,
                "sha256": passing.digest.hexdigest() if passing.bytes_out and error is None else None,
                "location": response.headers.get("location") if response else None,
                "error": error,
            }
        )

    def _refused(self, flow: HTTPFlow, why: str) -> None:
        request = flow.request
        self._tell_refused(request.method, f"{request.host}:{request.port}", request.path, why)

    def _tell_refused(self, method: str, host: str, path: str, why: str) -> None:
        self._harness.tell({"kind": "refused", "method": method, "host": host, "path": path, "why": why})

    # --- what is no request

    def tls_failed_client(self, data: Any) -> None:
        server = data.context.server.address or ("?", 0)
        why = f"the client did not accept the gateway's certificate: {data.conn.error or 'no reason given'}"
        self._tell_refused("TLS", f"{server[0]}:{server[1]}", "", why)

    def tcp_start(self, flow: Any) -> None:
        server = flow.server_conn.address or ("?", 0)
        why = "the connection carries something else than HTTP"
        self._tell_refused("TCP", f"{server[0]}:{server[1]}", "", why)
        flow.kill()

    def server_connect(self, data: Any) -> None:
        """The last look: no connection to a host for which this client has no permitted request."""
        host, port = data.server.address[:2]
        if (host, port) not in self._permitted.get(data.client.id, ()):
            data.server.error = "no request to this host was permitted"
        elif host not in self._routes and is_literal(host) and not is_public(host):
            data.server.error = f"{host} is not a public address"

    def client_disconnected(self, client: Any) -> None:
        self._permitted.pop(client.id, None)


# --- connections --------------------------------------------------------------------------------------------


class Writer(asyncio.StreamWriter):
    """A writer to a socket without addresses, where mitmproxy wants to print some."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name in ("peername", "sockname"):
            return ("0.0.0.0", 0)  # noqa: S104 - nothing listens there: a name for nowhere
        return super().get_extra_info(name, default)


async def carry(master: Any, peer: socket.socket, received: bytes) -> None:
    """Serve one connection to its end. `received` is what the harness had read of it already."""
    from mitmproxy.proxy.layers.modes import HttpProxy
    from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
    from mitmproxy.proxy.mode_specs import ProxyMode

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 16, loop=loop)
    reader.feed_data(received)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, peer)
    writer = Writer(transport, protocol, reader, loop)
    handler = ProxyConnectionHandler(master, reader, writer, master.options, ProxyMode.parse("regular"))
    handler.layer = HttpProxy(handler.layer.context)
    await handler.handle_client()


async def serve(
    control: socket.socket, folder: Path, routes: dict[str, tuple[str, int]], trusted: str | None
) -> None:
    """Carry what the harness hands over until it is gone."""
    from mitmproxy.addons import next_layer, proxyserver, tlsconfig
    from mitmproxy.master import Master
    from mitmproxy.options import Options

    tasks: set[asyncio.Task[None]] = set()

    def adopt(peer: socket.socket, received: bytes) -> None:
        if len(tasks) >= CONNECTIONS_CAP:
            peer.close()
            return
        peer.setblocking(False)
        task = asyncio.get_running_loop().create_task(carry(master, peer, received))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    master = Master(Options(confdir=str(folder)))
    harness = Harness(control, adopt)
    questions = Questions(harness, routes)
    master.addons.add(proxyserver.Proxyserver(), next_layer.NextLayer(), tlsconfig.TlsConfig(), questions)
    master.options.update(
        connection_strategy="lazy",  # nobody is contacted before a request to them was permitted
        http2=False,  # a stream in Python is far slower than a connection
        rawtcp=True,  # so that what is no HTTP is seen as such; tcp_start refuses it
        server=False,
        ssl_verify_upstream_trusted_ca=trusted,
    )
    await master.running()
    harness.tell({"kind": "ready"})
    await harness.gone.wait()


def main(argv: list[str]) -> None:
    folder = Path(argv[0])
    control = socket.socket(fileno=os.dup(0))
    settings = json.loads(control.recv(PACKET_BYTES))
    control.send(json.dumps({"kind": "authority", "certificate": authority(folder)}).encode())
    routes = {name: (host, port) for name, (host, port) in settings["routes"].items()}
    status = 0
    try:
        Loop(routes).run_until_complete(serve(control, folder, routes, settings["trusted"]))
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)  # connections may hang in any state; the process ends now, and they with it


if __name__ == "__main__":
    main(sys.argv[1:])
