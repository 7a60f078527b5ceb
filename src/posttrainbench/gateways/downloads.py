"""The files that a run's hub handed out, kept so that an audit can read them.

An agent can delete what it fetched, or stream it and never write it down; the ledger then tells its name, and
this its content.

Covered: every file of which bytes went out, whole, whatever range was asked for; once each.
Not covered: weights of models, which are compared, not read; what comes from the internet through the
interceptor; what would take more room than `ROOM_BYTES`, of which the ledger says so.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from posttrainbench.budget import GIB
from posttrainbench.gateways.request_log import Exchange
from posttrainbench.ledger import Scalar

ROOM_BYTES = 8 * GIB
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf")


class Downloads:
    """Keeps files from many threads; without a folder it keeps none."""

    def __init__(
        self,
        folder: Path | None,
        log: Callable[[str, Mapping[str, Scalar]], None],
        room_bytes: int = ROOM_BYTES,
    ) -> None:
        self._folder, self._log, self._left_bytes = folder, log, room_bytes
        self._lock = threading.Lock()

    def keep(self, exchange: Exchange, source: Path) -> None:
        """Keep the hub's file `source`, of which `exchange` handed out something."""
        named = (exchange.repo_id, exchange.commit, exchange.file)
        if self._folder is None or None in named or _is_weights(exchange):
            return
        # Names of the hub's own, which it found by walking its folder: none leads elsewhere.
        target = self._folder.joinpath(*(str(part) for part in named))
        with self._lock:
            size_bytes = source.stat().st_size
            if target.exists():
                return
            if size_bytes > self._left_bytes:
                self._log("download_not_kept", {"repo_id": exchange.repo_id, "file": exchange.file})
                return
            self._left_bytes -= size_bytes
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _is_weights(exchange: Exchange) -> bool:
    return exchange.repo_type == "model" and str(exchange.file).casefold().endswith(_WEIGHTS)
