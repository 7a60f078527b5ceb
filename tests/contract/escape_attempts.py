"""Ways out of a sandbox, each a function that returns what it got hold of, or raises.

Run as a program: `python escape_attempts.py NAME ARGUMENT...` prints `ESCAPED <what>` or `HELD <why>`. The
same program on the host, where nothing holds it, is each attempt's control. It imports nothing but the
standard library, and whatever it changes when it succeeds is the same afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import pty
import signal
import socket
import stat
import struct
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = os.uname().machine == "x86_64"
ATTEMPTS: dict[str, Callable[..., object]] = {}


class Held(Exception):
    """The attempt came to nothing."""


def attempt(function: Callable[..., object]) -> Callable[..., object]:
    ATTEMPTS[function.__name__] = function
    return function


def checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def first(tries: dict[str, Callable[[], object]]) -> str:
    """What succeeded, all of it: one hole is enough."""
    got, why = [], []
    for name, thing in tries.items():
        try:
            thing()
            got.append(name)
        except (OSError, Held) as error:
            why.append(f"{name}: {error}")
    if got:
        return ", ".join(got)
    raise Held("; ".join(why))


# --- reading ------------------------------------------------------------------------------------------------


@attempt
def read_file(path: str) -> str:
    return Path(path).read_text()


@attempt
def open_any(*paths: str) -> str:
    """Any byte of a file: a file that is there and empty holds nothing."""

    def read(path: str) -> None:
        with Path(path).open("rb", buffering=0) as file:
            if not file.read(1):
                raise Held("empty")

    return first({path: lambda path=path: read(path) for path in paths})


@attempt
def read_through_proc_root(path: str) -> str:
    return first(
        {
            f"/proc/{pid}/root": lambda pid=pid: Path(f"/proc/{pid}/root{path}").read_text()
            for pid in ("1", "self")
        }
    )


@attempt
def read_through_link(path: str) -> str:
    link = Path("escape-link")
    link.symlink_to(path)
    try:
        return link.read_text()
    finally:
        link.unlink()


@attempt
def hard_link(path: str) -> str:
    link = Path("escape-hard-link")
    os.link(path, link)
    link.unlink()
    return path


@attempt
def list_siblings(name: str) -> str:
    folders = ("..", "../..", "/workspace/..")
    found = [folder for folder in folders if Path(folder).is_dir() and (Path(folder) / name).exists()]
    if not found:
        raise Held("not beside us")
    return found[0]


@attempt
def find_by_name(top: str, *words: str) -> str:
    """Any file or folder below `top` whose name holds one of the words."""
    found = []
    for folder, folders, files in os.walk(top):
        if folder == "/":
            folders[:] = [name for name in folders if name != "proc"]
        found += [f"{folder}/{name}" for name in folders + files if any(word in name for word in words)]
    if not found:
        raise Held("no such name")
    return ", ".join(found[:5])


@attempt
def find_in_processes(backwards: str) -> str:
    """A word, given backwards, in the environment or the command line of any process."""
    for path in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):
                if backwards[::-1].encode() in (path / name).read_bytes():
                    return f"{path}/{name}"
    raise Held("in no process")


@attempt
def import_package(name: str) -> str:
    return str(__import__(name).__file__)


@attempt
def read_kernel_log() -> str:
    def call() -> None:
        checked(libc.klogctl(3, ctypes.create_string_buffer(4096), 4096))

    return first(
        {"syslog": call, "/dev/kmsg": lambda: os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))}
    )


@attempt
def inherited_descriptors() -> str:
    open_ones = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if int(link.name) > 2 and not str(link.readlink()).endswith("/fd"):
                open_ones.append(str(link.readlink()))
    if not open_ones:
        raise Held("only the three")
    return ", ".join(open_ones)


@attempt
def open_by_handle() -> str:
    """The way out of old containers: open a file of the host by its number instead of its path."""
    name, by_handle = (303, 304) if X86 else (264, 265)
    handle, mount_id = ctypes.create_string_buffer(struct.pack("II", 128, 0) + bytes(128)), ctypes.c_int()
    where = ctypes.c_char_p(b"/usr")
    checked(libc.syscall(name, -100, where, handle, ctypes.byref(mount_id), 0))
    folder = os.open("/usr", os.O_RDONLY)
    os.close(checked(libc.syscall(by_handle, folder, handle, os.O_RDONLY)))
    return "opened"


# --- writing ------------------------------------------------------------------------------------------------


@attempt
def write_into(*folders: str) -> str:
    def write(folder: str) -> None:
        path = Path(folder) / "escape-probe"
        path.write_text("x")
        path.unlink()

    return first({folder: lambda folder=folder: write(folder) for folder in folders})


@attempt
def append_to(path: str) -> str:
    with Path(path).open("ab"):
        return path


@attempt
def change_mode(path: str, mode: str) -> str:
    Path(path).chmod(int(mode, 8))
    return path


@attempt
def set_kernel_setting() -> str:
    def write_back(path: str) -> None:
        value = Path(path).read_text()
        Path(path).write_text(value)

    names = (
        "kernel/core_pattern",
        "kernel/hostname",
        "vm/overcommit_memory",
        "kernel/panic",
        "vm/drop_caches",
    )
    return first({name: lambda name=name: write_back(f"/proc/sys/{name}") for name in names[:4]})


@attempt
def open_sysrq() -> str:
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
    return "open for writing"


@attempt
def make_setuid_file(folder: str) -> str:
    def by_chmod() -> None:
        path = Path(folder) / "setuid-chmod"
        path.touch()
        path.chmod(0o6755)

    def by_open(flags: int) -> None:
        old = os.umask(0)
        descriptor = os.open(
            folder if flags & os.O_TMPFILE == os.O_TMPFILE else f"{folder}/setuid-open", flags, 0o4755
        )
        os.umask(old)
        if not os.fstat(descriptor).st_mode & stat.S_ISUID:
            raise Held("made without the bit")

    def by_mknod() -> None:
        os.mknod(f"{folder}/setuid-mknod", stat.S_IFREG | 0o4755)

    def by_fchmod() -> None:
        descriptor = os.open(f"{folder}/setuid-fchmod", os.O_CREAT | os.O_RDWR, 0o644)
        os.fchmod(descriptor, 0o4755)

    try:
        return first(
            {
                "chmod": by_chmod,
                "fchmod": by_fchmod,
                "open": lambda: by_open(os.O_CREAT | os.O_RDWR),
                "tmpfile": lambda: by_open(os.O_TMPFILE | os.O_RDWR),
                "mknod": by_mknod,
            }
        )
    finally:
        for path in Path(folder).glob("setuid-*"):
            path.unlink()


@attempt
def make_device(folder: str) -> str:
    path = f"{folder}/escape-device"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    Path(path).unlink()
    return path


@attempt
def sparse_file(folder: str, size: str) -> str:
    path = Path(folder) / "sparse"
    try:
        with path.open("wb") as file:
            file.truncate(int(size))
        return f"{path.stat().st_size} bytes"
    finally:
        path.unlink()


@attempt
def many_open_files(count: str) -> str:
    taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(int(count))]
    return f"{len(taken)} open"


@attempt
def fill(folder: str, size: str) -> str:
    path = Path(folder) / "fill"
    try:
        with path.open("wb") as file:
            for _ in range(int(size) >> 20):
                file.write(bytes(1 << 20))
        return f"{path.stat().st_size} bytes"
    finally:
        path.unlink()


@attempt
def raise_limits() -> str:
    import resource

    def lift(kind: int) -> None:
        _, hard = resource.getrlimit(kind)
        if hard == resource.RLIM_INFINITY:
            raise Held("unlimited already")
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
        except ValueError as error:
            raise Held(str(error)) from error

    kinds = {
        "files": resource.RLIMIT_NOFILE,
        "file size": resource.RLIMIT_FSIZE,
        "core": resource.RLIMIT_CORE,
    }
    return first({name: lambda kind=kind: lift(kind) for name, kind in kinds.items()})


# --- networks and other ways to talk -----------------------------------------------------------------------


@attempt
def connect_tcp(port: str, *hosts: str) -> str:
    def connect(host: str) -> None:
        socket.create_connection((host, int(port)), timeout=2).close()

    return first({host: lambda host=host: connect(host) for host in hosts})


@attempt
def connect_unix(address: str) -> str:
    """A path, or @name for an abstract socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + address[1:] if address.startswith("@") else address)
        return client.recv(64).decode()


