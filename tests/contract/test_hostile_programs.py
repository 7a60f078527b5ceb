"""Programs written to pass without solving anything, or to hurt whoever runs them: in real sandboxes.

The function and its tests are invented. Each hostile program is a way to pass, or to do harm, where the
answer shares a process with the tests that judge it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox_rooms import Room

from posttrainbench.benchmarks.trials import Trial, TrialEnd, try_answer
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.sandboxes.bubblewrap import Bubblewrap

PROMPT = '''\
from typing import List


def double(values: List[int]) -> List[int]:
    return [2 * value for value in values]


def largest(values: List[int]) -> int:
    """The largest of the doubled values."""
'''
TESTS = """
def check(candidate):
    assert candidate([1, 2, 3]) == 6
    assert candidate(double([5, 4])) == 20
    assert candidate([-7]) == -14, "negative"
    assert not candidate([0])
    assert abs(candidate([10]) - 20) < 1e-6
"""
PATIENCE_S = 20.0


def tried(sandbox: object, body: str, timeout_s: float = PATIENCE_S) -> TrialEnd:
    """How a body of the function, with whatever follows it, does."""
    return try_answer(sandbox, Trial(f"{PROMPT}{body}\n", PROMPT, TESTS, "largest"), timeout_s)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        "    return max(double(values))",
        "    import math\n    return math.floor(2.0 * max(values))",
        "    print('a' * 1000)\n    return max(double(values))",
        "    return best(values)\n\n\ndef best(values):\n    return 2 * sorted(values)[-1]",
        "    return max(double(values))\n\n\nif __name__ == '__main__':\n    import sys\n    sys.exit(1)",
        "    from fractions import Fraction\n    return Fraction(2 * max(values))",
        "    while len(values) > 1:\n        values.remove(min(values))\n    return 2 * values.pop()",
    ],
)
def test_a_right_answer_passes(bwrap: Room, body: str) -> None:
    assert tried(bwrap.sandbox, body) == TrialEnd(True, "passed")


WRONG = {
    "nothing": "    pass",
    "no Python": "    return max(",
    "nearly": "    return max(values)",
    "another name": "    return 0\n\n\ndel largest",
}
ENDINGS = {
    "exit on import": "    return 0\n\n\nimport sys\nsys.exit(0)",
    "exit when called": "    raise SystemExit(0)",
    "exit at once": "    import os\n    os._exit(0)",
    "quit": "    quit()",
    "interrupt": "    raise KeyboardInterrupt",
    "kill itself": "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)",
    "kill its parent": "    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)",
    "interrupt its parent": "    import os, signal\n    os.kill(os.getppid(), signal.SIGINT)\n    return 0",
    "kill everybody": "    import os, signal\n    os.kill(-1, signal.SIGKILL)",
    "crash": "    import ctypes\n    ctypes.string_at(0)",
    "exit handler": "    return 0\n\n\nimport atexit, os\natexit.register(os._exit, 0)",
    "replace itself": "    import os\n    os.execv('/bin/true', ['true'])",
}
EQUALITIES = {
    "equal to all": """
    class Any:
        __eq__ = __ne__ = __lt__ = lambda self, other: True
        __sub__ = __abs__ = lambda self, *other: self
        __bool__ = lambda self: False
        __hash__ = object.__hash__
    return Any()""",
    "a number equal to all": """
    class Any(int):
        __eq__ = __lt__ = lambda self, other: True
        __sub__ = __rsub__ = __abs__ = lambda self, *other: self
        __hash__ = int.__hash__
    return Any(0)""",
    "not a number": "    return float('nan')",
    "a list equal to all": """
    class Any(list):
        __eq__ = lambda self, other: True
    return Any()""",
    "a class": "    return type",
    "the candidate": "    return largest",
    "a value that lies about its class": """
    class Any:
        __class__ = int
        __eq__ = __lt__ = lambda self, other: True
        as_integer_ratio = lambda self: (0, 1)
        __index__ = __int__ = __float__ = lambda self: 0
    return Any()""",
    "a fraction of nothing": """
    class Any:
        as_integer_ratio = lambda self: (1, 0)
        __float__ = lambda self: 1.0
    return Any()""",
}
PATCHES = {
    "builtins": """    return 0


import builtins
builtins.abs = builtins.AssertionError = builtins.Exception = lambda *_: 0
builtins.__build_class__ = builtins.compile = builtins.exec = builtins.isinstance = lambda *_: True""",
    "json": """    return 0


import json
json.dumps = lambda *_, **__: '{"value": 6}'
json.loads = lambda *_, **__: 6""",
    "asserts skipped by a trace": """
    import sys
    def skip(frame, event, argument):
        if event == "line" and frame.f_code.co_name == "check":
            frame.f_lineno = max(line for _, _, line in frame.f_code.co_lines())
        return skip
    sys.settrace(skip)
    frame = sys._getframe().f_back
    while frame is not None:
        frame.f_trace = skip
        frame = frame.f_back
    return 20 if len(values) == 1 else 6""",
    "the tests in main": """    return 0


