"""Which guarantees hold on this machine: found out from inside a sandbox, not from what should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from posttrainbench.budget import GIB, Limits
from posttrainbench.errors import SandboxUnavailable
from posttrainbench.protocols import SandboxJob
from posttrainbench.record import Guarantee, Isolation
from posttrainbench.sandboxes.cgroups import Group
from posttrainbench.sandboxes.launch import ENVIRONMENT_VARIABLES
from posttrainbench.sandboxes.supervision import SupervisedProcess

PROBE_S = 30.0
MISSING = (
    "bubblewrap is not installed: `apt-get install bubblewrap` (Debian, Ubuntu), `dnf install bubblewrap` "
    "(Fedora, RHEL) or `pacman -S bubblewrap` (Arch); `--sandbox none` runs without isolation, and the "
    "record says so"
)
# What bubblewrap or the kernel says -> what to do. The first that fits is told.
FIXES = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor forbids user namespaces: `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or "
        "give /usr/bin/bwrap an AppArmor profile that allows `userns`",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "user namespaces are off: `sysctl -w kernel.unprivileged_userns_clone=1`",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "user namespaces are off: `sysctl -w user.max_user_namespaces=15000`",
    ),
)
IN_A_CONTAINER = (
    "this container forbids it: start it with `--security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined --security-opt systempaths=unconfined`, or with `--privileged`"
)
SCRIPT = """
fact() { echo "$1=$2"; }
while read -r key value; do
  case $key in CapEff:|CapBnd:|CapPrm:|NoNewPrivs:|Seccomp:) fact "$key" "$value"; esac
done < /proc/self/status
for path in /usr/probe /etc/probe /opt/probe /dev/probe /probe; do
  if (: > $path) 2>/dev/null; then fact wrote $path; fi; done
if chmod 666 /dev/null 2>/dev/null; then fact settable /dev/null; fi
for path in /proc/sys/kernel/core_pattern /proc/sysrq-trigger; do
  if [ -w $path ]; then fact settable $path; fi; done
while read -r name rest; do case $name in *:) fact interface "$name"; esac; done < /proc/net/dev
for path in /proc/[0-9]*; do fact process $path; done
read -r inside outside count < /proc/self/uid_map; fact mapped "$count"
fact uid "$(id -u)"
env | while IFS='=' read -r name rest; do fact variable "$name"; done
if unshare --user true 2>/dev/null; then fact nested yes; fi
fact end yes
"""
SHELL_VARIABLES = {"PWD", "OLDPWD", "SHLVL", "_", "LD_LIBRARY_PATH"}  # the shell's own, and the interpreter's


def why_it_failed(said: str) -> str:
    """One line for a person: what bubblewrap said and how to mend it."""
    said = said.splitlines()[-1] if said else "bubblewrap said nothing"
    if "Unknown option" in said:
        return f"this bubblewrap is too old ({said}); 0.6 or later is needed: update the package"
    if not any(sign in said for sign in ("namespace", "not permitted", "Permission denied")):
        return f"the sandbox could not be built: {said}"
    fix = next((text for path, value, text in FIXES if _reads(path, value)), IN_A_CONTAINER)
    return f"the sandbox could not be built ({said}); {fix}"


def probe(
    name: str,
    start: Callable[[SandboxJob, Callable[[bytes], None]], SupervisedProcess],
    host_user: int,
    dies_with_harness: str,
) -> Isolation:
    """What a trivial command finds inside the sandbox called `name`, started once.

    Args:
        host_user: whose processes those inside are, as the host sees it.
        dies_with_harness: what ends a sandbox when we are killed.

    Raises:
        SandboxUnavailable: the command could not even run.
    """
    said: list[bytes] = []
    job = SandboxJob(("/bin/sh", "-c", SCRIPT), "/", Limits(memory_bytes=GIB, pids=64))
    process = start(job, said.append)
    if process.wait(PROBE_S) is None:
        process.stop(0.0)
    facts = _facts(b"".join(said).decode(errors="replace"))
    if "end" not in facts:
        raise SandboxUnavailable(f"a trial command did not run in the sandbox: {b''.join(said)[-500:]!r}")
    guarantees = (*_seen_inside(facts, host_user), *_limits(process.group), *_promised(dies_with_harness))
    held = {guarantee.name for guarantee in guarantees if guarantee.holds}
    essential = {guarantee.name for guarantee in guarantees} - _DEGREES <= held
    # One of the two stands between a process inside and the host's root.
    return Isolation(
        name, essential and bool(held & {"own user namespace", "unprivileged host user"}), guarantees
    )


# These say how well it is isolated, not whether.
_DEGREES = {"own user namespace", "unprivileged host user", "system call filter"}


def _facts(text: str) -> Mapping[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        facts.setdefault(key.rstrip(":"), []).append(value)
    return facts


def _seen_inside(facts: Mapping[str, list[str]], host_user: int) -> tuple[Guarantee, ...]:
    wrote, settable = facts.get("wrote", []), facts.get("settable", [])
    interfaces = facts.get("interface", [])
    foreign = set(facts.get("variable", [])) - set(ENVIRONMENT_VARIABLES) - SHELL_VARIABLES
    no_caps = all(int(value, 16) == 0 for key in ("CapEff", "CapPrm", "CapBnd") for value in facts[key])
    filtered = facts["Seccomp"] == ["2"]
    return (
        Guarantee("read-only system", not wrote, f"could write {wrote}" if wrote else "read-only mounts"),
        Guarantee(
            "no kernel settings",
            not settable,
            f"can set {settable}" if settable else "/proc and devices mounted read-only",
        ),
        Guarantee("private network", interfaces == ["lo:"], f"interfaces inside: {' '.join(interfaces)}"),
        Guarantee(
            "private processes", len(facts["process"]) < 8, f"sees {len(facts['process'])} processes, its own"
        ),
        Guarantee("own user namespace", facts["mapped"] == ["1"], f"user {facts['uid'][0]} inside"),
        Guarantee(
            "unprivileged host user",
            host_user != 0,
            f"host user {host_user}"
            + ("; what it makes belongs to root: start as another user" if host_user == 0 else ""),
        ),
        Guarantee("no capabilities", no_caps, "all dropped, bounding set too"),
        Guarantee("no new privileges", facts["NoNewPrivs"] == ["1"], "no_new_privs; mounts are nosuid"),
        Guarantee("no new namespaces", "nested" not in facts, "user namespaces refused inside"),
        Guarantee("system call filter", filtered, "seccomp" if filtered else "none for this processor"),
        Guarantee(
            "environment by allow-list",
            not foreign,
            f"also has {sorted(foreign)}" if foreign else "cleared, then set",
        ),
    )


def _limits(group: Group | None) -> tuple[Guarantee, ...]:
    memory = pids = "watchdog, looks every 0.05 s"
    if group is not None:
        memory = f"control group, version {group.version}" if group.memory else memory
        pids = f"control group, version {group.version}" if group.pids else pids
    return (
        Guarantee("memory limit", True, memory),
        Guarantee("process limit", True, pids),
        Guarantee("disk limit", True, "watchdog over the watched folders; size-limited /tmp and /dev/shm"),
        Guarantee("file size, open files and core limit", True, "resource limits"),
    )


def _promised(dies_with_harness: str) -> tuple[Guarantee, ...]:
    return (
        Guarantee("dies as a whole", True, "the end of the namespace's first process ends all others"),
        Guarantee("dies with the harness", True, dies_with_harness),
    )


def _reads(path: str, value: str) -> bool:
    try:
        return Path(path).read_text().strip() == value
    except OSError:
        return False
