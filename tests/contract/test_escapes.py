"""Every way out that we could think of: from inside all fail, and each works where nothing holds it."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sandbox_rooms import Room, ended_by_pids

import posttrainbench
from posttrainbench.budget import GIB, MIB
from posttrainbench.protocols import Mount
from posttrainbench.sandboxes.python_runtime import ours_in
from posttrainbench.sandboxes.supervision import SupervisedProcess

ATTEMPTS = Path(__file__).parent / "escape_attempts.py"
INSIDE = "/attempts.py"
AS_ROOT = os.getuid() == 0
libc = ctypes.CDLL(None)


def inside(room: Room, name: str, *arguments: str, **changes: object) -> str:
    """What an attempt says from inside the sandbox."""
    mounts = (Mount(ATTEMPTS, INSIDE), *changes.pop("mounts", ()))  # type: ignore[misc]
    return room.run("python", INSIDE, name, *arguments, mounts=mounts, **changes).output


def outside(name: str, *arguments: str, cwd: Path, **options: object) -> str:
    """What the same attempt says on the host: the control."""
    command = [sys.executable, str(ATTEMPTS), name, *arguments]
    told = subprocess.run(command, cwd=cwd, capture_output=True, timeout=20, check=False, **options)  # type: ignore[call-overload]
    return str(told.stdout, "utf-8")


def assert_held(said: str) -> None:
    assert said.startswith("HELD"), said


@dataclass
class Host:
    """What the host has and the sandbox must not get at."""

    folder: Path
    secret: Path
    token: str
    nekot: str  # the token backwards, so that an attempt's own arguments do not hold it
    port: int
    abstract: str
    socket: str
    pid: int
    shared_memory: int


def _serve(server: socket.socket, word: str) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client:
            client.sendall(word.encode())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host full of secrets: files, variables, servers, processes."""
    token = secrets.token_hex(12)
    monkeypatch.setenv("PROVIDER_KEY", token)
    secret = tmp_path / f"sealed-{token}.jsonl"
    secret.write_text(token)
    tcp = socket.create_server(("127.0.0.1", 0))
    abstract, named = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    abstract.bind(f"\0{token}")
    named.bind(str(tmp_path / "s"))
    for server in (tcp, abstract, named):
        server.listen()
        threading.Thread(target=_serve, args=(server, token), daemon=True).start()
    sleeper = subprocess.Popen(["sleep", "300"])
    key = int(token[:7], 16) | 1
    segment = libc.shmget(key, 4096, 0o1600)
    facts = Host(
        tmp_path,
        secret,
        token,
        token[::-1],
        tcp.getsockname()[1],
        f"@{token}",
        str(tmp_path / "s"),
        sleeper.pid,
        key,
    )
    yield facts
    assert sleeper.poll() is None, "a process of the host died"
    libc.shmctl(segment, 0, None)
    sleeper.kill()
    sleeper.wait()
    for server in (tcp, abstract, named):
        server.close()


# Attempts with their arguments; the control is the same attempt on the host.
READING = {
    "its path": ("read_file", "{secret}"),
    "the root of a process": ("read_through_proc_root", "{secret}"),
    "a link in the workspace": ("read_through_link", "{secret}"),
    "a hard link": ("hard_link", "{secret}"),
    "names of other runs": ("list_siblings", "{secret.name}"),
    "environments and command lines": ("find_in_processes", "{nekot}"),
    "a server on the host's loopback": ("connect_tcp", "{port}", "127.0.0.1", "localhost"),
    "an abstract socket": ("connect_unix", "{abstract}"),
    "a socket file": ("connect_unix", "{socket}"),
    "shared memory": ("shared_memory", "{shared_memory}"),
    "signals": ("signal_process", "{pid}"),
    "memory of a process": ("read_memory", "{pid}"),
    "ptrace": ("trace_process", "{pid}"),
}
FOR_ANYONE = {
    "user namespaces": ("new_user_namespace",),
    "typing into a terminal": ("type_into_terminal",),
    "keyring": ("session_keyring",),
    "odd sockets": ("open_odd_sockets",),
    "odd system calls": ("odd_system_calls",),
    "setuid files": ("make_setuid_file", "."),
    "a sparse file of 50 GB": ("sparse_file", ".", str(50 * GIB)),
    "open files": ("many_open_files", "300"),
}
FOR_ROOT = {
    "kernel settings": ("set_kernel_setting",),
    "sysrq": ("open_sysrq",),
    "files about the whole machine": ("open_any", "/proc/kcore", "/proc/keys", "/proc/timer_list"),
    "kernel log": ("read_kernel_log",),
    "mount": ("mount_something",),
    "chroot": ("change_root",),
    "setuid": ("become_root",),
    "real-time priority": ("real_time",),
    "device files": ("make_device", "."),
    "modes of devices": ("change_mode", "/dev/null", "0666"),
    "files by handle": ("open_by_handle",),
    "hostname": ("set_hostname",),
    "joining a namespace": ("join_namespace", "self"),
}