@attempt
def open_odd_sockets() -> str:
    def make(family: int, kind: int) -> None:
        socket.socket(family, kind).close()

    odd = {
        "vsock": (40, socket.SOCK_STREAM),
        "packet": (17, socket.SOCK_RAW),
        "alg": (38, socket.SOCK_SEQPACKET),
    }
    raw = {"raw": (socket.AF_INET, socket.SOCK_RAW)}
    return first({name: lambda pair=pair: make(*pair) for name, pair in {**odd, **raw}.items()})


@attempt
def shared_memory(key: str) -> str:
    return str(checked(libc.shmget(int(key), 0, 0)))


@attempt
def session_keyring() -> str:
    return str(checked(libc.syscall(250 if X86 else 219, 0, -3, 1)))


@attempt
def type_into_terminal() -> str:
    """Push a character into a terminal's input: into one of our own, to see whether the call is there."""
    _, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSTI, b"x")
    return "typed"


@attempt
def controlling_terminal() -> str:
    os.close(os.open("/dev/tty", os.O_RDWR))
    return "/dev/tty"


# --- processes ----------------------------------------------------------------------------------------------


@attempt
def signal_process(pid: str) -> str:
    os.kill(int(pid), 0)
    return pid


@attempt
def trace_process(pid: str) -> str:
    checked(libc.ptrace(16, int(pid), None, None))
    os.waitpid(int(pid), 0x40000000)
    checked(libc.ptrace(17, int(pid), None, None))
    return pid


