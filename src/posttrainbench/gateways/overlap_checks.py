"""The overlap service of one run: whether a file of the agent's holds test items, and at which of its lines.

An honest agent screens its data with it. It must not become an oracle: whoever may ask whether a text holds
an item could try words until it does, or disguises until it does not. So per attempt and in all, `FILES`
answers are given and `PLACES` places named; after that a file is flagged without places, then no longer
checked. A place is a line or row of the agent's own file; nothing of an item, no id and no count is told.

What can be learnt at most: the check answers yes from about half of an item's information on, so that
probing needs that half to begin with. Words tried in one file a guess, a named place gives one word:
`PLACES` of them; halving a vocabulary of 30 000 with yes and no takes 15 files a word: `FILES` / 15 more.
With the numbers below some 110 words, the length of two items, for who has half of them already; and every
file asked about is on the ledger with its digest and what was found in it, for the audit and the judge.
Canaries count as items here as they do there, so that nobody can tell them apart.

Not covered: an agent that has test items and tries disguises, within these limits; what it asked is evidence.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from posttrainbench.gateways.evaluations import workspace_path
from posttrainbench.gateways.http1 import Reply, json_reply
from posttrainbench.gateways.request_log import RequestLog
from posttrainbench.protocols import OverlapAnswer

FILES = 200
PLACES = 100
PLACES_PER_FILE = 20


class OverlapChecks:
    """Answers an agent's questions about its files, one at a time."""

    def __init__(self, check: Callable[[str], OverlapAnswer], log: RequestLog) -> None:
        self._check, self._log = check, log
        self._turn = threading.Lock()
        self._files_left, self._places_left = FILES, PLACES

    def answer(self, body: bytes) -> Reply:
        """The reply to `{"path": ...}`: flagged, places and what is left, or one sentence of error."""
        path = workspace_path(body)
        if path is None:
            return _error(400, 'send {"path": "data.jsonl"}: the path of a file within the workspace')
        if not self._turn.acquire(blocking=False):
            return _error(429, "another file is being checked; wait for its answer first")
        try:
            return self._answer_in_turn(path)
        finally:
            self._turn.release()

    def _answer_in_turn(self, path: str) -> Reply:
        if not self._files_left:
            return _error(429, f"all {FILES} checks that a run allows are used up")
        begun_s = time.monotonic()
        try:
            answer, detail = self._check(path), None
        except Exception as failed:  # the agent's question must not take the run down
            answer = OverlapAnswer(None, error="the check failed on our side; the audit looks all the same")
            detail = f"{type(failed).__name__}: {failed}"
        told = answer.places[: min(PLACES_PER_FILE, self._places_left)]
        if answer.flagged is not None:
            self._files_left -= 1
            self._places_left -= len(told)
        self._log.overlap_check(
            {
                "path": path,
                "flagged": answer.flagged,
                "items": answer.items,
                "places": len(answer.places),
                "places_told": len(told),
                "sha256": answer.sha256,
                "error": detail or answer.error,
                "wall_s": round(time.monotonic() - begun_s, 3),
            }
        )
        if answer.flagged is None:
            return _error(422, answer.error or "the file could not be checked")
        facts = {"flagged": answer.flagged, "places": list(told), "more": len(told) < len(answer.places)}
        return json_reply(200, {**facts, "checks_left": self._files_left, "error": None})


def _error(status: int, message: str) -> Reply:
    return json_reply(status, {"flagged": None, "places": [], "more": False, "error": message})
