"""What every sandbox does with a command, whichever member it is."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from sandbox_rooms import SMALL, Room, ended_by_pids, open_room

from posttrainbench.budget import GIB, MIB, Limits
from posttrainbench.errors import SetupError
from posttrainbench.protocols import HOME, WORKSPACE, Mount, SandboxEnd
from posttrainbench.sandboxes import cgroups, probe, process_namespace
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.sandboxes.limits import BOMB_MARGIN
from posttrainbench.sandboxes.unisolated import Unisolated, on_host

ROOT = Path(__file__).parents[2]


# --- running ------------------------------------------------------------------------------------------------


def test_a_command_runs_in_its_folder_and_says_what_it_says(room: Room) -> None:
    (room.workspace / "given").write_text("in")
    ran = room.run("sh", "-c", "cat given; echo out > made; echo ' err' >&2; echo done")
    assert ran.output == "in err\ndone\n"
    assert (room.workspace / "made").read_text() == "out\n"
    assert (ran.end.exit_code, ran.end.limit, ran.end.left_processes) == (0, None, 0)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -SEGV $$", 139), ("nosuchprogram", 127)])
def test_exit_codes_are_the_shells(room: Room, script: str, code: int) -> None:
    assert room.run("sh", "-c", script).end.exit_code == code


def test_the_environment_is_an_allow_list(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "secret")
    output = room.run("env", environment={"MODEL": f"{WORKSPACE}/base"}).output
    names = {line.partition("=")[0] for line in output.splitlines()}
    allowed = {"HOME", "PATH", "LANG", "TERM", "TMPDIR", "USER", "MODEL", "PWD", "LD_LIBRARY_PATH"}
    assert names <= allowed | {"PTB_SANDBOX", "SHLVL", "_", "OLDPWD"}
    assert "secret" not in output
    assert "MODEL=" in output


def test_python_works_with_our_packages(room: Room) -> None:
    ran = room.run("python", "-c", "import numpy, sys; print(numpy.ones(2).sum(), sys.version_info[:2])")
    assert ran.output.strip() == f"2.0 {sys.version_info[:2]}"
    assert room.run("python3", "-m", "pip", "--version").end.exit_code == 0


def test_the_processors_can_be_counted_and_not_turned_off(bwrap: Room) -> None:
    folder = "/sys/devices/system/cpu"
    script = f"cat {folder}/online; ls /sys/devices/system; for f in $(find {folder} -name online); do"
    seen = bwrap.run("sh", "-c", f"{script} echo 1 > $f; done 2>/dev/null && echo written").output.split()
    assert seen[0] == Path(folder, "online").read_text().strip()
    assert set(seen[1:]) <= {"cpu", "node"}


def test_folders_are_shown_where_the_job_says(room: Room, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tool.py").write_text("import sys; print('tool', sys.argv[1])")
    home = Mount(tmp_path, HOME, writable=True)
    argv = ("sh", "-c", "python /opt/tools/tool.py $WHERE; echo x > $HOME/made")
    room.run(*argv, mounts=(Mount(tools, "/opt/tools"), home), environment={"WHERE": "/opt/tools"})
    assert (tmp_path / "made").exists()


def test_a_missing_mount_is_told(room: Room, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="absent"):
        room.run("true", mounts=(Mount(tmp_path / "absent", "/opt/absent"),))


def test_output_comes_while_the_command_runs(room: Room) -> None:
    said: list[bytes] = []
    process = room.start(room.job("sh", "-c", "echo early; sleep 60"), said.append)
    until = time.monotonic() + 10
    while not said and time.monotonic() < until:
        time.sleep(0.01)
    assert said == [b"early\n"]
    assert process.wait(0.0) is None


def test_100_mb_of_output_do_not_block(room: Room) -> None:
    sizes: list[int] = []
    job = room.job("sh", "-c", "head -c 100000000 /dev/zero")
    end = room.start(job, lambda data: sizes.append(len(data))).wait(60)
    assert end is not None and end.exit_code == 0
    assert sum(sizes) == 100_000_000


def test_no_output_does_not_block(room: Room) -> None:
    assert room.run("sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 3").end.exit_code == 3


def test_what_is_left_behind_in_silence_dies(room: Room) -> None:
    script = "exec >&- 2>&-; (while true; do echo x >> beat; sleep 0.02; done) & sleep 0.3"
    assert room.run("sh", "-c", script).end.left_processes == 0
    size = (room.workspace / "beat").stat().st_size
    time.sleep(0.15)
    assert (room.workspace / "beat").stat().st_size == size > 0


def test_trouble_with_the_output_is_ours_and_loses_no_process(room: Room) -> None:
    def full(data: bytes) -> None:
        raise OSError("disk full")

    process = room.start(room.job("sh", "-c", "head -c 1000000 /dev/zero; exit 0"), full)
    with pytest.raises(OSError, match="disk full"):
        process.wait(10)
    room.processes.clear()


# --- ending -------------------------------------------------------------------------------------------------


def test_wait_gives_up_in_time(room: Room) -> None:
    process = room.start(room.job("sleep", "60"))
    began_s = time.monotonic()
    assert process.wait(0.1) is None
    assert time.monotonic() - began_s < 1
    assert process.stop(0.0).exit_code is None


def _started(room: Room, script: str) -> object:
    """A Python program that has come to its last line of setting up: it makes a file `ready`."""
    process = room.start(room.job("python", "-c", script))
    until = time.monotonic() + 10
    while not (room.workspace / "ready").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return process


def test_stop_lets_a_command_tidy_up(room: Room) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('tidy', 'w'), sys.exit(5)))\nopen('ready', 'w')\n"
        "time.sleep(60)"
    )
    end = _started(room, script).stop(10)  # type: ignore[attr-defined]
    assert end == SandboxEnd(5, None, end.peak_memory_bytes, 0)
    assert (room.workspace / "tidy").exists()


def test_stop_kills_what_will_not_end(room: Room) -> None:
    script = (
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '600'], start_new_session=True)\nopen('ready', 'w')\n"
        "while True: time.sleep(60)"
    )
    process = _started(room, script)
    began_s = time.monotonic()
    end = process.stop(0.2)  # type: ignore[attr-defined]
    assert (end.exit_code, end.limit, end.left_processes) == (None, None, 0)
    assert time.monotonic() - began_s < 3
    assert process.stop(0.2) == end == process.wait(0)  # type: ignore[attr-defined]


def test_stop_while_another_thread_waits(room: Room) -> None:
    process = room.start(room.job("sleep", "60"))
    ends: list[SandboxEnd | None] = []
    waiting = threading.Thread(target=lambda: ends.append(process.wait(20)))
    waiting.start()
    end = process.stop(5)
    waiting.join()
    assert ends == [end]


def test_the_thread_that_started_it_may_end(room: Room) -> None:
    processes: list[object] = []
    job = room.job("sh", "-c", "sleep 0.3; echo alive > said")
    starter = threading.Thread(target=lambda: processes.append(room.start(job)))
    starter.start()
    starter.join()
    end = processes[0].wait(10)  # type: ignore[attr-defined]
    assert end.exit_code == 0
    assert (room.workspace / "said").exists()


def test_many_at_once(bwrap: Room) -> None:
    processes = [bwrap.start(bwrap.job("sh", "-c", f"sleep 0.2; exit {code}")) for code in range(8)]
    ends = [process.wait(20) for process in processes]
    assert [end.exit_code for end in ends if end] == list(range(8))


HARNESS = """
import sys, time, threading
from pathlib import Path
from posttrainbench.protocols import Mount, SandboxJob
from posttrainbench.budget import Limits
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.sandboxes.container import Container
sandbox = Container() if sys.argv[2] == "docker" else Bubblewrap(use_cgroups=sys.argv[2] == "True")
workspace = Path(sys.argv[1])
script = "while true; do echo x >> beat; sleep 0.02; done"
job = SandboxJob(("sh", "-c", "setsid sh -c '" + script + "' & " + script), "/workspace", Limits(),
                 (Mount(workspace, "/workspace", True),))
