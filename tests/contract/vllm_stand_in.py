"""A program that behaves as `vllm serve` does where our engine can tell: options, HTTP, real completions.

It decodes with our own transformers engine, leaves helper processes in sessions of their own as vLLM's engine
cores are, and refuses any option that vLLM does not have. STAND_IN=fails and STAND_IN=hangs make it do so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PARSERS = {"hermes": ("hermes",), "llama3_json": ("llama",), "pythonic": ("python",)}


def main() -> None:
    told = options(sys.argv[1:])
    helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print("told", json.dumps(sys.argv[1:]), "helper", helper.pid, flush=True)
    if os.environ.get("STAND_IN") == "fails":
        print("(EngineCore pid=7) ERROR 01-02 03:04:05 [core.py:1] ValueError: no room for the cache")
        print("ERROR 01-02 03:04:06 [api.py:1] RuntimeError: Engine core initialization failed")
        sys.exit(1)
    if os.environ.get("STAND_IN") == "hangs":
        time.sleep(600)
    print("INFO loading", flush=True)
    server = ThreadingHTTPServer((told.host, told.port), handler(told))
    server.serve_forever()


def options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    serve = parser.add_subparsers(required=True).add_parser("serve", allow_abbrev=False)
    serve.add_argument("model", type=Path)
    serve.add_argument("--host", required=True)
    serve.add_argument("--port", type=int, required=True)
    serve.add_argument("--served-model-name", required=True)
    serve.add_argument("--chat-template", type=Path)
    serve.add_argument("--chat-template-content-format", choices=["auto", "string", "openai"])
    serve.add_argument("--enable-auto-tool-choice", action="store_true")
    serve.add_argument("--tool-call-parser", choices=PARSERS)
    serve.add_argument("--generation-config", default="auto")
    serve.add_argument("--max-model-len", type=int)
    serve.add_argument("--max-num-seqs", type=int)
    serve.add_argument("--gpu-memory-utilization", type=float)
    serve.add_argument("--dtype", choices=["auto", "float32", "float16", "bfloat16"])
    serve.add_argument("--enforce-eager", action="store_true")
    serve.add_argument("--uvicorn-log-level", choices=["debug", "info", "warning", "error"])
    return parser.parse_args(words)


def handler(told: argparse.Namespace) -> type[BaseHTTPRequestHandler]:
    key = os.environ["VLLM_API_KEY"]
    one_at_a_time = threading.Lock()

    @cache
    def model() -> Any:
        """Loaded when first asked: most tests ask nothing."""
        from posttrainbench.engines.loaded_model import LoadedModel

        return LoadedModel(told.model, told.chat_template.read_text())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.answer(200 if self.path == "/health" else 404, {})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("Authorization") != f"Bearer {key}":
                return self.answer(401, {"error": {"message": "Unauthorized"}})
            if asked["model"] != told.served_model_name:
                return self.answer(404, {"error": {"message": "no such model"}})
            return self.answer(*completion(asked))

        def answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def completion(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        from posttrainbench.engines.decoding import Prompt
        from posttrainbench.engines.sampling import Sampling
        from posttrainbench.engines.tool_calls import taken_apart

        for turn in asked["messages"]:
            for call in turn.get("tool_calls", ()):
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        offered = asked.get("tools", []) if asked.get("tool_choice") != "none" else []
        with one_at_a_time:  # a tokenizer is no thing for several threads
            loaded = model()
            text = loaded.tokenizer.apply_chat_template(
                asked["messages"], tools=offered or None, chat_template=loaded.chat_template,
                add_generation_prompt=True, tokenize=False,
            )  # fmt: skip
            special = asked.get("add_special_tokens", False)
            tokens = tuple(loaded.tokenizer(text, add_special_tokens=special)["input_ids"])
        context = told.max_model_len
        if len(tokens) + asked["max_tokens"] > context:
            said = (
                f"This model's maximum context length is {context} tokens. However, you requested "
                f"{asked['max_tokens']} output tokens and your prompt contains {len(tokens)} input tokens."
            )
            return 400, {"error": {"message": said}}
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        sampling = replace(Sampling(temperature=1.0), **{n: asked[n] for n in names if n in asked})
        stop = tuple(asked.get("stop", ()))
        prompt = Prompt(tokens, asked["max_tokens"], sampling, stop, asked.get("seed") or 0)
        done = loaded.decoder.submit(prompt).result()
        spoken = taken_apart(done.text, PARSERS[told.tool_call_parser] if offered else ())
        calls = [
            {"id": f"chatcmpl-tool-{n}", "type": "function",
             "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for n, call in enumerate(spoken.calls)
        ]  # fmt: skip
        message = {"role": "assistant", "content": spoken.text, "tool_calls": calls}
        reason = "length" if done.cut else "tool_calls" if calls else "stop"
        usage = {"prompt_tokens": len(tokens), "completion_tokens": done.n_tokens}
        return 200, {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}

    return Handler


if __name__ == "__main__":
    main()
