"""The overlap service, asked as an agent asks: it helps who screens his data, and is no oracle."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from small_world import World, make_hub, open_world

from posttrainbench.auditing.passages import build_index
from posttrainbench.flows.prepare import TEMPLATES
from posttrainbench.flows.screen import Screen
from posttrainbench.gateways import overlap_checks
from posttrainbench.gateways.overlap_checks import PLACES_PER_FILE
from posttrainbench.layout import AttemptLayout
from posttrainbench.protocols import OverlapAnswer, TestItem
from posttrainbench.task import Policy

OBJECTS = ["lanterns", "kettles", "saddles", "anvils", "feathers", "ropes", "candles", "barrels", "mirrors"]
PEOPLE = ["Orla", "Tomas", "Wenda", "Piet", "Sunniva", "Bram", "Elke", "Joris", "Maud", "Casper"]


def item(number: int) -> TestItem:
    who, what = PEOPLE[number % 10], OBJECTS[number // 10 % 9]
    question = (
        f"On market day {number} in the harbour town, {who} sold {number + 17} {what} before noon, lent "
        f"{number + 3} more to ferryman {number * 7} and traded the rest; how many {what} were sold?"
    )
    return TestItem(f"item-{number}", question, f"{who} sold {number + 17}.", str(number + 17))


ITEMS = tuple(item(number) for number in range(60))
HONEST = [f"A sentence about the weather on day {number}, and nothing else." for number in range(200)]


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptLayout:
    made = AttemptLayout(tmp_path / "1")
    made.workspace.mkdir(parents=True)
    (made.workspace / "check_overlap.py").write_text((TEMPLATES / "check_overlap.py").read_text())
    return made


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


Opened = Callable[[], AbstractContextManager[World]]


@pytest.fixture
def opened(hub: Path, attempt: AttemptLayout) -> Opened:
    screen = Screen(attempt, lambda: build_index(ITEMS, ()))
    return lambda: open_world(Policy.PAPER, hub, check_overlap=screen.check)


def write(attempt: AttemptLayout, name: str, lines: list[str]) -> None:
    rows = (json.dumps({"text": line}) for line in lines)
    (attempt.workspace / name).write_text("".join(f"{row}\n" for row in rows))


def asked(world: World, attempt: AttemptLayout, *words: str, home: Path) -> tuple[int, str]:
    done = world.run(sys.executable, "check_overlap.py", *words, home=home, cwd=attempt.workspace)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_a_file_is_flagged_at_the_lines_that_hold_items(
    opened: Opened, attempt: AttemptLayout, tmp_path: Path
) -> None:
    write(attempt, "clean.jsonl", HONEST)
    write(attempt, "mixed.jsonl", [*HONEST[:4], ITEMS[7].question, *HONEST[4:9], ITEMS[31].question])
    with opened() as world:
        status, told = asked(world, attempt, "clean.jsonl", "mixed.jsonl", home=tmp_path)
        checks = [data for kind, data in world.entries if kind == "overlap_check"]
    assert status == 1
    assert told.splitlines() == [
        "clean.jsonl: no test items found",
        "mixed.jsonl: test items at line 5, line 11; leave them out",
    ]
    assert [(check["path"], check["flagged"], check["items"]) for check in checks] == [
        ("clean.jsonl", False, 0),
        ("mixed.jsonl", True, 2),
    ]
    assert all(len(check["sha256"]) == 64 for check in checks)


def test_nothing_of_an_item_is_told(opened: Opened, attempt: AttemptLayout, tmp_path: Path) -> None:
    write(attempt, "copy.jsonl", [*HONEST[:3], ITEMS[7].question])
    with opened() as world:
        _, told = asked(world, attempt, "--json", "copy.jsonl", home=tmp_path)
    answer = json.loads(told)
    assert (answer["flagged"], answer["places"]) == (True, ["line 4"])
    assert set(answer) == {"file", "flagged", "places", "more", "checks_left", "error"}
    words = {word for word in ITEMS[7].question.split() if len(word) > 4}
    assert not [word for word in (*words, "item-7") if word in told]


def test_places_are_few_for_each_file_and_in_all(
    opened: Opened, attempt: AttemptLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap_checks, "PLACES", PLACES_PER_FILE + 2)
    write(attempt, "copy.jsonl", [one.question for one in ITEMS])
    with opened() as world:
        told = [json.loads(asked(world, attempt, "--json", "copy.jsonl", home=tmp_path)[1]) for _ in range(3)]
    assert [len(answer["places"]) for answer in told] == [PLACES_PER_FILE, 2, 0]
    assert [(answer["flagged"], answer["more"]) for answer in told] == [(True, True)] * 3


def test_checks_are_used_up_by_answers_alone(
    opened: Opened, attempt: AttemptLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlap_checks, "FILES", 2)
    write(attempt, "clean.jsonl", HONEST)
    with opened() as world:
        for name in ("clean.jsonl", "../1/owner.json", "absent.jsonl", "clean.jsonl", "clean.jsonl"):
            status, told = asked(world, attempt, name, home=tmp_path)
    assert status == 2
    assert "all 2 checks that a run allows are used up" in told


def test_a_path_that_leads_out_of_the_workspace_is_not_read(attempt: AttemptLayout) -> None:
    (attempt.root / "secret.txt").write_text(ITEMS[3].question)
    (attempt.workspace / "link.txt").symlink_to(attempt.root / "secret.txt")
    (attempt.workspace / "folder").mkdir()
    screen = Screen(attempt, lambda: build_index(ITEMS, ()))
    for path in ("link.txt", "folder", "absent"):
        answer = screen.check(path)
        assert (answer.flagged, answer.sha256) == (None, None)
        assert answer.error


def test_a_file_that_is_too_large_or_cannot_be_read_was_not_checked(
    attempt: AttemptLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    from posttrainbench.flows import screen

    monkeypatch.setattr(screen, "FILE_BYTES", 1000)
    (attempt.workspace / "large.txt").write_text("x" * 2000)
    (attempt.workspace / "broken.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    for name in ("large.txt", "broken.gz"):
        answer = Screen(attempt, lambda: build_index(ITEMS, ())).check(name)
        assert answer.flagged is None and answer.error


def test_a_check_that_breaks_takes_no_run_down_and_is_on_the_ledger(hub: Path, tmp_path: Path) -> None:
    def broken(_: str) -> OverlapAnswer:
        raise ValueError("of our own")

    body = b'{"path": "data.jsonl"}'
    with open_world(Policy.PAPER, hub, check_overlap=broken) as world:
        reply = world.send(b"POST /overlap HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        (check,) = (data for kind, data in world.entries if kind == "overlap_check")
    assert b"failed on our side" in reply and b"of our own" not in reply
    assert "of our own" in check["error"]
    with open_world(Policy.PAPER, hub) as world:
        assert (
            b" 404 " in world.send(b"POST /overlap HTTP/1.1\r\nContent-Length: 0\r\n\r\n").split(b"\r\n")[0]
        )