def start(): sandbox.start(job, lambda data: None)
thread = threading.Thread(target=start); thread.start(); thread.join()
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("use_cgroups", [True, False])
def test_a_sandbox_dies_with_the_harness(use_cgroups: bool, bwrap: Room) -> None:
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(bwrap.workspace), str(use_cgroups)], stdout=subprocess.PIPE
    )
    assert harness.stdout is not None and harness.stdout.readline() == b"started\n"
    beat = bwrap.workspace / "beat"
    while not beat.exists():
        time.sleep(0.01)
    time.sleep(0.1)
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    harness.stdout.close()
    time.sleep(0.3)
    size = beat.stat().st_size
    time.sleep(0.2)
    assert beat.stat().st_size == size > 0
    assert not _running_in(bwrap.workspace)


@pytest.mark.extended
def test_a_container_dies_with_the_harness(tmp_path: Path) -> None:
    room = next(open_room("docker", tmp_path / "workspace"))
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(room.workspace), "docker"], stdout=subprocess.PIPE
    )
    assert harness.stdout is not None and harness.stdout.readline() == b"started\n"
    assert _running_in(room.workspace)
    harness.kill()
    harness.wait()
    harness.stdout.close()
    until = time.monotonic() + 30
    while _running_in(room.workspace) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _running_in(room.workspace)


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.04, 0.06, 0.09, 0.13])
def test_a_harness_that_dies_while_it_builds_leaves_nothing(delay_s: float, bwrap: Room) -> None:
    code = HARNESS.replace("thread =", "print('now', flush=True); thread =")
    harness = subprocess.Popen(
        [sys.executable, "-c", code, str(bwrap.workspace), "True"], stdout=subprocess.PIPE
    )
    assert harness.stdout is not None and harness.stdout.readline() == b"now\n"
    time.sleep(delay_s)
    harness.kill()
    harness.wait()
    harness.stdout.close()
    time.sleep(0.3)
    beat = bwrap.workspace / "beat"
    size = beat.stat().st_size if beat.exists() else 0
    time.sleep(0.15)
    assert (beat.stat().st_size if beat.exists() else 0) == size
    assert not _running_in(bwrap.workspace)


