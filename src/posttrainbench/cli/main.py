"""`ptb`: every verb, its arguments and its help. What a verb does is imported when it is called."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

from posttrainbench import __version__
from posttrainbench.errors import PtbError, SetupError

app = typer.Typer(
    name="ptb",
    help="PostTrainBench: can AI agents post-train language models, and can the number be trusted?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunDir = Annotated[Path, typer.Argument(help="A run directory.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
JudgeName = Annotated[
    str | None,
    typer.Option(
        help="Who judges the run: api, command, a scaffold, or scripted (rules, no LLM); default $PTB_JUDGE."
    ),
]
JudgeModel = Annotated[str | None, typer.Option(help="The judge's LLM, if not $PTB_JUDGE_MODEL.")]
SandboxName = Annotated[
    str, typer.Option(help="Where agents run: bwrap, docker, or none (no isolation at all).")
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the runs go.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per agent and task.")] = 1,
    seconds: Annotated[float, typer.Option(min=5, help="Each agent's budget.")] = 25.0,
    policy: Annotated[str, typer.Option(help="open, paper or strict.")] = "open",
    agents: Annotated[str, typer.Option(help="Only these agents, with commas.")] = "",
    parallel: Annotated[int, typer.Option(min=0, help="Runs side by side; 0: one per core.")] = 0,
    sandbox: SandboxName = "bwrap",
    as_json: Json = False,
) -> None:
    """Run the embedded benchmark for real: honest agents and cheats, then the leaderboard."""
    from posttrainbench.cli.demo import demo as verb

    verb(out, seeds, seconds, policy, tuple(filter(None, agents.split(","))), parallel, sandbox, as_json)


@app.command()
def run(
    run_dir: Annotated[Path | None, typer.Argument(help="Continue this run directory.")] = None,
    agent: Annotated[str | None, typer.Option(help="See `ptb list agents`; default recipe-sft.")] = None,
    command: Annotated[
        str | None, typer.Option(help="Instead of --agent: a shell command, run in the workspace.")
    ] = None,
    model: Annotated[str, typer.Option(help="Base model; see `ptb list models`.")] = "tiny-qwen3-base",
    benchmark: Annotated[str, typer.Option(help="See `ptb list benchmarks`.")] = "tiny_math",
    suite: Annotated[
        str | None,
        typer.Option(help="A suite's name or TOML file; default: the newest that has model and benchmark."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    hours: Annotated[float | None, typer.Option(min=0.001, help="Budget, if not the suite's.")] = None,
    seconds: Annotated[float | None, typer.Option(min=5, help="The same, in seconds.")] = None,
    usd: Annotated[
        float | None, typer.Option(min=0.01, help="Budget of its model calls, if not the suite's.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="open, paper or strict, if not the suite's.")] = None,
    sandbox: SandboxName = "bwrap",
    engine: Annotated[
        str | None,
        typer.Option(help="What runs models: transformers or vllm; default: what suits the machine."),
    ] = None,
    agent_model: Annotated[str | None, typer.Option(help="The LLM that drives a scaffold.")] = None,
    effort: Annotated[
        str | None, typer.Option(help="Its reasoning effort, where the scaffold has any.")
    ] = None,
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    out: Annotated[Path, typer.Option(help="Where run directories go.")] = Path("runs"),
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would happen, and what is missing for it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one agent on one task with one seed; the same command again continues where it stopped."""
    from posttrainbench.cli.run import Asked
    from posttrainbench.cli.run import run as verb

    if hours is not None and seconds is not None:
        raise SetupError("give --hours or --seconds, not both")
    wall_s = hours * 3600 if hours is not None else seconds
    asked = Asked(
        run_dir,
        agent,
        command,
        model,
        benchmark,
        suite,
        seed,
        wall_s,
        policy,
        sandbox,
        out,
        engine,
        agent_model,
        effort,
        usd,
        judge,
        judge_model,
    )
    if plan:
        from posttrainbench.cli.plan import plan as say_what_would_happen

        say_what_would_happen(asked, as_json)
    else:
        verb(asked, as_json)


agents_app = typer.Typer(help="Scaffolds: the command lines that people use as agents.", no_args_is_help=True)
app.add_typer(agents_app, name="agents")


@agents_app.command("install")
def agents_install(
    name: Annotated[str, typer.Argument(help="claude-code, codex, gemini-cli, opencode or mini-swe-agent.")],
    version: Annotated[str | None, typer.Option(help="Another version than the one we tried.")] = None,
) -> None:
    """Fetch a scaffold into a folder of its own, which sandboxes are shown read-only."""
    from posttrainbench.agents.scaffolds import install

    typer.echo(f"installed: {install(name, version)}")


