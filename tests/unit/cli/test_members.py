"""Which members a command gets, where it does not follow from a name alone."""

from __future__ import annotations

import pytest

from posttrainbench.cli import members
from posttrainbench.cli.members import aids_for, benchmark_named, sandbox_named
from posttrainbench.errors import SandboxUnavailable, SetupError
from posttrainbench.record import Isolation
from posttrainbench.sandboxes.unisolated import Unisolated


class Isolating(Unisolated):
    """A sandbox that says it isolates; nothing is executed in it here."""

    name = "isolating"

    def isolation(self) -> Isolation:
        return Isolation(self.name, True, ())


class Broken(Unisolated):
    """A sandbox that cannot work here."""

    def isolation(self) -> Isolation:
        raise SandboxUnavailable("install bubblewrap")


def default_is(member: type[Unisolated], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(members.SANDBOXES, "bwrap", f"{__name__}:{member.__name__}")


def test_programs_are_isolated_even_where_the_model_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    default_is(Isolating, monkeypatch)
    aids = aids_for(benchmark_named("humaneval"), sandbox_named("none"))
    assert aids is not None
    assert aids.sandbox is not None
    assert aids.sandbox.isolation().isolated


def test_where_nothing_isolates_programs_run_only_for_whoever_insists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default_is(Broken, monkeypatch)
    humaneval, none = benchmark_named("humaneval"), sandbox_named("none")
    with pytest.raises(SetupError, match=r"install bubblewrap.*PTB_UNISOLATED_PROGRAMS=yes"):
        aids_for(humaneval, none)
    monkeypatch.setenv("PTB_UNISOLATED_PROGRAMS", "yes")
    aids = aids_for(humaneval, none)
    assert aids is not None
    assert aids.sandbox is none


def test_a_benchmark_with_a_pure_rule_needs_no_sandbox_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    default_is(Broken, monkeypatch)
    assert aids_for(benchmark_named("gsm8k"), sandbox_named("none")) is None