def _running_in(folder: Path) -> list[str]:
    """The processes whose mounts show a folder of ours."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            shows = str(folder) in (path / "mountinfo").read_text()
        except OSError:
            continue
        if shows:
            found.append(path.name)
    return found


# --- limits -------------------------------------------------------------------------------------------------


def test_memory_is_limited(room: Room) -> None:
    ran = room.run("python", "-c", "import time; x = bytearray(600_000_000); time.sleep(30)")
    assert ran.end.limit == "memory"
    assert ran.end.left_processes == 0


def test_a_command_that_lives_within_its_limits_ends_by_itself(room: Room) -> None:
    ran = room.run("python", "-c", "x = bytearray(100_000_000)", watched=(room.workspace,))
    assert (ran.end.exit_code, ran.end.limit) == (0, None)


def test_processes_are_limited(room: Room) -> None:
    ran = room.run("python", "-c", "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)")
    assert ended_by_pids(room, ran), ran
    assert ran.end.left_processes == 0


def test_disk_is_limited(room: Room) -> None:
    script = "while true; do head -c 1000000 /dev/zero >> big; sleep 0.01; done"
    ran = room.run("sh", "-c", script, watched=(room.workspace,))
    assert (ran.end.exit_code, ran.end.limit) == (None, "disk")


def test_holes_and_second_names_cost_nothing(room: Room) -> None:
    script = (
        "truncate -s 60000000 sparse; head -c 5000000 /dev/zero > one\n"
        "for name in 1 2 3 4 5 6; do ln one $name; done\n"
        "ln -s / root; sleep 1.2"
    )
    ran = room.run("sh", "-c", script, watched=(room.workspace,))
    assert (ran.end.exit_code, ran.end.limit) == (0, None), ran.output


def test_a_child_that_dies_of_memory_is_not_the_end(bwrap: Room) -> None:
    script = "python -c 'x = bytearray(600_000_000)'; echo went on"
    ran = bwrap.run("bash", "-c", script)
    assert (ran.end.exit_code, ran.end.limit) == (0, None)
    assert "went on" in ran.output


def test_a_watchdog_has_the_kernel_behind_it(tmp_path: Path, bwrap: Room) -> None:
    """So that a fork bomb ends by itself should the watchdog come too late."""
    room = Room(Bubblewrap(use_cgroups=False), bwrap.workspace)
    script = (
        "import resource\n"
        "print(resource.getrlimit(resource.RLIMIT_NPROC)[0], open('/proc/sys/kernel/pid_max').read())"
    )
    host = Path("/proc/sys/kernel/pid_max").read_text()
    limits = [int(word) for word in room.run("python", "-c", script).output.split()]
    if os.getuid() == 0 and tuple(map(int, os.uname().release.split(".")[:2])) < (6, 14):
        pytest.skip("this kernel has nothing for root")
    assert SMALL.pids + BOMB_MARGIN in limits
    assert Path("/proc/sys/kernel/pid_max").read_text() == host


def test_groups_are_removed(bwrap: Room) -> None:
    bwrap.run("true")
    mine = f"ptb-{os.getpid()}-*"
    assert not [path for top in Path("/sys/fs/cgroup").glob("*") for path in top.rglob(mine)]


@pytest.mark.parametrize("version", [1, 2])
def test_groups_are_made_within_our_own(version: int, tmp_path: Path) -> None:
    """Folders stand for the kernel's: what is written where, in both generations."""
    own = tmp_path / "job" / "step"
    own.mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "job", own):
        (folder / "cgroup.controllers").write_text("cpu memory pids")
        (folder / "cgroup.subtree_control").write_text("memory pids")
    if version == 1:
        mountinfo = f"30 20 0:26 /pod {tmp_path} rw,nosuid - cgroup cgroup rw,memory,pids"
        texts = mountinfo, "4:memory,pids:/pod/job/step\n0::/"
    else:
        texts = f"30 20 0:26 / {tmp_path} rw,nosuid - cgroup2 cgroup2 rw", "0::/job/step"
    parents = {name: cgroups.parents_of(name, *texts) for name in ("memory", "pids")}
    assert parents["memory"][0] == (version, own)
    assert (len(parents["pids"]) == 3) == (version == 2)
    group = cgroups.make_group(parents, Limits(memory_bytes=MIB, pids=7), "ptb-1-1-1")
    assert group is not None and group.memory == group.pids == own / "ptb-1-1-1"
    limit = "memory.limit_in_bytes" if version == 1 else "memory.max"
    assert (group.memory / limit).read_text() == str(MIB)
    assert (group.pids / "pids.max").read_text() == "7"
    (group.memory / ("memory.oom_control" if version == 1 else "memory.events")).write_text(
        "oom 2\noom_kill 3\n"
    )
    (group.pids / "pids.events").write_text("max 5\n")
    assert (group.memory_kills(), group.pids_refused(), group.peak_memory_bytes()) == (3, 5, None)


