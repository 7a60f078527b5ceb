"""The same system calls refused by a container engine: seccomp.py's tables in the form that engines read.

Covered: what seccomp.py covers. Not covered: the rest of an engine's default list, which this one replaces;
dropped capabilities refuse those calls.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from posttrainbench.sandboxes.seccomp import (
    ABSENT,
    CREATING,
    FAMILIES,
    FORBIDDEN,
    MODE_ARGUMENT,
    NEW_NAMESPACES,
    OPEN_ARGUMENTS,
    SETUID_OR_SETGID,
    TERMINAL_INJECTION,
)

ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
LOW_HALF = 0xFFFFFFFF
Rule = Mapping[str, object]
Condition = Mapping[str, object]


def seccomp_profile() -> str:
    """The filter as a JSON document. Calls of a second numbering (32-bit, x32) are refused by the engine."""
    whole = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": list(ARCHITECTURES),
        "syscalls": list(_rules()),
    }
    return json.dumps(whole, indent=1)


def _rules() -> Iterator[Rule]:
    yield _refuse(ABSENT, errno.ENOSYS)
    yield _refuse(FORBIDDEN, errno.EPERM)
    for bit in _bits(NEW_NAMESPACES):
        yield _refuse(("clone", "unshare"), errno.EPERM, _has(0, bit))
    yield _refuse(("socket",), errno.EAFNOSUPPORT, _above(0, max(FAMILIES)))
    for family in set(range(max(FAMILIES))) - set(FAMILIES):
        yield _refuse(("socket",), errno.EAFNOSUPPORT, _equals(0, family))
    for value in TERMINAL_INJECTION:
        yield _refuse(("ioctl",), errno.EPERM, _equals(1, value))
    for (name, at), bit in product(MODE_ARGUMENT.items(), _bits(SETUID_OR_SETGID)):
        yield _refuse((name,), errno.EPERM, _has(at, bit))
    for name, (flags_at, mode_at) in OPEN_ARGUMENTS.items():
        for flag, bit in product(_bits(CREATING), _bits(SETUID_OR_SETGID)):
            yield _refuse((name,), errno.EPERM, _has(flags_at, flag), _has(mode_at, bit))


def _refuse(names: Iterable[str], number: int, *conditions: Condition) -> Rule:
    """A rule that holds when all its conditions do."""
    return {
        "names": list(names),
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": number,
        "args": list(conditions),
    }


def _bits(mask: int) -> Iterator[int]:
    return (1 << place for place in range(mask.bit_length()) if mask >> place & 1)


def _has(index: int, bit: int) -> Condition:
    return {"index": index, "value": bit, "valueTwo": bit, "op": "SCMP_CMP_MASKED_EQ"}


def _equals(index: int, value: int) -> Condition:
    return {"index": index, "value": LOW_HALF, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _above(index: int, value: int) -> Condition:
    return {"index": index, "value": value, "op": "SCMP_CMP_GT"}