@app.command()
def evaluate(
    run_dir: Annotated[Path | None, typer.Argument(help="A run, to evaluate its model again.")] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Instead of a run: a benchmark (`ptb list benchmarks`); for openai more, with commas."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model's folder on this machine; with --engine openai, its name.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="What runs the model: transformers, vllm, or openai (any compatible server).")
    ] = "transformers",
    base_url: Annotated[str | None, typer.Option(help="The server, if not PTB_ENGINE_BASE_URL.")] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, help="Requests that the server gets at once; default 256.")
    ] = None,
    split: Annotated[str, typer.Option(help="test, dev, sealed or train.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many items.")] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(help="qwen3, gemma3, smollm3, llama3 or a Jinja file; default: the model's own."),
    ] = None,
    grader: Annotated[str | None, typer.Option(help="The grader's model, if not PTB_GRADER_MODEL.")] = None,
    grader_url: Annotated[str | None, typer.Option(help="Its endpoint, if not PTB_GRADER_BASE_URL.")] = None,
    sandbox: SandboxName = "bwrap",
    out: Annotated[Path, typer.Option(help="Where evaluations go.")] = Path("evaluations"),
    as_json: Json = False,
) -> None:
    """Evaluate a model of yours on a benchmark; or a run's admitted model again, beside its old record."""
    if run_dir is not None:
        if benchmark is not None or model is not None:
            raise SetupError("give a run, or --benchmark and --model, not both")
        from posttrainbench.cli.run import again

        again(run_dir, "evaluate", as_json)
        return
    if benchmark is None or model is None:
        raise SetupError("give a run directory, or --benchmark NAME and --model DIR")
    from posttrainbench.cli.evaluate import Asked
    from posttrainbench.cli.evaluate import evaluate as verb

    asked = Asked(
        benchmark=benchmark,
        model=model,
        engine=engine,
        split=split,
        limit=limit,
        chat_template=chat_template,
        grader=grader,
        grader_url=grader_url,
        sandbox=sandbox,
        out=out,
        base_url=base_url,
        in_flight=in_flight,
    )
    verb(asked, as_json)


