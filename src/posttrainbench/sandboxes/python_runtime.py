"""What to show inside a sandbox so that `python` works there without any path of the host.

The interpreter appears at /opt/python (a system Python stays at /usr), our environment's packages at
/opt/venv. Our own package stays out: test items and instruct weights lie in its data.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import posttrainbench
from posttrainbench.protocols import Mount

INTERPRETER = "/opt/python"
ENVIRONMENT = "/opt/venv"
PACKAGE = "/opt/ptb"
SHARED_LIBRARIES = f"{ENVIRONMENT}/shared"
ENTRY_POINT_GROUP = "[posttrainbench."  # third-party benchmarks hold test items too

# Scripts of the host start with the host's path of its interpreter: these do the same without it.
CONSOLE = """#!/opt/venv/bin/python
import importlib.metadata, pathlib, sys
name = pathlib.Path(sys.argv[0]).name
found = list(importlib.metadata.entry_points(group="console_scripts", name=name))
sys.exit(found[0].load()() if found else f"{name}: its package is not shown in this sandbox")
"""


@dataclass(frozen=True, slots=True)
class PythonRuntime:
    """All that makes `python` work inside. Paths are paths inside, but for the hosts of mounts."""

    mounts: tuple[Mount, ...]
    files: tuple[tuple[str, str], ...]  # path, text
    links: tuple[tuple[str, str], ...]  # path, target
    hidden: tuple[Mount, ...]  # what must not be seen, by where it lies on the host and where it would appear
    package: Mount  # our own package, for the evaluator alone
    library_folders: tuple[str, ...]  # inside; to be put on the loader's way


def python_runtime() -> PythonRuntime:
    """The runtime of the interpreter that runs us: venv or none, pyenv, uv or system Python."""
    base = Path(sys.base_prefix).resolve()
    inside_base = _inside_base(base)
    shown = _shown_folders(base, inside_base)
    binaries = Path(sysconfig.get_path("scripts"))
    package = Path(posttrainbench.__file__).resolve().parent
    return PythonRuntime(
        mounts=(*shown, *_native_programs(binaries)),
        files=(
            (f"{ENVIRONMENT}/pyvenv.cfg", _pyvenv_cfg(inside_base)),
            (f"{ENVIRONMENT}/bin/.console", CONSOLE),
        ),
        links=(
            *_interpreter_links(inside_base),
            *_script_links(binaries),
            *_library_links(base, inside_base),
        ),
        hidden=tuple(_hidden(base, inside_base, shown, package)),
        package=Mount(package, f"{PACKAGE}/{package.name}"),
        library_folders=() if _moved_library(base) is None else (SHARED_LIBRARIES,),
    )


def _version() -> str:
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _in_usr(path: Path) -> bool:
    return Path("/usr") in (path, *path.parents)


def _inside_base(base: Path) -> str:
    return str(base) if _in_usr(base) else INTERPRETER


def _in_venv() -> bool:
    return sys.prefix != sys.base_prefix


def _shown_folders(base: Path, inside_base: str) -> tuple[Mount, ...]:
    """The interpreter, unless /usr holds it, and the packages that a venv or a user has beside it."""
    interpreter = () if inside_base == str(base) else (Mount(base, inside_base),)
    packages = Path(sysconfig.get_path("purelib") if _in_venv() else site.getusersitepackages())
    wanted = _in_venv() or (site.ENABLE_USER_SITE and packages.is_dir())
    inside = f"{ENVIRONMENT}/lib/{_version()}/site-packages"
    return (*interpreter, Mount(packages.resolve(), inside)) if wanted else interpreter


def _pyvenv_cfg(inside_base: str) -> str:
    """A venv's marker. Without a venv of ours, the interpreter's own packages are the packages."""
    own = Path(sys.prefix) / "pyvenv.cfg"
    text = own.read_text().lower() if _in_venv() and own.is_file() else ""
    system = not _in_venv() or "include-system-site-packages = true" in text
    return f"home = {inside_base}/bin\ninclude-system-site-packages = {str(system).lower()}\n"


def _interpreter_links(inside_base: str) -> Iterator[tuple[str, str]]:
    for name in ("python", "python3", _version()):
        yield f"{ENVIRONMENT}/bin/{name}", f"{inside_base}/bin/{_version()}"
    yield f"{ENVIRONMENT}/lib64", "lib"


def _starts_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _programs(binaries: Path, magic: bytes) -> Iterator[Path]:
    """The programs of a bin folder that start with `magic`, but for interpreters and for ourselves."""
    if _in_usr(binaries):
        return
    for path in sorted(binaries.iterdir()):
        if not path.name.startswith(("python", "activate", "Activate", "ptb")) and _starts_with(path, magic):
            yield path


def _script_links(binaries: Path) -> Iterator[tuple[str, str]]:
    for path in _programs(binaries, b"#!"):
        yield f"{ENVIRONMENT}/bin/{path.name}", ".console"


def _native_programs(binaries: Path) -> Iterator[Mount]:
    for path in _programs(binaries, b"\x7fELF"):
        yield Mount(path.resolve(), f"{ENVIRONMENT}/bin/{path.name}")


def _moved_library(base: Path) -> str | None:
    """The name of libpython when the interpreter looks for it by a host path that is not there inside."""
    name = sysconfig.get_config_var("INSTSONAME")
    shared = bool(sysconfig.get_config_var("Py_ENABLE_SHARED")) and not _in_usr(base)
    return str(name) if shared and name and (base / "lib" / str(name)).exists() else None


def _library_links(base: Path, inside_base: str) -> Iterator[tuple[str, str]]:
    """libpython alone: all of its folder on the search path would change what system programs load."""
    name = _moved_library(base)
    if name is not None:
        yield f"{SHARED_LIBRARIES}/{name}", f"{inside_base}/lib/{name}"


def _hidden(base: Path, inside_base: str, shown: tuple[Mount, ...], package: Path) -> Iterator[Mount]:
    """What of ourselves, and of packages that extend us, lies in any folder of packages that is shown."""
    trees = {Mount(base, inside_base), Mount(Path("/usr"), "/usr"), Mount(Path("/usr/local"), "/usr/local")}
    folders = {mount for mount in shown if mount.inside.startswith(ENVIRONMENT)}
    folders |= {Mount(found, _moved(found, tree)) for tree in trees for found in _package_folders(tree.host)}
    named = {Mount(path, _moved(path, folder)) for folder in folders for path in ours_in(folder.host)}
    for tree in {*shown, *trees}:
        if tree.host in package.parents:
            named.add(Mount(package, _moved(package, tree)))
    yield from sorted(named, key=lambda mount: mount.inside)


def _moved(path: Path, tree: Mount) -> str:
    return f"{tree.inside}/{path.relative_to(tree.host)}"


def _package_folders(prefix: Path) -> Iterator[Path]:
    for library in ("lib", "lib64"):
        if (prefix / library).is_symlink():
            continue
        for kind in ("site-packages", "dist-packages"):
            yield from (prefix / library).glob(f"python3*/{kind}")


def ours_in(packages: Path) -> Iterator[Path]:
    """What lies in a folder of packages of ourselves, and of packages that extend us."""
    yield from packages.glob("*posttrainbench*")
    for entry_points in packages.glob("*.dist-info/entry_points.txt"):
        if ENTRY_POINT_GROUP in entry_points.read_text(errors="replace"):
            yield from _installed_by(entry_points.parent)


def _installed_by(metadata: Path) -> Iterator[Path]:
    """The top of everything that a distribution put beside its metadata."""
    record = metadata / "RECORD"
    lines = record.read_text(errors="replace").splitlines() if record.is_file() else []
    names = {line.split(",")[0].split("/")[0] for line in lines} - {"..", "", "__pycache__"}
    yield from (path for name in sorted(names) if (path := metadata.parent / name).exists())
