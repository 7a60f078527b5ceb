"""An LLM behind any OpenAI-compatible endpoint: many questions in flight, each asked patiently.

Covered: rate limits (all requests wait as long as the endpoint asks), overload and server errors, hangs,
connections that break, replies that are cut off. Each is tried again a bounded number of times, and ends in
`LlmUnavailable`. A refusal that no waiting mends (a wrong key, no such model, no credit left) ends every
further question at once, and so does an endpoint that answers nobody.

Not covered: what a reply says; a provider that charges for replies that never arrived (they are counted as
lost, not priced).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

from posttrainbench.digest import content_digest
from posttrainbench.errors import LlmUnavailable
from posttrainbench.llm import LlmSpend, Message, Reply, Tokens
from posttrainbench.llms.settings import LlmSettings

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
    closed_until_s: float = 0.0  # nobody asks before, on the monotonic clock


class _Lost(Exception):
    """An attempt that brought no reply; `wait_s` is what the endpoint asked for."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class OpenAICompatibleLlm:
    """Asks an endpoint and counts what that took."""

    def __init__(self, settings: LlmSettings) -> None:
        self.model = settings.model
        self.host = httpx.URL(settings.base_url).host
        self.name = f"{self.model} at {self.host}"
        self._settings = settings
        self._counts = _Counts()
        self._line: _Line | None = None
        self._hopeless: str | None = None  # why no further question is worth asking
        self._unanswered = 0

    def digest(self, messages: Sequence[Message]) -> str:
        """64 hex digits over all that the reply to `messages` depends on."""
        return content_digest({"endpoint": self._settings.base_url, "body": self._body(messages)})

    async def reply(self, messages: Sequence[Message]) -> Reply:
        """One reply, after as many attempts as it takes and are allowed.

        The slot is kept while we wait for the next attempt: an endpoint in trouble is asked less.

        Raises:
            LlmUnavailable: there is none; the text says why.
        """
        line = self._line_here()
        client = await line.slots.get()
        try:
            return await self._persistently(line, client, self._body(messages))
        finally:
            line.slots.put_nowait(client)

    def spend(self) -> LlmSpend:
        """What all replies until now took."""
        counts = self._counts
        tokens = None if counts.untold else Tokens(counts.prompt, counts.completion, counts.cached)
        price = self._settings.price
        cost_usd = price.cost_usd(tokens) if price is not None and tokens is not None else None
        return LlmSpend(counts.requests, counts.lost, tokens, cost_usd)

    def _body(self, messages: Sequence[Message]) -> dict[str, object]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return {"model": self._settings.model, "messages": turns, **self._settings.request}

    def _line_here(self) -> _Line:
        """The connections of the running event loop; another loop than last time gets its own."""
        loop = asyncio.get_running_loop()
        line = self._line
        if line is None or line.loop is not loop:  # another thread may change ours while we look
            line = self._line = _Line(loop, self._slots())
        return line

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

    async def _persistently(self, line: _Line, client: httpx.AsyncClient, body: dict[str, object]) -> Reply:
        why = ""
        for attempt in range(self._settings.attempts):
            await self._until_open(line)
            if self._hopeless is not None:  # asked here: much may be learnt while waiting for a slot
                raise LlmUnavailable(self._hopeless)
            try:
                reply = await self._attempt(client, body)
            except _Lost as lost:
                self._counts.lost += 1
                why = str(lost)
                if attempt + 1 < self._settings.attempts:
                    await self._wait(line, attempt, lost.wait_s)
                continue
            self._unanswered = 0
            return reply
        failure = f"{self.name} brought no reply in {self._settings.attempts} attempts: {why}"
        self._unanswered += 1
        if self._unanswered >= GIVE_UP_AFTER:
            self._hopeless = failure
        raise LlmUnavailable(failure)

    async def _until_open(self, line: _Line) -> None:
        while (left_s := line.closed_until_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    async def _wait(self, line: _Line, attempt: int, asked_s: float | None) -> None:
        """As long as the endpoint asks, for everybody; else longer each time, and never all at once."""
        if asked_s is not None:
            line.closed_until_s = max(line.closed_until_s, time.monotonic() + asked_s)
        longest_s = min(self._settings.longest_backoff_s, self._settings.backoff_s * 2.0**attempt)
        await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))

    async def _attempt(self, client: httpx.AsyncClient, body: dict[str, object]) -> Reply:
        """The reply to one request.

        Raises:
            _Lost: another attempt may bring one.
            LlmUnavailable: no other will.
        """
        self._counts.requests += 1
        try:
            status, headers, content = await self._within(self._post(client, body))
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _Lost(f"{type(error).__name__} {error}".strip()[:SAID_CHARACTERS]) from None
        if status == httpx.codes.OK:
            return self._reply_in(content)
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

    def _reply_in(self, content: bytes) -> Reply:
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
        return Reply(text, model if isinstance(model, str) else self._settings.model, tokens)

    def _refusal(self, status: int, headers: httpx.Headers, content: bytes) -> Exception:
        said = f"status {status}: {_said_in(content)}"
        if status in HOPELESS or NO_CREDIT in said:
            self._hopeless = f"{self.name} refuses, {said}"
            return LlmUnavailable(self._hopeless)
        if status in WORTH_A_RETRY or status >= 500:
            return _Lost(said, _asked_wait_s(headers))
        return LlmUnavailable(f"{self.name} refuses this question, {said}")


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
