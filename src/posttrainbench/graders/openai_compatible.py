"""A grader behind any OpenAI-compatible endpoint: many questions in flight, each paid for once.

Covered: rate limits (all requests wait as long as the endpoint asks), overload and server errors, hangs,
connections that break, replies that are cut off or cannot be read. Each is tried again a bounded number of
times, and ends in `GradeUnavailable`. A refusal that no waiting mends (a wrong key, no such model, no credit
left) ends every further question at once, and so does an endpoint that answers nobody.

Not covered: a grader that answers nonsense in the right form; a provider that charges for replies that never
arrived (they are counted as lost, not priced).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx

from posttrainbench.digest import content_digest
from posttrainbench.errors import GradeUnavailable
from posttrainbench.grade import Grade, GradingSpend, Message, Tokens
from posttrainbench.graders.settings import GraderSettings
from posttrainbench.protocols import Grades

Read = TypeVar("Read")
_Response = tuple[int, httpx.Headers, bytes]  # status, headers, body

TOO_MANY = 429
WORTH_A_RETRY = {408, 409, 425, TOO_MANY}  # and every 5xx
HOPELESS = {401, 402, 403, 404}  # the next question would end the same way
NO_CREDIT = "insufficient_quota"  # told with status 429, but no waiting mends it
LONGEST_WAIT_S = 600.0  # what an endpoint may ask us to wait
GIVE_UP_AFTER = 3  # questions in a row for which no attempt brought a reply
REPLY_CAP_BYTES = 8_000_000
# httpx looks at every idle connection for each that is idle: 256 in one pool took 17 ms of CPU per request.
CONNECTIONS_PER_POOL = 16
SAID_CHARACTERS = 200


@dataclass
class _Counts:
    requests: int = 0
    from_cache: int = 0
    lost: int = 0
    untold: int = 0  # replies without usage
    prompt: int = 0
    completion: int = 0
    cached: int = 0


@dataclass
class _Line:
    """What belongs to one event loop: who may ask, over which connections, and when."""

    loop: asyncio.AbstractEventLoop
    slots: asyncio.LifoQueue[httpx.AsyncClient]  # one for each request in flight, the warmest next
    asked: dict[str, asyncio.Task[Grade]] = field(default_factory=dict)  # questions in flight, by digest
    closed_until_s: float = 0.0  # nobody asks before, on the monotonic clock


class _Lost(Exception):
    """An attempt that brought no reply; `wait_s` is what the endpoint asked for."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class OpenAICompatibleGrader:
    """Asks an endpoint, keeps what it paid for in `grades`, and counts what it spent."""

    def __init__(self, settings: GraderSettings, grades: Grades) -> None:
        self.name = f"{settings.model} at {httpx.URL(settings.base_url).host}"
        self._settings = settings
        self._grades = grades
        self._counts = _Counts()
        self._line: _Line | None = None
        self._hopeless: str | None = None  # why no further question is worth asking
        self._unanswered = 0

    async def grade(self, messages: Sequence[Message], read: Callable[[str], Read | None]) -> Read:
        """What `read` makes of the reply to `messages`; the same question is asked once, ever.

        Raises:
            GradeUnavailable: no reply, or none that can be read.
        """
        body = self._body(messages)
        digest = content_digest({"endpoint": self._settings.base_url, "body": body})
        kept = await asyncio.to_thread(self._grades.find, digest)
        known = read(kept.text) if kept is not None else None
        if known is not None:
            self._counts.from_cache += 1
            return known
        line = self._line_here()
        task = line.asked.get(digest)
        if task is None:
            task = line.loop.create_task(self._ask_and_keep(line, digest, body, read))
            line.asked[digest] = task
            task.add_done_callback(lambda _: line.asked.pop(digest, None))
        else:
            self._counts.from_cache += 1
        grade = await asyncio.shield(task)  # whoever else waits for it is not cancelled with us
        value = read(grade.text)
        if value is None:
            raise GradeUnavailable(f"{self.name} was read in two ways; this is a mistake of the benchmark")
        return value

    def spend(self) -> GradingSpend:
        """What all grades until now took."""
        counts = self._counts
        tokens = None if counts.untold else Tokens(counts.prompt, counts.completion, counts.cached)
        price = self._settings.price
        cost_usd = price.cost_usd(tokens) if price is not None and tokens is not None else None
        return GradingSpend(self.name, counts.requests, counts.from_cache, counts.lost, tokens, cost_usd)

    def _body(self, messages: Sequence[Message]) -> dict[str, object]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return {"model": self._settings.model, "messages": turns, **self._settings.request}

    def _line_here(self) -> _Line:
        """The connections of the running event loop; another loop than last time gets its own."""
        loop = asyncio.get_running_loop()
        if self._line is None or self._line.loop is not loop:
            self._line = _Line(loop, self._slots())
        return self._line

    def _slots(self) -> asyncio.LifoQueue[httpx.AsyncClient]:
        """As many slots as requests may be in flight; each has a connection in its client's pool."""
        settings = self._settings
        key = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        limits = httpx.Limits(
            max_connections=CONNECTIONS_PER_POOL, max_keepalive_connections=CONNECTIONS_PER_POOL
        )
        trusted = httpx.create_ssl_context()
        slots: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        for place in range(settings.concurrency):
            if place % CONNECTIONS_PER_POOL == 0:
                client = httpx.AsyncClient(
                    headers=key, limits=limits, timeout=settings.timeout_s, verify=trusted
                )
            slots.put_nowait(client)
        return slots

    async def _ask_and_keep(
        self, line: _Line, digest: str, body: dict[str, object], read: Callable[[str], object]
    ) -> Grade:
        for _ in range(self._settings.readings):
            grade = await self._reply(line, body)
            if read(grade.text) is not None:
                await asyncio.to_thread(self._grades.keep, digest, grade)
                return grade
        raise GradeUnavailable(f"{self.name} gave {self._settings.readings} replies that cannot be read")

    async def _reply(self, line: _Line, body: dict[str, object]) -> Grade:
        """One reply, after as many attempts as it takes and are allowed.

        The slot is kept while we wait for the next attempt: an endpoint in trouble is asked less.
        """
        client = await line.slots.get()
        try:
            return await self._persistently(line, client, body)
        finally:
            line.slots.put_nowait(client)

    async def _persistently(self, line: _Line, client: httpx.AsyncClient, body: dict[str, object]) -> Grade:
        why = ""
        for attempt in range(self._settings.attempts):
            await self._until_open(line)
            if self._hopeless is not None:  # asked here: much may be learnt while waiting for a slot
                raise GradeUnavailable(self._hopeless)
            try:
                grade = await self._attempt(client, body)
            except _Lost as lost:
                self._counts.lost += 1
                why = str(lost)
                if attempt + 1 < self._settings.attempts:
                    await self._wait(line, attempt, lost.wait_s)
                continue
            self._unanswered = 0
            return grade
        failure = f"{self.name} brought no reply in {self._settings.attempts} attempts: {why}"
        self._unanswered += 1
        if self._unanswered >= GIVE_UP_AFTER:
            self._hopeless = failure
        raise GradeUnavailable(failure)

    async def _until_open(self, line: _Line) -> None:
        while (left_s := line.closed_until_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    async def _wait(self, line: _Line, attempt: int, asked_s: float | None) -> None:
        """As long as the endpoint asks, for everybody; else longer each time, and never all at once."""
        if asked_s is not None:
            line.closed_until_s = max(line.closed_until_s, time.monotonic() + asked_s)
        longest_s = min(self._settings.longest_backoff_s, self._settings.backoff_s * 2.0**attempt)
        await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))

    async def _attempt(self, client: httpx.AsyncClient, body: dict[str, object]) -> Grade:
        """The reply to one request.

        Raises:
            _Lost: another attempt may bring one.
            GradeUnavailable: no other will.
        """
        self._counts.requests += 1
        try:
            status, headers, content = await self._within(self._post(client, body))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _Lost(f"{type(error).__name__} {error}".strip()[:SAID_CHARACTERS]) from None
        if status == httpx.codes.OK:
            return self._grade_in(content)
        raise self._refusal(status, headers, content)

    async def _within(
        self, reply: Awaitable[tuple[int, httpx.Headers, bytes]]
    ) -> tuple[int, httpx.Headers, bytes]:
        """The reply, unless it takes too long as a whole: a trickle of bytes is a hang too."""
        async with asyncio.timeout(self._settings.timeout_s):
            return await reply

    async def _post(self, client: httpx.AsyncClient, body: dict[str, object]) -> _Response:
        url = f"{self._settings.base_url}/chat/completions"
        async with client.stream("POST", url, json=body) as response:
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > REPLY_CAP_BYTES:
                    raise _Lost(f"a reply of more than {REPLY_CAP_BYTES} bytes")
            return response.status_code, response.headers, content

    def _grade_in(self, content: bytes) -> Grade:
        try:
            reply = json.loads(content)
            text = reply["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            self._counts.untold += 1  # it was answered and may be charged, but does not say for what
            raise _Lost("a reply that is no chat completion") from None
        tokens = _tokens_in(reply.get("usage"))
        if tokens is None:
            self._counts.untold += 1
        else:
            self._counts.prompt += tokens.prompt
            self._counts.completion += tokens.completion
            self._counts.cached += tokens.cached
        model = reply.get("model")
        # A refusal may come without content; then there is nothing to read.
        text = text if isinstance(text, str) else ""
        return Grade(text, model if isinstance(model, str) else self._settings.model, tokens)

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes) -> Exception:
        said = f"status {status}: {_said_in(content)}"
        if status in HOPELESS or NO_CREDIT in said:
            self._hopeless = f"{self.name} refuses, {said}"
            return GradeUnavailable(self._hopeless)
        if status in WORTH_A_RETRY or status >= 500:
            return _Lost(said, _asked_wait_s(headers))
        return GradeUnavailable(f"{self.name} refuses this question, {said}")


def _tokens_in(usage: object) -> Tokens | None:
    """What a reply says that it took, or None when it does not say."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Tokens(prompt, completion, min(cached, prompt) if isinstance(cached, int) else 0)


def _said_in(content: bytes) -> str:
    """What an error reply says, in one short line."""
    text = content[:100_000].decode(errors="replace")
    try:
        error = json.loads(text)["error"]
        text = f"{error.get('message', '')} {error.get('code') or error.get('type') or ''}"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    line = " ".join(text.split())
    return line[:SAID_CHARACTERS] or "nothing said"


def _asked_wait_s(headers: httpx.Headers) -> float | None:
    """How long the endpoint asks us to wait, or None; seconds or a date, as HTTP allows."""
    told = headers.get("retry-after")
    if told is None:
        return None
    try:
        wait_s = float(told)
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(told).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if math.isfinite(wait_s) else None