@app.command()
def baseline(
    suite: Annotated[str, typer.Option(help="A suite's name or TOML file.")] = "tiny",
    kind: Annotated[list[str] | None, typer.Option(help="Only: base, few_shot or instruct.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only these base models.")] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="Only these benchmarks.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per cell.")] = 1,
    sandbox: SandboxName = "bwrap",
    out: Annotated[Path, typer.Option(help="Where the runs go.")] = Path("runs/baselines"),
    write: Annotated[Path | None, typer.Option(help="Write reference rows for a suite: TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Measure what the suite's base and instruct models score without any agent."""
    from posttrainbench.cli.baseline import Asked
    from posttrainbench.cli.baseline import baseline as verb

    chosen = (tuple(kind or ()), tuple(model or ()), tuple(benchmark or ()))
    verb(Asked(suite, *chosen, seeds, sandbox, out, write), as_json)


@app.command()
def audit(
    run_dir: RunDir,
    explain: Annotated[
        bool, typer.Option("--explain", help="Do not audit: say why the verdict is what it is.")
    ] = False,
    dispute: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Do not audit: keep a signed note of why the verdict is wrong."),
    ] = None,
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    as_json: Json = False,
) -> None:
    """Audit a run again, by today's checks or another judge; the new record stands beside the old one."""
    if dispute is not None:
        from posttrainbench.cli.dispute import dispute as note

        note(run_dir, dispute)
        return
    if explain:
        from posttrainbench.cli.explain import explain as verb

        verb(run_dir, as_json)
        return
    from posttrainbench.cli.run import again

    again(run_dir, "audit", as_json, judge, judge_model)


judge_app = typer.Typer(help="Judges: who says whether a run kept the rules.", no_args_is_help=True)
app.add_typer(judge_app, name="judge")


@judge_app.command("calibrate")
def judge_calibrate(
    runs: Annotated[Path, typer.Argument(help="What `ptb redteam --out` made.")],
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many cases.")] = None,
    out: Annotated[Path, typer.Option(help="Where questions and answers go.")] = Path("calibration"),
    as_json: Json = False,
) -> None:
    """Have a judge read the red team's runs, and say how far it agrees with what is known of them."""
    from posttrainbench.cli.judge import Asked, calibrate_

    calibrate_(Asked(runs, judge, judge_model, limit, out), as_json)


@app.command()
def redteam(
    out: Annotated[Path, typer.Option(help="Where the runs and the report go.")] = Path("runs/redteam"),
    policy: Annotated[str, typer.Option(help="Only these policies, with commas.")] = "",
    cheats: Annotated[str, typer.Option(help="Only these cheats, by number, with commas.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per disguise and twin.")] = 1,
    part: Annotated[
        str, typer.Option(help="whole; twins: the honest only; ci: a few of each kind, in minutes.")
    ] = "whole",
    parallel: Annotated[int, typer.Option(min=0, help="Cases side by side; 0: one per core.")] = 0,
    sandbox: SandboxName = "bwrap",
    judge: JudgeName = None,
    judge_model: JudgeModel = None,
    as_json: Json = False,
) -> None:
    """Cheat in forty ways and be honest beside each: what is prevented, detected, missed, flagged unduly."""
    from posttrainbench.cli.redteam import Asked
    from posttrainbench.cli.redteam import redteam as verb

    try:
        numbers = tuple(int(number) for number in cheats.split(",") if number)
    except ValueError:
        raise SetupError("give cheats by their numbers: --cheats 2,11") from None
    policies = tuple(filter(None, policy.split(",")))
    asked = Asked(policies, numbers, seeds, parallel, out, sandbox, part, judge, judge_model)
    verb(asked, as_json)


@app.command()
def rank(
    runs: Annotated[Path, typer.Argument(help="A folder of runs.")] = Path("runs"),
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite (name or digest).")] = None,
    policy: Annotated[
        str, typer.Option(help="What a failed or disqualified cell counts as: paper, exclude.")
    ] = "paper",
    with_: Annotated[
        str | None,
        typer.Option("--with", help="Put beside it: published, or a table of overall scores."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Base scores that the suite lacks: TOML, or the published tables.")
    ] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="Instead: does agent A beat agent B?")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, json, csv, markdown or svg.")] = "table",
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Rank the agents of a folder of runs."""
    from posttrainbench.cli.rank import Asked, compare_two
    from posttrainbench.cli.rank import rank as verb

    if compare is not None:
        compare_two(Asked(runs, suite, policy, references, with_), *compare, as_json)
    else:
        verb(runs, suite, policy, "json" if as_json else format_, out, references, with_)


@app.command()
def show(
    run_dir: RunDir,
    transcript: Annotated[
        bool, typer.Option("--transcript", help="Instead: what the agent did, event by event.")
    ] = False,
    eval_: Annotated[
        bool, typer.Option("--eval", help="Instead: write the transcript for `inspect view`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what happened in a run, in order, and how its agent worked."""
    from posttrainbench.cli.show import show as verb
    from posttrainbench.cli.show import show_transcript, write_eval

    if eval_:
        write_eval(run_dir)
    elif transcript:
        show_transcript(run_dir, as_json)
    else:
        verb(run_dir, as_json)


@app.command()
def watch(run_dir: RunDir) -> None:
    """Follow a run live: what it does now, time and money left, evaluations, load."""
    from posttrainbench.cli.watch import watch as verb

    verb(run_dir)


@app.command()
def verify(
    run: Annotated[
        Path, typer.Argument(help="A run, a folder of runs, or one of them as a tar or zip file.")
    ],
    trust: Annotated[
        list[Path] | None, typer.Option(help="Also fail what neither we nor this public key signed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that runs are what their records say, and who signed these."""
    from posttrainbench.cli.verify import verify as verb

    verb(run, trust or (), as_json)


keys_app = typer.Typer(help="The key by which this installation signs records.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@keys_app.command("show")
def keys_show(as_json: Json = False) -> None:
    """Print the public key that others need to check what this installation signed."""
    from posttrainbench.cli.keys import show as verb

    verb(as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine can do, and how to mend what it cannot."""
    from posttrainbench.cli.doctor import doctor as verb

    verb(as_json)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="agents, benchmarks, suites or models.")],
    as_json: Json = False,
) -> None:
    """List what can be named in a command."""
    from posttrainbench.cli.listing import listing

    listing(what, as_json)


data_app = typer.Typer(
    help="Get benchmark data onto this machine, and say which are there.", no_args_is_help=True
)
app.add_typer(data_app, name="data")


@data_app.command("import")
def data_import(
    folder: Annotated[Path, typer.Argument(help="A folder that holds the files.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Copy benchmark data from a folder; only the published content is accepted."""
    from posttrainbench.cli.data import import_ as verb

    verb(folder, as_json)


@data_app.command("fetch")
def data_fetch(
    benchmarks: Annotated[list[str] | None, typer.Argument(help="Only these; default: all.")] = None,
    host: Annotated[str | None, typer.Option(help="A mirror of raw.githubusercontent.com.")] = None,
    as_json: Json = False,
) -> None:
    """Download benchmark data from their sources; only the published content is accepted."""
    from posttrainbench.cli.data import fetch_ as verb

    verb(benchmarks or (), host, as_json)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List every file of benchmark data and whether it can be used."""
    from posttrainbench.cli.data import list_ as verb

    verb(as_json)


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run `ptb`: what a person can mend becomes one line and exit status 2."""
    try:
        app()
    except PtbError as error:
        typer.echo(f"ptb: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has left
        sys.stderr.close()
        sys.exit(141)
    except OSError as failed:
        if failed.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {failed.filename}" if failed.filename else ""
        typer.echo(f"ptb: no space is left{where}; free some, then repeat the command: it goes on", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