import __main__, sys
for module in list(sys.modules.values()):
    for name in ("check", "outcome_of", "AssertionError", "decode", "StandIn"):
        try:
            setattr(module, name, lambda *_, **__: "passed")
        except Exception:
            pass""",
    "the callers on the stack": """
    import sys, gc
    frame = sys._getframe()
    while frame is not None:
        for name, value in [*frame.f_globals.items(), *frame.f_locals.items()]:
            if name == "check" or "assert" in repr(value):
                return 6
        frame.f_globals["check"] = lambda *_: None
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "check" in thing:
            thing["check"] = lambda *_: None
    return 0""",
    "environment and start files": """    return 0


import os, pathlib
os.environ.update(PYTHONOPTIMIZE="2", PYTHONSTARTUP="/tmp/x.py", LD_PRELOAD="/tmp/x.so")
for folder in ("/tmp", os.path.expanduser("~"), "/trial", "/usr/lib/python3/dist-packages"):
    try:
        pathlib.Path(folder, "sitecustomize.py").write_text("import os; os._exit(0)")
    except OSError:
        pass""",
}
FORGERIES = {
    "the word into every descriptor": """    return 0


import os
for descriptor in range(256):
    try:
        os.write(descriptor, b"passed")
        os.write(descriptor, b"passed\\n")
    except OSError:
        pass
print("passed")
os._exit(0)""",
    "the word to the host's door": """    return 0


import os, socket
for name in ("/trial/host", "/trial"):
    try:
        caller = socket.socket(socket.AF_UNIX)
        caller.connect(name)
        caller.sendall(b"passed")
        caller.close()
    except OSError:
        pass""",
    "the parent's descriptors": """    return 0


import os
for process in filter(str.isdigit, os.listdir("/proc")):
    for descriptor in range(64):
        try:
            with open(f"/proc/{process}/fd/{descriptor}", "wb", buffering=0) as file:
                file.write(b"passed")
        except OSError:
            pass""",
    "the parent's descriptors by a call": """    return 0


import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
parent = libc.syscall(434, os.getppid(), 0)  # pidfd_open
for descriptor in range(3, 64):
    mine = libc.syscall(438, parent, descriptor, 0)  # pidfd_getfd
    if mine >= 0 and os.readlink(f"/proc/self/fd/{mine}").startswith("socket:"):
        os.write(mine, b"passed")
os.kill(os.getppid(), signal.SIGKILL)""",
    "the parent's memory": """    return 0


import ctypes, os
libc = ctypes.CDLL(None)
class Stretch(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]
def move(call, ours, start):
    mine, its = Stretch(ctypes.addressof(ours), len(ours)), Stretch(start, len(ours))
    return call(os.getppid(), ctypes.byref(mine), 1, ctypes.byref(its), 1, 0)
for line in open(f"/proc/{os.getppid()}/maps"):
    start, end = (int(place, 16) for place in line.split()[0].split("-"))
    ours = (ctypes.c_char * (end - start))()
    if " rw" not in line or move(libc.process_vm_readv, ours, start) <= 0:
        continue
    found = ours.raw.find(b"a test failed")
    while found >= 0:
        move(libc.process_vm_writev, (ctypes.c_char * 7)(*b"passed\\0"), start + found)
        size = (ctypes.c_char * 8)(*(6).to_bytes(8, "little"))
        move(libc.process_vm_writev, size, start + found - 32)  # a text's length, in CPython 3.11
        found = ours.raw.find(b"a test failed", found + 1)""",
    "a tracer": """    return 0


import ctypes, os
ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)""",
    "replies beforehand": """    return 0


import gc, os
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b'{"value": null}\\n' + b'{"value": {"other": "int"}}\\n' * 20)
    except OSError:
        pass""",
    "replies that are no values": """    return 0