@pytest.mark.parametrize("way", READING)
def test_nothing_of_the_host_can_be_reached(way: str, walled: Room, host: Host) -> None:
    name, *arguments = (word.format(**vars(host)) for word in READING[way])
    assert_held(inside(walled, name, *arguments))
    control = outside(name, *arguments, cwd=walled.workspace)
    if name == "trace_process" and not AS_ROOT and control.startswith("HELD"):
        pytest.skip("this kernel lets nobody trace a process that is not its child")
    assert control.startswith("ESCAPED"), control


@pytest.mark.parametrize("way", FOR_ANYONE)
def test_what_any_user_could_do(way: str, walled: Room) -> None:
    name, *arguments = FOR_ANYONE[way]
    assert_held(inside(walled, name, *arguments))
    control = outside(name, *arguments, cwd=walled.workspace)
    if control.startswith("HELD"):
        pytest.skip(f"not even the host can do this: {control}")


@pytest.mark.parametrize("way", FOR_ROOT)
def test_what_root_could_do(way: str, walled: Room) -> None:
    name, *arguments = FOR_ROOT[way]
    assert_held(inside(walled, name, *arguments))
    control = outside(name, *arguments, cwd=walled.workspace)
    if control.startswith("HELD"):
        pytest.skip(f"not even this user of the host can do this: {control}")


def test_limits_cannot_be_raised(walled: Room) -> None:
    assert_held(inside(walled, "raise_limits"))
    lowered = f"ulimit -n 100; exec {sys.executable} {ATTEMPTS} raise_limits"
    control = subprocess.run(["sh", "-c", lowered], capture_output=True, check=True).stdout
    if control.startswith(b"HELD"):
        pytest.skip(f"not even this user of the host can do this: {control!r}")


def test_no_terminal_is_there(walled: Room) -> None:
    assert_held(inside(walled, "controlling_terminal"))


def test_the_read_only_system_stays_so(walled: Room) -> None:
    assert_held(inside(walled, "remount_root_writable"))


def test_killing_everything_kills_nothing_of_the_host(walled: Room, host: Host) -> None:
    inside(walled, "kill_everything")
    assert Path(f"/proc/{host.pid}").exists()


def test_folders_outside_the_workspace_cannot_be_written(walled: Room, host: Host) -> None:
    fixed = ("/", "/usr", "/etc", "/opt", "/opt/venv/lib", "/dev", "/run", "/var", "/home", "/proc/self")
    assert_held(inside(walled, "write_into", *fixed, str(host.folder)))
    assert outside("write_into", str(host.folder), cwd=walled.workspace).startswith("ESCAPED")
    assert inside(walled, "write_into", "/workspace", "/tmp", "/dev/shm", "/home/agent").count(",") == 3


def test_a_read_only_mount_cannot_be_written(walled: Room, host: Host) -> None:
    shown, ours = Mount(host.secret, "/shown"), Mount(host.secret, "/ours", writable=True)
    assert_held(inside(walled, "append_to", "/shown", mounts=(shown,)))
    assert_held(inside(walled, "change_mode", "/shown", "0666", mounts=(shown,)))
    assert inside(walled, "append_to", "/ours", mounts=(ours,)).startswith("ESCAPED")


def test_test_items_are_nowhere(walled: Room, host: Host) -> None:
    """By name, over the whole file system: our package, its data, anything sealed, instruct weights."""
    words = ("posttrainbench", "tinyworld", "tiny-qwen3", "tiny-llama", host.token)
    assert_held(_but_for_hidden(inside(walled, "find_by_name", "/", *words)))
    package = Path(posttrainbench.__file__).parent
    assert outside("find_by_name", str(package.parent), *words, cwd=host.folder).startswith("ESCAPED")
    assert outside("find_by_name", str(host.folder), host.token, cwd=host.folder).startswith("ESCAPED")


