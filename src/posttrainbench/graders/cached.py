"""A grader: an LLM that is asked each question once, ever; its replies are kept and read.

Covered: replies that cannot be read (asked for again a bounded number of times); the same question asked
twice at once or in another evaluation (paid for once).
Not covered: a grader that answers nonsense in the right form.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from posttrainbench.errors import GradeUnavailable, LlmUnavailable
from posttrainbench.grade import GradingSpend
from posttrainbench.llm import Message, Reply
from posttrainbench.protocols import Grades, Llm

Read = TypeVar("Read")

READINGS = 3  # replies to one question, when they cannot be read


class CachedGrader:
    """Asks an LLM, and keeps what it paid for in `grades`."""

    def __init__(self, llm: Llm, grades: Grades) -> None:
        self.name = llm.name
        self._llm = llm
        self._grades = grades
        self._from_cache = 0
        self._asked: dict[tuple[int, str], asyncio.Task[Reply]] = {}  # in flight, by event loop and digest

    async def grade(self, messages: Sequence[Message], read: Callable[[str], Read | None]) -> Read:
        """What `read` makes of the reply to `messages`; the same question is asked once, ever.

        Raises:
            GradeUnavailable: no reply, or none that can be read.
        """
        digest = self._llm.digest(messages)
        kept = await asyncio.to_thread(self._grades.find, digest)
        known = read(kept.text) if kept is not None else None
        if known is not None:
            self._from_cache += 1
            return known
        reply = await asyncio.shield(self._task(digest, messages, read))  # others may wait for it too
        value = read(reply.text)
        if value is None:
            raise GradeUnavailable(f"{self.name} was read in two ways; this is a mistake of the benchmark")
        return value

    def spend(self) -> GradingSpend:
        """What all grades until now took."""
        took = self._llm.spend()
        return GradingSpend(self.name, took.requests, self._from_cache, took.lost, took.tokens, took.cost_usd)

    def _task(
        self, digest: str, messages: Sequence[Message], read: Callable[[str], object]
    ) -> asyncio.Task[Reply]:
        """The asking of a question, begun now or under way."""
        loop = asyncio.get_running_loop()
        key = (id(loop), digest)
        task = self._asked.get(key)
        if task is not None:
            self._from_cache += 1
            return task
        task = self._asked[key] = loop.create_task(self._ask_and_keep(digest, messages, read))
        task.add_done_callback(lambda _: self._asked.pop(key, None))
        return task

    async def _ask_and_keep(
        self, digest: str, messages: Sequence[Message], read: Callable[[str], object]
    ) -> Reply:
        for _ in range(READINGS):
            try:
                reply = await self._llm.reply(messages)
            except LlmUnavailable as failed:
                raise GradeUnavailable(str(failed)) from None
            if read(reply.text) is not None:
                await asyncio.to_thread(self._grades.keep, digest, reply)
                return reply
        raise GradeUnavailable(f"{self.name} gave {READINGS} replies that cannot be read")
