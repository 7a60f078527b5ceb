"""Requests that come one by one, answered in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")

QUIET_S = 0.05  # when nothing new has come for this long, whoever wanted to ask has asked


@dataclass
class _Waiting(Generic[Request, Answer]):
    request: Request
    answer: asyncio.Future[Answer]


class Batcher(Generic[Request, Answer]):
    """Collects the requests of many coroutines and answers them with one call per batch.

    Args:
        complete: answers a batch, in its order; runs in a thread, one call at a time.
        batch_size: the most requests in one call.
        kind: requests of different kinds never share a batch.
        length: requests are put together by this, so that padding is small.
    """

    def __init__(
        self,
        complete: Callable[[Sequence[Request]], Sequence[Answer]],
        batch_size: int,
        kind: Callable[[Request], Hashable],
        length: Callable[[Request], int],
    ) -> None:
        self._complete, self._batch_size, self._kind, self._length = complete, batch_size, kind, length
        self._waiting: list[_Waiting[Request, Answer]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, request: Request) -> Answer:
        """The answer to one request; whatever `complete` raises is raised here."""
        waiting = _Waiting[Request, Answer](request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _work(self) -> None:
        while self._waiting:
            await self._settle()
            batch = self._take()
            try:
                answers = await asyncio.to_thread(self._complete, [w.request for w in batch])
            except Exception as error:  # belongs to those who asked
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():  # the asker may have been cancelled
                    waiting.answer.set_result(answer)

    async def _settle(self) -> None:
        """Wait until the queue has stopped growing, or holds a full batch."""
        seen = 0
        while len(self._waiting) != seen:
            seen = len(self._waiting)
            await asyncio.sleep(QUIET_S)

    def _take(self) -> list[_Waiting[Request, Answer]]:
        """The next batch: of the kind that has waited longest, the longest requests first."""
        kind = self._kind(self._waiting[0].request)
        same = [w for w in self._waiting if self._kind(w.request) == kind]
        batch = sorted(same, key=lambda w: self._length(w.request), reverse=True)[: self._batch_size]
        taken = {id(w) for w in batch}
        self._waiting = [w for w in self._waiting if id(w) not in taken]
        return batch