@attempt
def read_memory(pid: str) -> str:
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
    return pid


@attempt
def kill_everything() -> str:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(-1, signal.SIGTERM)
    raise Held("the host must look who died")


@attempt
def real_time() -> str:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "SCHED_FIFO"


# --- privileges ---------------------------------------------------------------------------------------------


@attempt
def become_root() -> str:
    return first(
        {"setuid": lambda: os.setuid(0), "setgid": lambda: os.setgid(0), "groups": lambda: os.setgroups([0])}
    )


@attempt
def run_setuid_program(path: str, uid: str) -> str:
    said = os.popen(f"{path} -u").read().strip()
    if said != uid:
        raise Held(f"runs as {said!r}")
    return said


@attempt
def mount_something() -> str:
    with tempfile.TemporaryDirectory() as folder:
        checked(libc.mount(b"none", folder.encode(), b"tmpfs", 0, None))
        checked(libc.umount(folder.encode()))
    return "mounted"


@attempt
def remount_root_writable() -> str:
    checked(libc.mount(None, b"/", None, 0x20 | 0x1000, None))
    return "remounted"


@attempt
def change_root() -> str:
    os.chroot("/usr")
    return "/usr"


@attempt
def new_user_namespace() -> str:
    def in_child(call: Callable[[], int]) -> None:
        child = os.fork()
        if child == 0:
            os._exit(0 if call() == 0 else ctypes.get_errno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, os.strerror(code))

    def by_clone3() -> None:
        flags = ctypes.create_string_buffer(struct.pack("8Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
        child = checked(libc.syscall(435, flags, 64))
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    return first({"unshare": lambda: in_child(lambda: libc.unshare(0x10000000)), "clone3": by_clone3})


@attempt
def join_namespace(pid: str) -> str:
    with Path(f"/proc/{pid}/ns/net").open() as file:
        checked(libc.setns(file.fileno(), 0))
    return pid


@attempt
def set_hostname() -> str:
    name = socket.gethostname().encode()
    checked(libc.sethostname(name, len(name)))
    return name.decode()


@attempt
def odd_system_calls() -> str:
    numbers = {"io_uring_setup": 425, "bpf": 321 if X86 else 280, "userfaultfd": 323 if X86 else 282}

    def call(number: int) -> None:
        result = libc.syscall(number, 0, 0, 0)
        if result < 0 and ctypes.get_errno() not in (errno.EINVAL, errno.EFAULT, errno.E2BIG):
            checked(result)

    return first({name: lambda number=number: call(number) for name, number in numbers.items()})


def main(name: str, *arguments: str) -> None:
    try:
        print("ESCAPED", ATTEMPTS[name](*arguments), flush=True)
    except (Held, OSError, ImportError) as error:
        print("HELD", error, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
