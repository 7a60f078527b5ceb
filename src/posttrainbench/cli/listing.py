"""`ptb list`: the agents, benchmarks, suites and models that a command can name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from rich.console import Console

from posttrainbench.errors import InvalidFile, SetupError, UnknownName
from posttrainbench.protocols import Benchmark
from posttrainbench.report.listing import Listing, listing_json, listing_table


def listing(what: str, as_json: bool) -> None:
    """Print one of the lists.

    Raises:
        UnknownName: there is no such list.
    """
    if what not in LISTINGS:
        raise UnknownName("list", what, LISTINGS)
    found = LISTINGS[what]()
    if as_json:
        print(listing_json(found), end="")  # noqa: T201 - what was asked for
    else:
        Console().print(listing_table(found))


def agents() -> Listing:
    """Ours first, then stock command lines, then what other packages offer."""
    from posttrainbench.agents.builtin import scripted_agents
    from posttrainbench.agents.scaffolds import folder_of, scaffolds

    ours = [
        (agent.name, "honest" if agent.honest else "breaks rules", agent.does) for agent in scripted_agents()
    ]
    stock = [
        (
            name,
            "installed" if folder_of(name, row.version).is_dir() else "not installed",
            f"{row.title} {row.version}; efforts: {', '.join(row.efforts) or 'its own'}",
        )
        for name, row in scaffolds().items()
    ]
    names = {name for name, _, _ in (*ours, *stock)}
    theirs = [
        (point.name, "installed", f"from {point.value}")
        for point in entry_points(group="posttrainbench.agents")
        if point.name not in names
    ]
    return Listing(("agent", "kind", "what_it_does"), (*ours, *stock, *theirs))


def benchmarks() -> Listing:
    from posttrainbench.cli.members import benchmarks as installed

    rows = tuple(
        (
            benchmark.name,
            *_sizes(benchmark),
            benchmark.hub_id,
            benchmark.data_digest[:12],
            benchmark.title,
        )
        for benchmark in installed()
    )
    columns = ("benchmark", "data", "train", "dev", "sealed", "data_set", "digest", "title")
    return Listing(columns, rows, for_scripts=("data_set", "digest"))


def _sizes(benchmark: Benchmark) -> tuple[str, int | None, int | None, int | None]:
    """Whether the data can be read here, and how many train, dev and sealed items they hold."""
    try:
        train, dev, sealed = (len(benchmark.items(split)) for split in ("train", "dev", "sealed"))
    except InvalidFile:
        return "damaged", None, None, None
    except SetupError:
        return "not imported", None, None, None
    return "ready", train, dev, sealed


def suites() -> Listing:
    from posttrainbench.suites import load_suite, suite_names

    rows = tuple(
        (
            suite.name,
            suite.version,
            len(suite.tasks()),
            suite.budget.wall_s,
            suite.rules.policy.value,
            suite.digest[:12],
            suite.title,
        )
        for suite in map(load_suite, suite_names())
    )
    columns = ("suite", "version", "tasks", "seconds", "policy", "digest", "title")
    return Listing(columns, rows)


def models() -> Listing:
    from posttrainbench.tinyworld import catalog

    bases = catalog.base_model_names()
    rows = [
        (name, _kind(name, bases, catalog.siblings_of), catalog.commit_of("models", name)[:12])
        for name in catalog.model_names()
    ]
    return Listing(("model", "kind", "commit"), tuple(rows))


def _kind(name: str, bases: tuple[str, ...], siblings_of: Callable[[str], tuple[str, ...]]) -> str:
    if name in bases:
        return "base model"
    parent = next((base for base in bases if name in siblings_of(base)), None)
    return f"sibling of {parent}" if parent else "other"


LISTINGS: dict[str, Callable[[], Listing]] = {
    "agents": agents,
    "benchmarks": benchmarks,
    "suites": suites,
    "models": models,
}
