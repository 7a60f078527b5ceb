"""Runs a command whose only way out is a unix socket: `relay.py --socket PATH -- COMMAND...`.

A program for the inside of a sandbox, standard library only. It listens on a free port of the loopback
interface, carries bytes to and from the socket, tells the command through its environment where to find the
hub, the proxy and the gateway, and exits as the command does.

Covered: half-closed connections, slow readers (each direction holds one buffer), more connections than there
is room for (they wait).
Not covered: any judgement of what passes; that is the gateway's.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys

BUFFER_BYTES = 64 * 1024
CONNECTIONS_CAP = 64
HUB_VARIABLES = ("HF_ENDPOINT", "PTB_GATEWAY")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")
PLACEHOLDER = "{PTB_GATEWAY}"  # in a value: our address, which is known here alone
USAGE = "usage: relay.py --socket PATH -- COMMAND [ARGUMENT...]"
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class End:
    """One end of a connection: bytes that wait to go out through it, and what it still can do."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.waiting = b""
        self.reads = True
        self.writes = True
        self.other: End = self

    def fileno(self) -> int:
        return self.peer.fileno()


class Relay:
    """Carries bytes between a listening socket's clients and a unix socket, in one thread."""

    def __init__(self, listener: socket.socket, socket_path: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.socket_path = socket_path
        self.connections = 0
        listener.setblocking(False)
        self.selector.register(listener, selectors.EVENT_READ)

    def turn(self) -> None:
        """Wait for something to happen and carry what can be carried."""
        for key, events in self.selector.select():
            if key.fileobj is self.listener:
                self.accept()
            elif isinstance(key.fileobj, End):
                self.carry(key.fileobj, events)
            else:
                os.read(key.fd, 4096)  # a signal arrived: the caller looks after its child

    def accept(self) -> None:
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        gateway = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            gateway.settimeout(2)
            gateway.connect(self.socket_path)
        except OSError:
            client.close()
            gateway.close()
            return
        left, right = End(client), End(gateway)
        left.other, right.other = right, left
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what streams goes out as it comes
        for end in (left, right):
            end.peer.setblocking(False)
            self.selector.register(end, selectors.EVENT_READ)
        self.connections += 1
        if self.connections == CONNECTIONS_CAP:
            self.selector.unregister(self.listener)

    def carry(self, end: End, events: int) -> None:
        if end.fileno() < 0:
            return  # closed by its other end in this same turn
        try:
            if events & selectors.EVENT_WRITE:
                self.write(end)
            if events & selectors.EVENT_READ and not end.other.waiting:
                self.read(end)
        except BlockingIOError:
            return
        except OSError:
            self.close(end)
            return
        self.watch(end)
        self.watch(end.other)
        if not (end.reads or end.waiting or end.other.reads or end.other.waiting):
            self.close(end)

    def read(self, end: End) -> None:
        data = end.peer.recv(BUFFER_BYTES)
        if data:
            end.other.waiting = data
            self.write(end.other)
        else:
            end.reads = False
            self.finish(end.other)

    def write(self, end: End) -> None:
        try:
            end.waiting = end.waiting[end.peer.send(end.waiting) :]
        except BlockingIOError:
            return
        if not end.waiting and not end.other.reads:
            self.finish(end)

    def finish(self, end: End) -> None:
        """Tell `end` that nothing more comes, once all that waits has gone out."""
        if end.writes and not end.waiting:
            end.writes = False
            end.peer.shutdown(socket.SHUT_WR)

    def watch(self, end: End) -> None:
        """Wait for room where bytes wait, and for bytes where there is room for them."""
        events = selectors.EVENT_WRITE if end.waiting else 0
        if end.reads and not end.other.waiting:
            events |= selectors.EVENT_READ
        known = end in self.selector.get_map()
        if events and known:
            self.selector.modify(end, events)
        elif events:
            self.selector.register(end, events)
        elif known:
            self.selector.unregister(end)

    def close(self, end: End) -> None:
        for each in (end, end.other):
            if each in self.selector.get_map():
                self.selector.unregister(each)
            each.peer.close()
        if self.connections == CONNECTIONS_CAP:
            self.selector.register(self.listener, selectors.EVENT_READ)
        self.connections -= 1


def environment(port: int) -> dict[str, str]:
    """The command's environment: ours, and where to find the way out."""
    address = f"http://127.0.0.1:{port}"
    ours = dict.fromkeys(HUB_VARIABLES + PROXY_VARIABLES, address)
    ours["HF_ENDPOINT"] = os.environ.get("HF_ENDPOINT", address)  # the internet's own hub may be meant
    theirs = {name: value.replace(PLACEHOLDER, address) for name, value in os.environ.items()}
    return {**theirs, **ours, **dict.fromkeys(NO_PROXY_VARIABLES, "127.0.0.1,localhost")}


def start(command: list[str], variables: dict[str, str]) -> int:
    """The process id of `command`, started with default signal handling.

    Raises:
        OSError: it cannot be started.
    """
    return os.posix_spawnp(command[0], command, variables, setsigdef=PASSED_ON)


def pass_on(told: list[int], child: int) -> None:
    """Tell `child` what we were told; it is not reaped yet, so its number is still its own."""
    while told:
        os.kill(child, told.pop(0))


def exit_status(child: int) -> int | None:
    """The exit status of `child`, None while it runs. Orphans are reaped too: we may be an init."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 1
        if ended == 0:
            return None
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(argv: list[str]) -> int:
    if len(argv) < 4 or argv[0] != "--socket" or argv[2] != "--":
        sys.stderr.write(USAGE + "\n")
        return 2
    socket_path, command = argv[1], argv[3:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    relay = Relay(listener, socket_path)
    awake, waker = os.pipe()
    os.set_blocking(waker, False)
    relay.selector.register(awake, selectors.EVENT_READ)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    told: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only so that it wakes us
    for number in PASSED_ON:  # before the child exists: it may be stopped as soon as it does
        signal.signal(number, lambda number, _: told.append(number))
    try:
        child = start(command, environment(listener.getsockname()[1]))
    except OSError as failed:
        sys.stderr.write(f"{command[0]}: {failed.strerror}\n")
        return 127
    while (status := exit_status(child)) is None:
        pass_on(told, child)
        relay.turn()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
