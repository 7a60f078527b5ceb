"""A provider on 127.0.0.1 that speaks four dialects, streamed or whole, and says what its script says."""

from __future__ import annotations

import http.server
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

REAL_KEY = "sk-real-0123456789-do-not-leak"
SHELL_TOOLS = ("Bash", "bash", "exec_command", "shell_command", "run_shell_command", "shell")
INPUT, CACHED, WRITTEN, OUTPUT, REASONED = 1000, 10, 5, 50, 20  # tokens of every call


@dataclass(frozen=True)
class Say:
    """An answer that ends the turn."""

    text: str


@dataclass(frozen=True)
class Run:
    """An answer that asks for a shell command."""

    command: str


@dataclass(frozen=True)
class Use:
    """An answer that asks for a tool by its name."""

    tool: str
    arguments: dict[str, Any]


Act = Say | Run | Use


@dataclass
class Asked:
    """One request as the provider saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    results: int  # tool results within the conversation so far

    @property
    def tools(self) -> list[str]:
        found = []
        for tool in self.body.get("tools") or []:
            named = [tool, *(tool.get("functionDeclarations") or []), tool.get("function") or {}]
            found += [each["name"] for each in named if "name" in each]
        return found


@dataclass
class ScriptedLlm:
    """The server. `faults` come first: a status, "drop" (hang up), "cut" (hang up in the middle)."""

    port: int
    script: Callable[[Asked], Act]
    seen: list[Asked] = field(default_factory=list)
    faults: list[int | str] = field(default_factory=list)
    pause_s: float = 0.0  # between the parts of a stream
    parts: int = 1  # into which a text is cut
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def say_hello(_: Asked) -> Say:
    return Say("hello")


@contextmanager
def scripted_llm(script: Callable[[Asked], Act] = say_hello) -> Iterator[ScriptedLlm]:
    """A server that runs until the block ends."""

    class Handler(_Handler):
        llm: ScriptedLlm

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.llm = ScriptedLlm(server.server_address[1], script)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield Handler.llm
    finally:
        server.shutdown()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    llm: ScriptedLlm

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        self.llm.seen.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, {}, 0))
        self.send(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.path, headers, body, _count_results(body))
        self.llm.seen.append(asked)
        fault = self.llm.faults.pop(0) if self.llm.faults else None
        if isinstance(fault, int):
            self.send(fault, {"error": {"message": f"scripted {fault}; key {REAL_KEY}", "type": "scripted"}})
        elif fault == "drop":
            self.close_connection = True
        elif self.path.endswith("count_tokens") or "countTokens" in self.path:
            self.send(200, {"input_tokens": INPUT, "totalTokens": INPUT})
        else:
            self.answer(asked, cut=fault == "cut")

    def answer(self, asked: Asked, cut: bool) -> None:
        act = self.llm.script(asked)
        path = self.path.partition("?")[0]
        make = next(make for end, make in _DIALECTS.items() if path.endswith(end))
        whole, stream = make(asked, act, self.llm)
        if not (asked.body.get("stream") or "stream" in path):
            self.send(200, whole)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, (event, data) in enumerate(stream):
            if cut and number == len(stream) - 1:
                self.close_connection = True
                return
            text = data if isinstance(data, str) else json.dumps(data)
            part = f"{f'event: {event}' + chr(10) if event else ''}data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()
            time.sleep(self.llm.pause_s)
        self.wfile.write(b"0\r\n\r\n")

    def send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("set-cookie", "session=secret")
        self.end_headers()
        self.wfile.write(body)


Stream = list[tuple[str | None, Any]]


def _count_results(body: dict[str, Any]) -> int:
    text = json.dumps([body.get(name) for name in ("messages", "input", "contents")])
    marks = ('"type": "tool_result"', 'call_output"', '"role": "tool"', '"functionResponse"')
    return sum(text.count(mark) for mark in marks)


def _tool(asked: Asked, act: Run | Use) -> str:
    return act.tool if isinstance(act, Use) else _shell(asked)


def _shell(asked: Asked) -> str:
    return next((name for name in asked.tools if name in SHELL_TOOLS), "bash")


def _arguments(asked: Asked, act: Run | Use) -> dict[str, Any]:
    if isinstance(act, Use):
        return act.arguments
    named = {"exec_command": "cmd"}.get(_shell(asked), "command")
    return {named: act.command, "description": "as the script says"}


def _pieces(text: str, parts: int) -> list[str]:
    size = -(-len(text) // parts)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _anthropic(asked: Asked, act: Act, llm: ScriptedLlm) -> tuple[Any, Stream]:
    number = next(llm.numbers)
    usage = {
        "input_tokens": INPUT,
        "output_tokens": 1,
        "cache_creation_input_tokens": WRITTEN,
        "cache_read_input_tokens": CACHED,
    }
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": asked.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    if isinstance(act, Run | Use):
        block = {
            "type": "tool_use",
            "id": f"toolu_{number}",
            "name": _tool(asked, act),
            "input": _arguments(asked, act),
        }
        start = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        stop = "tool_use"
    else:
        block, start, stop = {"type": "text", "text": act.text}, {"type": "text", "text": ""}, "end_turn"
        deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(act.text, llm.parts)]
    ending = {"stop_reason": stop, "stop_sequence": None}
    whole = {**message, "content": [block], **ending, "usage": {**usage, "output_tokens": OUTPUT}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": start},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": OUTPUT}},
        {"type": "message_stop"},
    ]
    return whole, [(event["type"], event) for event in events]


def _responses(asked: Asked, act: Act, llm: ScriptedLlm) -> tuple[Any, Stream]:
    number = next(llm.numbers)
    item: dict[str, Any]
    if isinstance(act, Run | Use):
        told = json.dumps(_arguments(asked, act))
        item = {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": _tool(asked, act),
        }
        item |= {"arguments": told, "status": "completed"}
    else:
        content = [{"type": "output_text", "text": act.text, "annotations": []}]
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed"}
        item |= {"content": content}
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": REASONED},
        "total_tokens": INPUT + OUTPUT,
    }
    begun = {"id": f"resp_{number}", "object": "response", "created_at": 0, "model": asked.body.get("model")}
    begun |= {"status": "in_progress", "output": [], "usage": None, "error": None}
    whole = {**begun, "status": "completed", "output": [item], "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return whole, [(event["type"], event) for event in events]


def _chat(asked: Asked, act: Act, llm: ScriptedLlm) -> tuple[Any, Stream]:
    number = next(llm.numbers)
    usage = {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "completion_tokens_details": {"reasoning_tokens": REASONED},
    }
    message: dict[str, Any] = {"role": "assistant"}
    if isinstance(act, Run | Use):
        function = {"name": _tool(asked, act), "arguments": json.dumps(_arguments(asked, act))}
        call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
    else:
        message |= {"content": act.text}
    reason = "tool_calls" if isinstance(act, Run | Use) else "stop"
    head = {"id": f"chatcmpl-{number}", "created": 0, "model": asked.body["model"]}
    whole = {**head, "object": "chat.completion", "usage": usage}
    whole |= {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    chunk = {**head, "object": "chat.completion.chunk"}
    chunks: list[Any] = [
        {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
    ]
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunk, "choices": [], "usage": usage})
    return whole, [(None, each) for each in [*chunks, "[DONE]"]]


def _gemini(asked: Asked, act: Act, llm: ScriptedLlm) -> tuple[Any, Stream]:
    next(llm.numbers)
    part: dict[str, Any] = {"text": act.text} if isinstance(act, Say) else {}
    if isinstance(act, Run | Use):
        part = {"functionCall": {"name": _tool(asked, act), "args": _arguments(asked, act)}}
    usage = {
        "promptTokenCount": INPUT,
        "candidatesTokenCount": OUTPUT - REASONED,
        "thoughtsTokenCount": REASONED,
        "cachedContentTokenCount": CACHED,
        "totalTokenCount": INPUT + OUTPUT,
    }
    content = {"role": "model", "parts": [part]}
    whole = {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": asked.path.partition("/models/")[2].partition(":")[0],
    }
    first = {"candidates": [{"content": {"role": "model", "parts": []}, "index": 0}]}
    return whole, [(None, first), (None, whole)]


_DIALECTS: dict[str, Callable[[Asked, Act, ScriptedLlm], tuple[Any, Stream]]] = {
    "/messages": _anthropic,
    "/responses": _responses,
    "/chat/completions": _chat,
    ":generateContent": _gemini,
    ":streamGenerateContent": _gemini,
}


if __name__ == "__main__":  # a provider to try a CLI on, or to measure with, in a process of its own
    with scripted_llm(lambda _: Say("word " * 100)) as running:
        running.parts, running.pause_s = 20, float(sys.argv[1])
        print(running.port, flush=True)
        sys.stdin.read()