import os
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b'{"value": null}\\n{"value": {"code": "x"}}\\n' + b"[" * 5000 + b"\\n")
    except OSError:
        pass""",
}
FLOODS = {
    "a memory bomb": "    hoard = []\n    while True:\n        hoard.append(bytearray(1 << 26))",
    "a huge answer": "    return 'a' * (1 << 27)",
    "a deep answer": """
    answer = []
    for _ in range(100_000):
        answer = [answer]
    return answer""",
    "an endless answer": "    import itertools\n    return itertools.count()",
    "a huge number": "    return 10 ** 1_000_000",
    "huge output": """
    import sys
    for _ in range(50):
        sys.stdout.write("x" * (1 << 22)); sys.stderr.write("x" * (1 << 22))
    return 0""",
    "a full disk": """
    try:
        for number in range(1000):
            with open(f"/tmp/{number}", "wb") as file:
                file.write(b"x" * (1 << 24))
    except OSError:
        pass
    return 0""",
    "endless recursion": "    return largest(values)",
}
CHEATS = {**WRONG, **ENDINGS, **EQUALITIES, **PATCHES, **FORGERIES, **FLOODS}


# What passes wherever an answer runs together with its tests and an exit status is the verdict.
PASS_ELSEWHERE = (
    "exit on import",
    "exit when called",
    "exit at once",
    "quit",
    "exit handler",
    "replace itself",
    "equal to all",
    "a number equal to all",
    "asserts skipped by a trace",
)


@pytest.mark.parametrize("cheat", PASS_ELSEWHERE)
def test_the_cheats_are_real(bwrap: Room, cheat: str) -> None:
    program = f"{PROMPT}{CHEATS[cheat]}\n{TESTS}\ncheck(largest)\n"
    assert bwrap.run("python", "-I", "-c", program).end.exit_code == 0


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Afterwards no process is left that was not there before."""
    before = descendants()
    yield
    assert not descendants() - before


def descendants() -> set[int]:
    """Every process below this one."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        waiting = [Path(task, "children")]
        while waiting:
            try:
                children = waiting.pop().read_text().split()
            except OSError:
                continue
            found |= {int(child) for child in children}
            waiting += [Path(f"/proc/{child}/task/{child}/children") for child in children]
    return found


@pytest.mark.parametrize("cheat", CHEATS)
def test_no_cheat_passes(bwrap: Room, cheat: str, nothing_left: None) -> None:
    end = tried(bwrap.sandbox, CHEATS[cheat])
    assert not end.passed
    assert end.reason
    assert "no end within" not in end.reason


HANGS = {
    "an endless loop": "    while True:\n        pass",
    "a sleep": "    import time\n    time.sleep(1000)",
    "a loop on import": "    return 0\n\n\nwhile True:\n    pass",
    "a loop that heeds no signal": """
    import signal
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        pass""",
    "a stopped parent": "    import os, signal\n    os.kill(os.getppid(), signal.SIGSTOP)\n    return 0",
    "half a reply": """
    import os, time
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'{"value"')
        except OSError:
            pass
    time.sleep(1000)""",
    "a fork bomb": """    return 0


import os
while True:
    try:
        os.fork()
    except OSError:
        pass""",
    "threads without end": """    return 0


import threading, time
while True:
    try:
        threading.Thread(target=time.sleep, args=(1000,)).start()
    except RuntimeError:
        pass""",
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_hang_ends_at_the_limit_and_leaves_nothing_running(
    bwrap: Room, hang: str, nothing_left: None
) -> None:
    end = tried(bwrap.sandbox, HANGS[hang], timeout_s=0.7)
    assert not end.passed
    assert tried(bwrap.sandbox, "    return max(double(values))").passed, "the host is as well as before"


def test_what_one_answer_leaves_no_other_finds(bwrap: Room) -> None:
    """Files, background processes and shared memory are gone with the sandbox of their answer."""
    leave = """
    import os, subprocess
    for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"), "/trial", "/"):
        try:
            open(f"{folder}/left-behind", "w").close()
        except OSError:
            pass
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return max(double(values))"""
    assert tried(bwrap.sandbox, leave).passed
    look = """
    import os
    for folder in ("/tmp", "/dev/shm", "/var/tmp", os.path.expanduser("~"), "/trial", "/"):
        assert not os.path.exists(f"{folder}/left-behind")
    for process in filter(str.isdigit, os.listdir("/proc")):
        assert b"sleep" not in open(f"/proc/{process}/cmdline", "rb").read()
    return max(double(values))"""
    assert tried(bwrap.sandbox, look).passed
    assert not Path("/tmp/left-behind").exists()
    assert not Path("/dev/shm/left-behind").exists()


def test_an_answer_sees_nothing_of_the_host(bwrap: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTB_GRADER_API_KEY", "secret")
    look = f"""
    import os, socket
    assert "PTB_GRADER_API_KEY" not in os.environ
    assert not os.path.exists({str(Path(__file__).parent)!r})
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            assert b"secret" not in open(f"/proc/{{process}}/environ", "rb").read()
        except PermissionError:
            pass
    try:
        socket.create_connection(("1.1.1.1", 53), timeout=1)
    except OSError:
        return max(double(values))"""
    assert tried(bwrap.sandbox, look) == TrialEnd(True, "passed")


def test_a_trial_that_cannot_start_is_no_wrong_answer(bwrap: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from posttrainbench.benchmarks import trials

    monkeypatch.setattr(trials, "PROGRAM", Path(os.devnull))
    with pytest.raises(SandboxUnavailable, match="did not start"):
        tried(Bubblewrap(), "    return max(double(values))")
