"""The evaluation service of one run: one checkpoint at a time, within the queries that the task allows."""

from __future__ import annotations

import json
import posixpath
import threading
import time
from collections.abc import Callable

from posttrainbench.gateways.http1 import Reply, json_reply
from posttrainbench.gateways.request_log import RequestLog
from posttrainbench.protocols import WORKSPACE, EvaluationAnswer

PATH_CHARACTERS = 1000
QUEUE_LENGTH = 8


class Evaluations:
    """Answers an agent's evaluation queries. A client that goes away does not stop its evaluation."""

    def __init__(
        self,
        evaluate: Callable[[str], EvaluationAnswer],
        max_queries: int | None,
        log: RequestLog,
        answered: int = 0,
    ) -> None:
        """`answered`: queries that earlier attempts of the same run used up."""
        self._evaluate = evaluate
        self._max_queries = max_queries
        self._log = log
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(QUEUE_LENGTH)
        self._closed = False
        self.answered = answered  # queries that came back with a score: only those count
        self.running_path: str | None = None

    def answer(self, body: bytes) -> Reply:
        """The reply to `{"path": ...}`: score, stderr and n, or one sentence of error."""
        path = workspace_path(body)
        if path is None:
            return _error(400, 'send {"path": "final_model"}: the path of a folder within the workspace')
        if not self._places.acquire(blocking=False):
            return _error(
                429, f"{QUEUE_LENGTH} evaluations are waiting already; wait for their answers first"
            )
        try:
            with self._turn:
                return self._answer_in_turn(path)
        finally:
            self._places.release()

    def close(self) -> None:
        """Turn away who waits, and write down the evaluation under way as dropped."""
        self._closed = True
        if (path := self.running_path) is not None:
            self._write(path, EvaluationAnswer(None, None, None), "dropped: the run ended first", None)

    def _answer_in_turn(self, path: str) -> Reply:
        if self._closed:
            return _error(503, "the run has ended")
        if self._max_queries is not None and self.answered >= self._max_queries:
            return _error(429, f"all {self._max_queries} evaluations that this task allows are used up")
        self.running_path = path
        begun_s = time.monotonic()
        answer, detail = self._ask(path)
        self.answered += answer.score is not None
        self.running_path = None
        self._write(path, answer, detail, time.monotonic() - begun_s)
        left = None if self._max_queries is None else self._max_queries - self.answered
        status = 200 if answer.error is None else 422
        return json_reply(status, {**_fields(answer), "queries_left": left})

    def _ask(self, path: str) -> tuple[EvaluationAnswer, str | None]:
        """The answer for the agent, and the error for the ledger."""
        try:
            answer = self._evaluate(path)
        except Exception as failed:  # the agent's query must not take the run down
            told = EvaluationAnswer(None, None, None, "the evaluation failed on our side; try again later")
            return told, f"{type(failed).__name__}: {failed}"
        return answer, answer.error

    def _write(self, path: str, answer: EvaluationAnswer, detail: str | None, wall_s: float | None) -> None:
        rounded_s = None if wall_s is None else round(wall_s, 3)
        told = {**_fields(answer), "error": detail, "digest": answer.digest, "wall_s": rounded_s}
        self._log.evaluation({"path": path, **told})


def _fields(answer: EvaluationAnswer) -> dict[str, float | int | str | None]:
    return {"score": answer.score, "stderr": answer.stderr, "n": answer.n, "error": answer.error}


def workspace_path(body: bytes) -> str | None:
    """The workspace-relative path that a query names, or None when it names none that could be one."""
    try:
        path = json.loads(body)["path"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(path, str) or not 0 < len(path) <= PATH_CHARACTERS or not path.isprintable():
        return None
    path = posixpath.normpath(path.removeprefix(WORKSPACE + "/"))
    return None if path.startswith(("/", "../")) or path in (".", "..") else path


def _error(status: int, message: str) -> Reply:
    return json_reply(status, _fields(EvaluationAnswer(None, None, None, message)))
