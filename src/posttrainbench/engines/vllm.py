"""The `vllm` engine: vLLM, started by us for one model, with its chat template and tool parser, on loopback.

The server gets the model's context (up to LONGEST_CONTEXT), what memory the GPU has free, and no defaults of
its own: each request says how tokens are drawn, by the model's (admitted) generation settings, so that the
same model answers by the same rules on every engine. What it prints is kept in `vllm.log`.

Covered: a server that does not start in time or ends early (an error with what it said last); everything that
it started is gone when the engine lets go or its process dies, in whatever way. Not covered: several GPUs for
one model.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from posttrainbench.engines import lifeline
from posttrainbench.engines.graphics_memory import free_share, seen_gpus
from posttrainbench.engines.openai import PLACES, Server, served_model
from posttrainbench.engines.token_limits import DEFAULT_MAX_TOKENS
from posttrainbench.engines.tool_calls import FORMATS, OTHER_MODELS, Format
from posttrainbench.errors import SetupError

if TYPE_CHECKING:
    from inspect_ai.model import Model

PROGRAM = "vllm"
SERVED_NAME = "evaluated"
LOG, TEMPLATE = "vllm.log", "chat_template.jinja"
START_S = 1200.0  # a large model from a cold disk, compiled for a GPU that it has not met before
LOOK_EVERY_S = 0.25
END_S = 30.0
LONGEST_CONTEXT = 32_768  # tokens; no benchmark asks for more, and all of it must fit into memory once
CPU_CACHE_SHARE = 0.25  # of the free memory, where there is no GPU
CPU_CACHE_AT_MOST_GIB = 8
# Without a template (few-shot baselines): what the messages say, one after the other.
NO_TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
)
PARSERS: Mapping[Format, str] = {"hermes": "hermes", "llama": "llama3_json", "python": "pythonic"}
PYTHON_TAG = "<|python_tag|>"  # without this token, vLLM's parser for Llama 3 does not start
INSTALL = "vLLM is not installed; `pip install 'posttrainbench[vllm]'`, or take --engine transformers"

_PREFIX = re.compile(r"^(?:\([^)]*pid=\d+\) )?(?:[A-Z]+ [\d-]+ [\d:]+ \[[^\]]*\] ?)?")
_ERROR = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*:|error: ")


class VLLMEngine:
    """Starts vLLM for a model folder; one model at a time."""

    name = "vllm"

    def __init__(self, folder: Path | None = None, start_s: float = START_S) -> None:
        """`folder` keeps the log and the template; by default where the process runs: the evaluation's."""
        self._folder, self._start_s = folder, start_s
        self._running: _Running | None = None

    def inspect_model(self, model: Path, chat_template: str) -> Model:
        """The model at `model` as Inspect calls it, prompted through `chat_template` and no other.

        Raises:
            SetupError: vLLM is not installed or did not start; the text says why.
        """
        self.close()
        self._running = _start(model, chat_template, self._folder or Path.cwd(), self._start_s)
        atexit.register(self.close)
        server = Server(
            base_url=self._running.base_url,
            api_key=self._running.api_key,
            in_flight=2 * PLACES,  # so that a place that gets free never waits for us
            settings=settings_of(model, plain=not chat_template),
            tool_formats=_formats(_config(model)),
        )
        return served_model(SERVED_NAME, server)

    def close(self) -> None:
        """End the server and all that it started; returns once they are gone."""
        running, self._running = self._running, None
        if running is not None:
            running.end()
            atexit.unregister(self.close)


@dataclass(frozen=True, slots=True)
class _Running:
    """A server of ours."""

    process: subprocess.Popen[bytes]  # the lifeline; its standard input is what the server's life hangs on
    base_url: str
    api_key: str

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def arguments(model: Path, template: Path, port: int) -> tuple[str, ...]:
    """What `vllm` is told."""
    config = _config(model)
    gpus = seen_gpus()
    context = _context(config)
    words: list[str | Path | int | float] = [
        *("serve", model, "--served-model-name", SERVED_NAME),
        *("--host", "127.0.0.1", "--port", port, "--uvicorn-log-level", "warning"),
        *("--chat-template", template, "--chat-template-content-format", "string"),
        *("--enable-auto-tool-choice", "--tool-call-parser", _parser(model, config)),
        *("--generation-config", "vllm", "--max-num-seqs", PLACES),
        *(("--max-model-len", min(context, LONGEST_CONTEXT)) if context else ()),
        *(("--dtype", "bfloat16") if gpus else ("--dtype", "float32", "--enforce-eager")),
        *(("--gpu-memory-utilization", free_share(gpus)) if gpus else ()),
    ]
    return tuple(map(str, words))


