"""The house keeps its shape: no room imports a floor above its own, and no plural its sibling."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "posttrainbench"
DISCIPLINES = {"scoring", "auditing", "ranking", "transcribing"}
PLURALS = {"agents", "sandboxes", "gateways", "engines", "benchmarks", "schedulers", "judges", "stores"}
PLURALS |= {"graders", "llms"}
PLURALS |= {"tinyworld", "datasets", "suites", "templates"}  # data with a reader each
DATA = {"tinyworld", "datasets", "templates"}  # which their siblings may read
VERBS = {"flows"}
SURFACES = {"cli", "report"}
# Programs that run inside a sandbox, or under a Python of their own: never imported here.
PROGRAMS = (
    PACKAGE / "agents" / "scripted",
    PACKAGE / "agents" / "redteam" / "programs",
    PACKAGE / "agents" / "redteam" / "range",
    PACKAGE / "workspace",
    PACKAGE / "gateways" / "relay.py",
    PACKAGE / "gateways" / "interceptor_program.py",
    PACKAGE / "benchmarks" / "trial_program.py",
)
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "base"}
EFFECTS = {"os", "pathlib", "subprocess", "socket", "shutil", "tempfile", "time", "random", "threading"}


def floor(room: str) -> int:
    """The floor of a room; files at the top of the package are nouns, on floor 0."""
    for level, rooms in ((1, DISCIPLINES), (2, PLURALS), (3, VERBS), (4, SURFACES)):
        if room in rooms:
            return level
    return 0


def is_program(path: Path) -> bool:
    return any(path == program or program in path.parents for program in PROGRAMS)


def sources() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if not is_program(path)]


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, local imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    ours = [name.split(".") for name in imports(path) if name.startswith("posttrainbench.")]
    return {parts[1] for parts in ours}


def breaks_the_floors(room: str, imported: str) -> bool:
    if imported in (room, "__version__"):
        return False
    if floor(room) == 2 and floor(imported) == 2:
        return imported not in DATA
    return floor(imported) > floor(room) or (floor(room) == floor(imported) == 1)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_its_own_floor_or_below(path: Path) -> None:
    room = room_of(path)
    wrong = [imported for imported in rooms_imported(path) if breaks_the_floors(room, imported)]
    assert not wrong, f"{room} (floor {floor(room)}) imports {wrong}"


def test_the_rule_can_fail() -> None:
    assert breaks_the_floors("record", "auditing")
    assert breaks_the_floors("auditing", "stores")
    assert breaks_the_floors("auditing", "scoring")
    assert breaks_the_floors("sandboxes", "gateways")
    assert breaks_the_floors("stores", "flows")
    assert breaks_the_floors("flows", "cli")
    assert not breaks_the_floors("cli", "flows")
    assert not breaks_the_floors("flows", "stores")


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nouns_and_disciplines_touch_no_world(path: Path) -> None:
    if floor(room_of(path)) > 1:
        return
    allowed = {"pathlib"} if room_of(path) in ("layout", "protocols") else set()
    touched = {name.split(".")[0] for name in imports(path)} & EFFECTS - allowed
    assert not touched, f"{path.name} is pure, yet imports {touched}"


def test_no_name_that_explains_nothing() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in VAGUE]


def test_programs_for_the_sandbox_never_import_us() -> None:
    programs = [path for path in PACKAGE.rglob("*.py") if is_program(path)]
    assert programs
    for path in programs:
        assert not rooms_imported(path), f"{path} runs where our package is not"


def test_flows_are_handed_their_members() -> None:
    """Only `cli` picks a sandbox, an engine, an agent or a benchmark by name."""
    picked_by_name = PLURALS - {"stores"}
    for path in sources():
        if room_of(path) == "flows":
            assert not rooms_imported(path) & picked_by_name, path