def _but_for_hidden(said: str) -> str:
    """Names of our package may show where an empty folder or file covers it."""
    names = said.removeprefix("ESCAPED ").strip().split(", ")
    hidden = all("/site-packages/" in name or "/dist-packages/" in name for name in names)
    shallow = all(name.rpartition("-packages/")[2].count("/") == 0 for name in names)
    return "HELD" if said.startswith("ESCAPED") and hidden and shallow else said


def test_what_hides_our_package_is_empty(walled: Room) -> None:
    script = (
        "import site, pathlib\n"
        "for folder in site.getsitepackages():\n"
        "    for path in pathlib.Path(folder).glob('*posttrainbench*'):\n"
        "        print(list(path.iterdir()) if path.is_dir() else path.read_text())\n"
    )
    assert not walled.run("python", "-c", script).output.replace("[]", "").strip()


def test_our_package_is_for_the_evaluator_alone(walled: Room) -> None:
    assert_held(inside(walled, "import_package", "posttrainbench.protocols"))
    shown = inside(walled, "import_package", "posttrainbench.protocols", package=True)
    assert shown.startswith("ESCAPED")


def test_what_hides_it_finds_every_kind_of_installation(tmp_path: Path) -> None:
    """Editable and as a wheel; and packages that extend us, whose benchmarks hold test items too."""
    for name in ("posttrainbench", "posttrainbench-1.dist-info", "torch", "torch-1.dist-info", "more"):
        (tmp_path / name).mkdir()
    for name in ("__editable__.posttrainbench-1.pth", "_editable_impl_posttrainbench.pth", "single.py"):
        (tmp_path / name).touch()
    extension = tmp_path / "more-1.dist-info"
    extension.mkdir()
    (extension / "entry_points.txt").write_text("[posttrainbench.benchmarks]\nmore = more:More\n")
    (extension / "RECORD").write_text("more/__init__.py,,\nsingle.py,,\n../../../bin/more,,\n")
    (tmp_path / "torch-1.dist-info/entry_points.txt").write_text("[console_scripts]\ntorchrun = torch:run\n")
    hidden = {path.name for path in ours_in(tmp_path)}
    assert hidden == {path.name for path in tmp_path.iterdir()} - {
        "torch",
        "torch-1.dist-info",
        "more-1.dist-info",
    }


def test_the_one_way_out_is_the_socket_that_is_shown(walled: Room, host: Host) -> None:
    """Not an escape: what the tests above refuse does work where it is allowed."""
    door = Mount(Path(host.socket), "/run/door")
    assert inside(walled, "connect_unix", "/run/door", mounts=(door,)).strip() == f"ESCAPED {host.token}"


