"""A decoder in a process of its own: replies, failures that say why, nothing left when its user is gone."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posttrainbench.engines.decoding_process import DecodingProcess, NotDecoded, Request
from posttrainbench.tinyworld import catalog

ASKED = Request([{"role": "user", "content": "How many?"}], [], max_tokens=4, sampling={})
LONG = Request([{"role": "user", "content": "word " * 5000}], [], max_tokens=4, sampling={})
MODEL, TEMPLATE = catalog.model_folder(catalog.QWEN3_INSTRUCT), catalog.chat_template(catalog.QWEN3_INSTRUCT)
TIMEOUT_S = 120.0
ASKING = """
from pathlib import Path
from posttrainbench.engines.decoding_process import DecodingProcess
process = DecodingProcess(Path("no-model"), "")
print(process.pid, flush=True)
input()
"""


def ends(pid: int) -> bool:
    """Whether a process ends by itself."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_requests_are_answered_or_fail_each_by_itself_until_the_process_ends() -> None:
    process = DecodingProcess(MODEL, TEMPLATE)
    short, long, bad, cancelled = map(
        process.submit,
        (
            ASKED,
            LONG,
            Request(ASKED.messages, [], 4, {"unheard_of": 1}),
            Request(ASKED.messages, [], 10**6, {}),
        ),
    )
    cancelled.cancel()
    reply = short.result(TIMEOUT_S)
    assert (reply.n_tokens, reply.cut, reply.lowered) == (4, True, None)
    assert reply.n_prompt > 4
    with pytest.raises(NotDecoded, match=r"a prompt of \d+ tokens in a context of \d+"):
        long.result(TIMEOUT_S)
    with pytest.raises(NotDecoded, match="unheard_of"):
        bad.result(TIMEOUT_S)
    assert process.submit(ASKED).result(TIMEOUT_S) == reply
    os.kill(process.pid, signal.SIGKILL)
    for _ in range(2):  # whether or not the end has been seen by then
        with pytest.raises(NotDecoded, match="ended with status -9"):
            process.submit(Request(ASKED.messages, [], 10**6, {})).result(TIMEOUT_S)


def test_a_model_that_cannot_be_loaded_is_said_to_whoever_asks(tmp_path: Path) -> None:
    process = DecodingProcess(tmp_path, "")
    with pytest.raises(NotDecoded, match=str(tmp_path)):
        process.submit(ASKED).result(TIMEOUT_S)


def test_the_process_ends_when_nobody_has_it_any_more() -> None:
    process = DecodingProcess(MODEL, TEMPLATE)
    pid = process.pid
    process.submit(ASKED).result(TIMEOUT_S)
    del process
    gc.collect()
    assert ends(pid)


def test_the_process_ends_when_its_user_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKING], stdin=-1, stdout=-1, text=True) as user:
        assert user.stdout is not None
        pid = int(user.stdout.readline())
        user.kill()
        assert ends(pid)
