"""The sandboxes that contract tests run on, and the program that stands for vLLM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import vllm_stand_in
from sandbox_rooms import MEMBERS, Room, open_room

DOCKER = pytest.param("docker", marks=pytest.mark.extended)  # needs a container engine


@pytest.fixture(params=[DOCKER if member == "docker" else member for member in MEMBERS])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """Every member in turn."""
    yield from open_room(request.param, tmp_path / "workspace")


@pytest.fixture(params=["bwrap", "bwrap-watchdog", DOCKER])
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """The members that isolate, in turn."""
    yield from open_room(request.param, tmp_path / "workspace")


@pytest.fixture(params=["bwrap", DOCKER])
def walled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """The members that keep a command from the host, in turn."""
    yield from open_room(request.param, tmp_path / "workspace")


@pytest.fixture
def bwrap(tmp_path: Path) -> Iterator[Room]:
    """The default."""
    yield from open_room("bwrap", tmp_path / "workspace")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, `vllm` means the stand-in."""
    monkeypatch.setenv("PATH", f"{vllm_stand_in(tmp_path / 'bin')}:{os.environ['PATH']}")