def test_no_descriptor_is_inherited(walled: Room, host: Host) -> None:
    descriptor = os.open(host.secret, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        assert_held(inside(walled, "inherited_descriptors"))
        assert str(host.secret) in outside("inherited_descriptors", cwd=host.folder, close_fds=False)
    finally:
        os.close(descriptor)


@pytest.mark.skipif(not AS_ROOT, reason="only root can prepare it")
def test_setuid_programs_give_nothing(walled: Room, tmp_path: Path) -> None:
    program, uid = tmp_path / "id", 12345
    shutil.copy(shutil.which("id") or "/usr/bin/id", program)
    os.chown(program, uid, uid)
    program.chmod(0o4755)
    assert_held(inside(walled, "run_setuid_program", "/id", str(uid), mounts=(Mount(program, "/id"),)))
    if os.statvfs(tmp_path).f_flag & os.ST_NOSUID:
        pytest.skip("no control: this file system has no setuid")
    assert outside("run_setuid_program", str(program), str(uid), cwd=tmp_path).startswith("ESCAPED")


DAEMON = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(0); os.close(1); os.close(2)
        while True:
            open("beat", "a").write("x"); time.sleep(0.02)
    os._exit(0)
time.sleep(float(sys.argv[1]))
"""


def test_a_daemon_does_not_outlive_the_deadline(cell: Room) -> None:
    beat = cell.workspace / "beat"
    process = cell.start(cell.job("python", "-c", DAEMON, "600"))
    _until(beat.exists)
    began_s = time.monotonic()
    end = process.stop(0.3)
    assert (end.exit_code, end.left_processes) == (None, 0)
    assert time.monotonic() - began_s < 3
    size = beat.stat().st_size
    time.sleep(0.15)
    assert beat.stat().st_size == size


def test_a_daemon_does_not_outlive_the_command(cell: Room) -> None:
    ran = cell.run("python", "-c", DAEMON, "0.3")
    size = (cell.workspace / "beat").stat().st_size
    time.sleep(0.15)
    assert (cell.workspace / "beat").stat().st_size == size > 0
    assert ran.end.left_processes == 0


def test_without_a_sandbox_a_daemon_does_outlive_its_parent(tmp_path: Path) -> None:
    brief = DAEMON.replace("while True", "for _ in range(30)")
    subprocess.run([sys.executable, "-c", brief, "0.2"], cwd=tmp_path, check=True)
    size = (tmp_path / "beat").stat().st_size
    time.sleep(0.2)
    assert (tmp_path / "beat").stat().st_size > size > 0


def _until(true: object, patience_s: float = 10.0) -> None:
    end_s = time.monotonic() + patience_s
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end_s, "nothing happened"
        time.sleep(0.01)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/home/agent"])
def test_memory_folders_cannot_be_overfilled(folder: str, walled: Room) -> None:
    assert_held(inside(walled, "fill", folder, str(30 * MIB)))
    assert inside(walled, "fill", folder, str(10 * MIB)).startswith("ESCAPED")


def test_memory_cannot_be_exhausted(cell: Room) -> None:
    ran = cell.run("python", "-c", "held = []\nwhile True: held.append(bytearray(10_000_000))")
    assert ran.end.limit == "memory"
    if cell.sandbox.name == "docker" and ran.end.peak_memory_bytes is None:
        return  # an engine's group is gone with the container: of a quick end nobody saw the peak
    assert ran.end.peak_memory_bytes and ran.end.peak_memory_bytes > 100 * MIB


def test_a_fork_bomb_is_contained(cell: Room) -> None:
    """A control group keeps it small until it is stopped; a watchdog sees it and kills it.

    Should neither work, the bomb ends at some 2000 processes, for the sake of whoever runs the tests.
    """
    bomb = "bomb() { if [ $1 -gt 0 ]; then bomb $(($1 - 1)) | bomb $(($1 - 1)) & fi; sleep 60; }; bomb 10"
    process = cell.start(cell.job("bash", "-c", bomb))
    assert isinstance(process, SupervisedProcess)
    if process.group is not None and process.group.pids is not None:
        assert process.wait(0.5) is None
        crowd = int((process.group.pids / "pids.current").read_text())
        assert cell.limits.pids / 2 < crowd <= cell.limits.pids
        began_s = time.monotonic()
        end = process.stop(0.0)
        assert time.monotonic() - began_s < 5
    else:
        killed = process.wait(20)
        assert killed is not None and killed.limit == "pids"
        end = killed
    assert end.left_processes == 0


def test_a_process_that_needs_more_processes_dies_of_the_limit(cell: Room) -> None:
    script = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60); os._exit(0)"
    ran = cell.run("python", "-c", script)
    assert ended_by_pids(cell, ran), ran
    assert ran.end.left_processes == 0


@pytest.mark.parametrize("unlinked", ["", "os.unlink(name)"])
def test_the_disk_cannot_be_filled(cell: Room, unlinked: str) -> None:
    script = (
        "import os, time\nkept = []\nwhile True:\n    name = str(time.time())\n"
        "    kept.append(open(name, 'wb', 0))\n"
        f"    kept[-1].write(bytes(1 << 20)); time.sleep(0.01); {unlinked or 'pass'}"
    )
    ran = cell.run("python", "-c", script, watched=(cell.workspace,))
    assert ran.end.limit == "disk"


def test_a_closed_folder_hides_no_bytes(cell: Room) -> None:
    script = (
        "import os, time\nos.mkdir('closed'); os.chdir('closed'); os.chmod('.', 0o300)\n"
        "while True:\n    open(str(time.time()), 'wb').write(bytes(1 << 20)); time.sleep(0.01)"
    )
    ran = cell.run("python", "-c", script, watched=(cell.workspace,))
    assert ran.end.limit == "disk"


def test_a_deep_tree_hides_no_bytes(cell: Room) -> None:
    script = (
        "import os, time\nfor _ in range(150): os.mkdir('d'); os.chdir('d')\n"
        "while True:\n    open(str(time.time()), 'wb').write(bytes(1 << 20)); time.sleep(0.01)"
    )
    ran = cell.run("python", "-c", script, watched=(cell.workspace,))
    assert ran.end.limit == "disk"
    subprocess.run(["rm", "-rf", str(cell.workspace / "d")], check=True)  # too deep for others to clear away
