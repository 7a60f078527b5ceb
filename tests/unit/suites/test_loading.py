"""A suite file is read whole or refused with the place and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrainbench.budget import Limits
from posttrainbench.errors import InvalidFile, UnknownName
from posttrainbench.suites import load_suite, suite_names
from posttrainbench.suites.loading import read_suite
from posttrainbench.task import Policy

GOOD = """\
name = "mine"
version = "1.0"
title = "Mine"

[[base_models]]
hub_id = "owner/one-base"

[[base_models]]
hub_id = "owner/two-base"

[[benchmarks]]
name = "maths"
weight = 0.25

[[benchmarks]]
name = "tools"
weight = 0.75

[budget]
wall_s = 60
"""


def references(pairs: dict[tuple[str, str], float]) -> str:
    return "".join(
        f'\n[[references]]\nkind = "{kind}"\nbase_model = "owner/{model}-base"\nbenchmark = "{benchmark}"\n'
        f'mean = {mean}\nsource = "made by hand"\n'
        for (kind, benchmark), mean in pairs.items()
        for model in ("one", "two")
    )


SCORES = references(
    {("base", "maths"): 0.1, ("base", "tools"): 0.2, ("instruct", "maths"): 0.6, ("instruct", "tools"): 0.3}
)
UNWEIGHTED = GOOD.replace("weight = 0.25\n", "").replace("weight = 0.75\n", "")


def complaint(text: str, known: tuple[str, ...] | None = None) -> str:
    with pytest.raises(InvalidFile) as caught:
        read_suite(text, "mine.toml", known)
    assert "\n" not in str(caught.value), "a complaint is one line"
    return str(caught.value)


def test_what_a_file_leaves_out_has_the_nouns_defaults() -> None:
    suite = read_suite(GOOD, "mine.toml")
    assert suite.limits == Limits()
    assert suite.rules.policy is Policy.PAPER
    assert suite.rules.query_split == "dev"
    assert suite.rules.tolerated_items == 3
    assert [model.revision for model in suite.base_models] == ["main", "main"]
    assert suite.references == ()
    assert len(suite.tasks()) == 4


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "weight = 0.25",
            "weigth = 0.25",
            "mine.toml:13: benchmarks[0].weigth: unknown key; did you mean 'weight'?",
        ),
        (
            "wall_s = 60",
            "wall_h = 60",
            "mine.toml:20: budget.wall_h: unknown key; did you mean 'wall_s'? (and 1 more)",
        ),
        ("wall_s = 60", 'wall_s = "60"', "mine.toml:20: budget.wall_s: should be a valid number, not '60'"),
        ("wall_s = 60", "wall_s = true", "mine.toml:20: budget.wall_s: should be a valid number, not true"),
        ("wall_s = 60", "wall_s = nan", "mine.toml:20: budget.wall_s: should be"),
        ("wall_s = 60", "wall_s = -1", "mine.toml:20: budget.wall_s: should be greater than 0, not -1"),
        (
            "weight = 0.25",
            "weight = 0.5",
            "mine.toml:13: benchmarks[0].weight: the weights sum to 1.25, not 1",
        ),
        ("weight = 0.25\n", "", "mine.toml:11: benchmarks[0].weight: missing: give all weights or none"),
        ('"tools"', '"maths"', "mine.toml:16: benchmarks[1].name: 'maths' is there twice"),
        ("owner/two-base", "other/one-base", "mine.toml:9: base_models[1].hub_id: 'one-base' is there twice"),
        ("owner/two-base", "../two", "mine.toml:9: base_models[1].hub_id: should match pattern"),
        ('version = "1.0"', "version = 1.0", "mine.toml:2: version: should be a valid string, not 1.0"),
        ('name = "mine"\n', "", "mine.toml:1: name: missing"),
        (
            "[budget]",
            "[limits]\npids = 0\n[budget]",
            "mine.toml:20: limits.pids: should be greater than 0, not 0",
        ),
        ("[budget]", "[budgte]", "mine.toml:19: budgte: unknown key; did you mean 'budget'? (and 1 more)"),
        (
            "[budget]",
            '[rules]\npolicy = "opne"\n[budget]',
            "mine.toml:20: rules.policy: should be 'open', 'paper' or 'strict', not 'opne'",
        ),
        (
            "[budget]",
            '[rules]\npolicy = "strict"\nquery_split = "test"\n[budget]',
            "mine.toml:21: rules.query_split: under 'strict' the final score comes from items that nobody",
        ),
        (
            "[budget]",
            '[rules]\nrequired_checks = [\n "lineage",\n "overlaps",\n]\n[budget]',
            "mine.toml:22: rules.required_checks[1]: no check 'overlaps'; did you mean 'overlap'?",
        ),
        (
            'two-base"',
            'two-base"\nchat_template = "qwen4"',
            "mine.toml:10: base_models[1].chat_template: no chat template 'qwen4'; known: qwen3, ",
        ),
        (
            'two-base"',
            'two-base"\nchat_template = "gone.jinja"',
            "mine.toml:10: base_models[1].chat_template: cannot read 'gone.jinja'",
        ),
        ("[budget]", "[budget", "mine.toml:19: "),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_the_fix(old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert complaint(GOOD.replace(old, new)).startswith(expected)


def test_a_benchmark_that_is_not_installed_is_refused_with_the_nearest() -> None:
    text = complaint(GOOD, known=("maths", "toolz"))
    assert (
        text == "mine.toml:16: benchmarks[1].name: no benchmark 'tools' is installed; did you mean 'toolz'?"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "one-base",
            "noe-base",
            "'owner/noe-base' is no base model of this suite; did you mean 'owner/one-base'?",
        ),
        ('"maths"', '"math"', "'math' is no benchmark of this suite; did you mean 'maths'?"),
        ("two-base", "one-base", "a second 'base' score of one cell"),
        ("mean = 0.1", "mean = 61.0", "should be less than or equal to 1, not 61.0"),
        ('source = "made by hand"', 'source = ""', "should have at least 1 character"),
    ],
)
def test_a_wrong_reference_is_refused(old: str, new: str, expected: str) -> None:
    assert old in SCORES
    assert expected in complaint(GOOD + SCORES.replace(old, new, 1))


def test_weights_that_are_left_out_follow_from_the_headroom() -> None:
    weights = {b.name: b.weight for b in read_suite(UNWEIGHTED + SCORES, "mine.toml").benchmarks}
    assert weights == pytest.approx({"maths": 2 / 12, "tools": 10 / 12})


def test_weights_cannot_follow_from_references_that_are_not_there() -> None:
    assert "mine.toml:11: benchmarks[0].weight: missing, and it cannot follow" in complaint(UNWEIGHTED)


def test_weights_cannot_follow_where_nothing_is_to_be_gained() -> None:
    flat = SCORES.replace("mean = 0.3", "mean = 0.2")
    assert "tools: the instruct models do not score above the base models" in complaint(UNWEIGHTED + flat)


def test_comments_and_layout_do_not_change_the_digest_and_content_does() -> None:
    digest = read_suite(GOOD, "a").digest
    assert read_suite("# a comment\n" + GOOD.replace(" = ", "   =  "), "b").digest == digest
    assert read_suite(GOOD.replace("60", "61"), "c").digest != digest


def test_under_strict_agents_query_the_dev_split_whatever_the_suite_says() -> None:
    suite = read_suite(GOOD.replace("[budget]", '[rules]\nquery_split = "test"\n[budget]'), "mine.toml")
    assert suite.varied(policy=Policy.PAPER).rules.query_split == "test"
    assert suite.varied(policy=Policy.STRICT).rules.query_split == "dev"


def test_every_suite_that_comes_with_the_package_is_valid_and_bears_its_files_name() -> None:
    assert "tiny" in suite_names()
    for name in suite_names():
        suite = load_suite(name)
        assert suite.name == name
        assert sum(benchmark.weight for benchmark in suite.benchmarks) == pytest.approx(1.0, abs=1e-5)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tiny'"):
        load_suite("tinny")


def test_a_path_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert load_suite(str(file)) == load_suite(file)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", "folder"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | str | None) -> None:
    file = tmp_path / "mine.toml"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content:
        file.mkdir()
    with pytest.raises(InvalidFile, match=r"mine\.toml"):
        load_suite(file)


def test_a_base_models_chat_template_is_a_familys_or_a_file_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ messages }}")
    file = tmp_path / "mine.toml"
    text = GOOD.replace('one-base"', 'one-base"\nchat_template = "gemma3"')
    file.write_text(text.replace('two-base"', 'two-base"\nchat_template = "own.jinja"'))
    suite = load_suite(file)
    assert [model.chat_template for model in suite.base_models] == ["gemma3", "{{ messages }}"]
    (tmp_path / "own.jinja").write_text("{{ bos_token }}{{ messages }}")
    assert load_suite(file).digest != suite.digest, "another prompt is another suite"
