"""The system calls that a sandboxed command is refused, as a program for the kernel's filter.

Namespaces and dropped capabilities already refuse most of these; the filter closes what they leave open:
kernel interfaces that no namespace covers (keyrings, vsock, io_uring) and files that would be setuid on the
host.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
ARCH_AT, NUMBER_AT = 4, 0
SETUID_OR_SETGID = 0o6000
CREATING = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW*, but for time: it shares its bit with signals
FAMILIES = (
    1,
    2,
    10,
    16,
)  # unix, inet, inet6, netlink: all others lead past the network namespace or to old code
TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# Refused whatever their arguments. ENOSYS makes well-behaved programs fall back.
ABSENT = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")
FORBIDDEN = (
    *("add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "syslog", "setns"),
    *("mount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "open_by_handle_at", "kexec_load", "kexec_file_load", "init_module", "finit_module"),
    *("delete_module", "swapon", "swapoff", "reboot", "acct", "quotactl", "quotactl_fd", "iopl", "ioperm"),
)
# Calls that set a file's mode -> which argument holds it.
MODE_ARGUMENT = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknod": 1, "mknodat": 2, "creat": 1}
# Calls that set it only when they create -> which arguments hold flags and mode.
OPEN_ARGUMENTS = {"open": (1, 2), "openat": (2, 3)}

_SINCE_5_1 = {  # these have one number everywhere
    **{"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428},
    **{"move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435},
    **{"openat2": 437, "mount_setattr": 442, "quotactl_fd": 443, "fchmodat2": 452},
}
_X86_64 = {
    **{
        "open": 2,
        "ioctl": 16,
        "socket": 41,
        "clone": 56,
        "creat": 85,
        "chmod": 90,
        "fchmod": 91,
        "syslog": 103,
    },
    **{
        "mknod": 133,
        "pivot_root": 155,
        "acct": 163,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "swapoff": 168,
    },
    **{"reboot": 169, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179},
    **{"kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257, "mknodat": 259},
    **{"fchmodat": 268, "unshare": 272, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308},
    **{"finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323},
}
_AARCH64 = {
    **{
        "ioctl": 29,
        "mknodat": 33,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "fchmod": 52,
        "fchmodat": 53,
    },
    **{"openat": 56, "quotactl": 60, "acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105},
    **{"delete_module": 106, "syslog": 116, "reboot": 142, "socket": 198, "add_key": 217, "request_key": 218},
    **{"keyctl": 219, "clone": 220, "swapon": 224, "swapoff": 225, "perf_event_open": 241},
    **{"open_by_handle_at": 265, "setns": 268, "finit_module": 273, "bpf": 280, "userfaultfd": 282},
    **{"kexec_file_load": 294},
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of processor as the filter knows it."""

    arch: int
    numbers: Mapping[str, int]
    foreign_from: int | None  # system calls of a second numbering start here (x32)


MACHINES = {
    "x86_64": Machine(0xC000003E, {**_X86_64, **_SINCE_5_1}, 0x40000000),
    "aarch64": Machine(0xC00000B7, {**_AARCH64, **_SINCE_5_1}, None),
}

Step = tuple[int, int, int, int]  # code, steps to skip if true, steps to skip if false, operand


def seccomp_program(machine_name: str | None = None) -> bytes | None:
    """The filter for this machine, or None when its numbers are not known here."""
    machine = MACHINES.get(machine_name or platform.machine())
    if machine is None:
        return None
    return b"".join(struct.pack("=HBBI", *step) for step in _steps(machine))


def _steps(machine: Machine) -> list[Step]:
    steps = [_load(ARCH_AT), (EQUAL, 1, 0, machine.arch), _refuse(errno.ENOSYS), _load(NUMBER_AT)]
    if machine.foreign_from is not None:
        steps += [(AT_LEAST, 0, 1, machine.foreign_from), _refuse(errno.ENOSYS)]
    for name, rule in _rules():
        if name in machine.numbers:
            steps += [(EQUAL, 0, len(rule), machine.numbers[name]), *rule]
    return [*steps, _allow()]


def _rules() -> Iterable[tuple[str, list[Step]]]:
    """Each system call with the steps that decide it."""
    yield from ((name, [_refuse(errno.ENOSYS)]) for name in ABSENT)
    yield from ((name, [_refuse(errno.EPERM)]) for name in FORBIDDEN)
    for name in ("clone", "unshare"):
        yield name, [_argument(0), *_refuse_bits(NEW_NAMESPACES), _allow()]
    yield "socket", [_argument(0), *_allow_only(FAMILIES, errno.EAFNOSUPPORT)]
    yield "ioctl", [_argument(1), *_refuse_values(TERMINAL_INJECTION), _allow()]
    for name, at in MODE_ARGUMENT.items():
        yield name, [_argument(at), *_refuse_bits(SETUID_OR_SETGID), _allow()]
    for name, (flags_at, mode_at) in OPEN_ARGUMENTS.items():
        creating = [_argument(mode_at), *_refuse_bits(SETUID_OR_SETGID)]
        yield name, [_argument(flags_at), (ANY_BIT, 0, len(creating), CREATING), *creating, _allow()]


def _load(at: int) -> Step:
    return (LOAD, 0, 0, at)


def _argument(index: int) -> Step:
    return _load(16 + 8 * index)  # the low half: both machines are little-endian


def _refuse(number: int) -> Step:
    return (RETURN, 0, 0, REFUSE | number)


def _allow() -> Step:
    return (RETURN, 0, 0, ALLOW)


def _refuse_bits(bits: int) -> list[Step]:
    return [(ANY_BIT, 0, 1, bits), _refuse(errno.EPERM)]


def _refuse_values(values: Iterable[int]) -> list[Step]:
    return [step for value in values for step in ((EQUAL, 0, 1, value), _refuse(errno.EPERM))]


def _allow_only(values: Iterable[int], otherwise: int) -> list[Step]:
    return [step for value in values for step in ((EQUAL, 0, 1, value), _allow())] + [_refuse(otherwise)]
