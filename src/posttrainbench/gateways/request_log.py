"""What a gateway writes into a run's ledger: every request, flat, cut to size, and never too many.

An agent must not be able to hide a download behind a flood, so past the cap a file's first download is still
written; everything else past it is counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posttrainbench.ledger import Scalar

VALUE_CHARACTERS = 500
REQUESTS_CAP = 10_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and how it was answered; None for what does not apply."""

    method: str
    host: str  # "hub" or "gateway" for what is answered here, else the host and port that were asked for
    path: str
    status: int | None  # None: dropped before an answer
    decision: str  # "allowed" or "denied"
    reason: str
    bytes_out: int = 0
    call: str | None = None  # of a hub; "file" alone hands out content
    repo_type: str | None = None
    repo_id: str | None = None
    revision: str | None = None
    commit: str | None = None
    file: str | None = None
    sha256: str | None = None  # of a file that went out as a whole
    bytes_in: int = 0  # of the request's body, where it was counted

    @property
    def is_download(self) -> bool:
        """Whether content of a hub's file went out, all of it or a part."""
        return self.call == "file" and self.status in (200, 206) and self.bytes_out > 0

    def entry(self) -> dict[str, Scalar]:
        """The exchange as a ledger entry's data."""
        return {name: getattr(self, name) for name in self.__slots__}


class RequestLog:
    """Writes into a ledger from many threads, one at a time, until it is closed."""

    def __init__(self, log: Callable[[str, Mapping[str, Scalar]], None], cap: int = REQUESTS_CAP) -> None:
        self._log = log
        self._cap = cap
        self._lock = threading.Lock()
        self._requests = 0
        self._unwritten = 0
        self._downloads: set[tuple[str | None, ...]] = set()
        self._closed = False

    def request(self, exchange: Exchange) -> None:
        """One request; past the cap only a file's first download is written."""
        with self._lock:
            self._requests += 1
            download = (exchange.repo_type, exchange.repo_id, exchange.commit, exchange.file)
            new_download = exchange.is_download and download not in self._downloads
            if new_download:
                self._downloads.add(download)
            if self._requests == self._cap + 1:
                self._write("request_flood", {"cap": self._cap, "state": "further requests are counted"})
            if self._requests <= self._cap or new_download:
                self._write("request", exchange.entry())
            else:
                self._unwritten += 1

    def evaluation(self, data: Mapping[str, Scalar]) -> None:
        """One evaluation that was carried out."""
        with self._lock:
            self._write("evaluation", data)

    def canary(self, data: Mapping[str, Scalar]) -> None:
        """A test file that was handed out with the run's canaries in it; once for each."""
        with self._lock:
            self._write("canary", data)

    def overlap_check(self, data: Mapping[str, Scalar]) -> None:
        """One file that the agent had checked for test items; their number is limited."""
        with self._lock:
            self._write("overlap_check", data)

    def model_call(self, data: Mapping[str, Scalar]) -> None:
        """One call of a model API; these are paid for, so that there is no flood of them."""
        with self._lock:
            self._write("model_call", data)

    def outage(self, data: Mapping[str, Scalar]) -> None:
        """A model API that does not answer, or answers again."""
        with self._lock:
            self._write("outage", data)

    def lost(self, data: Mapping[str, Scalar]) -> None:
        """Evidence that could not be kept."""
        with self._lock:
            self._write("lost", data)

    def interceptor(self, data: Mapping[str, Scalar]) -> None:
        """What became of the process that carries connections to the internet."""
        with self._lock:
            self._write("interceptor", data)

    def close(self) -> None:
        """Write what the flood came to, then nothing any more."""
        with self._lock:
            if self._unwritten and not self._closed:
                self._write(
                    "request_flood", {"cap": self._cap, "state": "closed", "unwritten": self._unwritten}
                )
            self._closed = True

    def _write(self, kind: str, data: Mapping[str, Scalar]) -> None:
        if not self._closed:
            self._log(kind, {name: _cut(value) for name, value in data.items()})


def _cut(value: Scalar) -> Scalar:
    """Text without lone surrogates, at most 500 characters; the last three say when it was cut."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 3] + "..."