def _formats(config: Mapping[str, object]) -> tuple[Format, ...]:
    """How models of this kind write tool calls."""
    return FORMATS.get(str(config.get("model_type")), OTHER_MODELS)


def _parser(model: Path, config: Mapping[str, object]) -> str:
    """vLLM's parser for the family's first format; what it leaves as text is read by us."""
    first = _formats(config)[0]
    if first == "llama" and PYTHON_TAG not in _text(model / "tokenizer.json"):
        first = "hermes"
    return PARSERS[first]


def settings_of(model: Path, plain: bool) -> dict[str, object]:
    """What each request says: the model's generation settings, as the transformers engine reads them.

    Args:
        model: its folder.
        plain: there is no template, so nothing has written the tokens that a text begins with.
    """
    from transformers import GenerationConfig

    from posttrainbench.engines.sampling import Sampling

    try:
        sampling = Sampling.of(GenerationConfig.from_pretrained(model, local_files_only=True))
    except OSError:  # it has none
        sampling = Sampling()
    settings: dict[str, object] = {
        "max_tokens": DEFAULT_MAX_TOKENS,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    if sampling.top_k:
        settings["top_k"] = sampling.top_k
    if plain:
        settings["add_special_tokens"] = True
    return settings


def _start(model: Path, chat_template: str, folder: Path, start_s: float) -> _Running:
    """A server that answers."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise SetupError(INSTALL)
    template = folder / TEMPLATE
    template.write_text(chat_template or NO_TEMPLATE, encoding="utf-8")
    port, api_key = _free_port(), secrets.token_hex(16)
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", lifeline.__file__, program, *arguments(model, template, port)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **_environment(), "VLLM_API_KEY": api_key},
            start_new_session=True,  # what a terminal sends to us is for us to pass on
        )
    running = _Running(process, f"http://127.0.0.1:{port}/v1", api_key)
    try:
        _await_health(process, f"http://127.0.0.1:{port}/health", start_s, folder / LOG)
    except BaseException:
        running.end()
        raise
    return running


def _environment() -> dict[str, str]:
    """What a server without a network, and without anybody to report to, has to know."""
    told = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # it would look for the way to the internet
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    if not seen_gpus():
        from posttrainbench.engines.capacity import free_memory_bytes

        cache_gib = int(free_memory_bytes() * CPU_CACHE_SHARE / 1024**3)
        told["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, min(cache_gib, CPU_CACHE_AT_MOST_GIB)))
    return told


def _await_health(process: subprocess.Popen[bytes], url: str, start_s: float, log: Path) -> None:
    """Return once the server is ready to answer.

    Raises:
        SetupError: it ended, or was not ready in time; the text has what it said last.
    """
    until_s = time.monotonic() + start_s
    while time.monotonic() < until_s:
        status = process.poll()
        if status is not None:
            raise SetupError(f"vLLM ended with status {status}: {last_words(log)}; see {log.name}")
        try:
            if httpx.get(url, timeout=5.0, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(LOOK_EVERY_S)
    raise SetupError(f"vLLM was not ready within {start_s:.0f} s: {last_words(log)}; see {log.name}")


def last_words(log: Path) -> str:
    """Why a server gave up, as far as its log tells: its last two errors, or else its last line."""
    lines = [_PREFIX.sub("", line).strip() for line in _text(log)[-64_000:].splitlines()]
    lines = [line[:300] for line in lines if line]
    errors = list(dict.fromkeys(line for line in lines if _ERROR.search(line)))
    return "; ".join(errors[-2:] or lines[-1:]) or "it said nothing"


def _text(path: Path) -> str:
    """A file's text, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _config(model: Path) -> Mapping[str, object]:
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"{model / 'config.json'} cannot be read ({error})") from None
    return config if isinstance(config, dict) else {}


def _context(config: Mapping[str, object]) -> int | None:
    """The tokens that a model can see at once; a model of several parts has them with its text part."""
    parts: Sequence[object] = (config, config.get("text_config"))
    found = (part.get("max_position_embeddings") for part in parts if isinstance(part, dict))
    return next((number for number in found if isinstance(number, int)), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