def test_groups_that_a_dead_run_left_are_removed(tmp_path: Path) -> None:
    old_s = time.time() - 3600
    mine, dead, young = (
        tmp_path / name for name in (f"ptb-{os.getpid()}-1-0", "ptb-999999999-1-0", "ptb-1-0-0")
    )
    ours = tmp_path / f"ptb-{os.getpid()}-{process_namespace.start_ticks(os.getpid())}-0"
    for folder in (mine, dead, ours, young):
        folder.mkdir()
        if folder is not young:
            os.utime(folder, (old_s, old_s))
    cgroups.remove_stale(tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {ours.name, young.name}


# --- saying what holds --------------------------------------------------------------------------------------


def test_isolation_says_what_holds(cell: Room) -> None:
    isolation = cell.sandbox.isolation()
    broken = {guarantee.name for guarantee in isolation.guarantees if not guarantee.holds}
    assert isolation.isolated
    weaker = {"unprivileged host user"} if os.getuid() == 0 else set()
    assert broken <= ({"own user namespace"} if cell.sandbox.name == "docker" else weaker)
    assert all(guarantee.how for guarantee in isolation.guarantees)


def test_no_isolation_promises_nothing() -> None:
    isolation = Unisolated().isolation()
    assert not isolation.isolated
    assert not any(guarantee.holds for guarantee in isolation.guarantees)
    bubblewrap = {guarantee.name for guarantee in Bubblewrap().isolation().guarantees}
    assert {guarantee.name for guarantee in isolation.guarantees} == bubblewrap


def _in_a_new_process(*command: str, code: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}
    told = subprocess.run(
        [*command, sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return told.stdout + told.stderr


ASK = textwrap.dedent("""
    from posttrainbench.errors import SandboxUnavailable
    from posttrainbench.sandboxes.bubblewrap import Bubblewrap
    try: print(Bubblewrap().isolation().isolated)
    except SandboxUnavailable as unavailable: print("UNAVAILABLE", unavailable)
""")


def test_a_missing_bubblewrap_is_told_with_the_fix() -> None:
    said = _in_a_new_process(code=ASK, PATH="/nowhere")
    assert said.startswith("UNAVAILABLE bubblewrap is not installed: `apt-get install bubblewrap`")


def test_forbidden_user_namespaces_are_told_with_the_fix() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    said = _in_a_new_process("unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", code=ASK)
    if said.startswith("unshare:"):
        pytest.skip(said)
    assert said.startswith("UNAVAILABLE")
    assert "`sysctl -w user.max_user_namespaces=" in said
    assert "\n" not in said.strip()


def test_an_old_bubblewrap_is_told(tmp_path: Path) -> None:
    assert "update" in probe.why_it_failed("bwrap: Unknown option --size")


def test_it_works_for_an_unprivileged_user(bwrap: Room, tmp_path: Path) -> None:
    """The same, as a user without any right: no writable group, so the watchdog holds all limits."""
    if os.getuid() != 0:
        pytest.skip("every other test shows it")
    nobody, python = "65534", "/usr/bin/python3"
    become = ["setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups"]
    tmp_path.chmod(0o755)
    bwrap.workspace.chmod(0o777)
    source = tmp_path / "src"
    subprocess.run(["cp", "-r", str(ROOT / "src"), str(source)], check=True)
    subprocess.run(["chmod", "-R", "a+rX", str(tmp_path)], check=True)
    for folder in tmp_path.parents:  # pytest keeps its folders to itself
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    environment = {"PYTHONPATH": str(source), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        [*become, python, "-c", UNPRIVILEGED, str(bwrap.workspace)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if "ModuleNotFoundError" in told.stderr or "not found" in told.stderr:
        pytest.skip(f"the system's Python cannot run us: {told.stderr.strip().splitlines()[-1]}")
    assert told.stdout.split() == ["set()", "None", "memory", "pids", "disk"], told.stderr


UNPRIVILEGED = """
import sys
from pathlib import Path
from posttrainbench.budget import Limits, MIB
from posttrainbench.protocols import Mount, SandboxJob
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
workspace = Path(sys.argv[1])
sandbox = Bubblewrap()
print({guarantee for guarantee in sandbox.isolation().guarantees if not guarantee.holds})
limits = Limits(memory_bytes=300 * MIB, pids=50, disk_bytes=10 * MIB)
for script in ("x = 1", "import time; x = bytearray(500_000_000); time.sleep(30)",
               "import os, time\\nwhile True:\\n    if os.fork() == 0: time.sleep(60)",
               "import time\\nopen('big', 'wb').write(bytes(20_000_000)); time.sleep(30)"):
    job = SandboxJob(("python", "-c", script), "/workspace", limits, (Mount(workspace, "/workspace", True),),
                     watched=(workspace,))
    process = sandbox.start(job, lambda data: None)
    end = process.wait(20) or process.stop(0)
    assert end.left_processes == 0
    print(end.limit)
"""


# --- without a sandbox --------------------------------------------------------------------------------------


def test_paths_inside_become_paths_of_the_host() -> None:
    mounts = (Mount(Path("/a/w"), "/workspace", True), Mount(Path("/a/m"), "/workspace/model"))
    assert on_host("/workspace", mounts) == "/a/w"
    assert (
        on_host("--model=/workspace/model/x --out /workspace/out", mounts) == "--model=/a/m/x --out /a/w/out"
    )
    assert (
        on_host("/workspaces /srv/workspace /workspace.bak", mounts)
        == "/workspaces /srv/workspace /workspace.bak"
    )
    assert on_host("/bin:/workspace:/usr", mounts) == "/bin:/a/w:/usr"
    assert on_host("/workspace", ()) == "/workspace"


def test_small_limits_are_small() -> None:
    """So that the tests above show limits, not luck."""
    assert SMALL.memory_bytes < GIB and SMALL.disk_bytes < 60 * MIB


def test_a_trivial_command_starts_quickly(bwrap: Room) -> None:
    """Not a benchmark: only that nothing slow crept in (it takes some 70 ms as root, 30 ms as a user)."""
    bwrap.run("true")
    took_s = []
    for _ in range(5):
        began_s = time.monotonic()
        bwrap.run("true")
        took_s.append(time.monotonic() - began_s)
    assert statistics.median(took_s) < 1.0
