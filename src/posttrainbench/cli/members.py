"""Names to members: the one place where an agent, a sandbox, an engine or a benchmark is picked by name.

Third parties add theirs through entry points (`posttrainbench.agents`, `posttrainbench.benchmarks`, ...): an
object, or a callable without arguments that makes one. A name of ours cannot be taken over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from posttrainbench.errors import SandboxUnavailable, SetupError, UnknownName
from posttrainbench.protocols import (
    Agent,
    AgentCommand,
    Benchmark,
    Engine,
    Gateway,
    Grader,
    Judge,
    Sandbox,
    ScoredOutside,
    ScoringAids,
)
from posttrainbench.record import AgentSpec
from posttrainbench.task import InspectSource, ModelRef, Suite
from posttrainbench.transcribing.streams import PLAIN_TEXT

# name -> "module:attribute", imported when it is asked for: `ptb --help` needs none of them
SANDBOXES = {
    "bwrap": "posttrainbench.sandboxes.bubblewrap:Bubblewrap",
    "apptainer": "posttrainbench.sandboxes.apptainer:Apptainer",
    "docker": "posttrainbench.sandboxes.container:Container",
    "none": "posttrainbench.sandboxes.unisolated:Unisolated",
}
ENGINES = {
    "transformers": "posttrainbench.engines.transformers:TransformersEngine",
    "vllm": "posttrainbench.engines.vllm:VLLMEngine",
    "openai": "posttrainbench.engines.openai:OpenAIEngine",
}
SERVED = ("openai",)  # engines that ask a server: nothing of the model runs here
OPENAI_COMPATIBLE = "openai_compatible"
UNISOLATED_PROGRAMS = "PTB_UNISOLATED_PROGRAMS"  # "yes": the host may execute what a model wrote
COMMAND_JUDGE = "command"
SCRIPTED_JUDGE = "scripted"
DOSSIER_CHARACTERS = "PTB_JUDGE_CHARACTERS"
FEWEST_CHARACTERS = 20_000  # a dossier of fewer says too little
BENCHMARKS = {
    "tiny_math": "posttrainbench.benchmarks.tiny_math:TinyMath",
    "tiny_tools": "posttrainbench.benchmarks.tiny_tools:TinyTools",
    "aime2025": "posttrainbench.benchmarks.aime2025:Aime2025",
    "bfcl": "posttrainbench.benchmarks.bfcl:Bfcl",
    "gpqa_main": "posttrainbench.benchmarks.gpqa_main:GpqaMain",
    "gsm8k": "posttrainbench.benchmarks.gsm8k:Gsm8k",
    "humaneval": "posttrainbench.benchmarks.humaneval:HumanEval",
    "arena_hard_writing": "posttrainbench.benchmarks.arena_hard_writing:ArenaHardWriting",
    "healthbench_easy": "posttrainbench.benchmarks.healthbench_easy:HealthBenchEasy",
}


def sandbox_named(name: str) -> Sandbox:
    return cast(Sandbox, _member("sandbox", name, SANDBOXES))


def engine_named(name: str) -> Engine:
    return cast(Engine, _member("engine", name, ENGINES))


def run_engine(name: str | None, gpus: int) -> str:
    """The engine that a run's evaluations use: the one that is asked for, or what suits this machine.

    Args:
        name: as it was typed; None: vllm where it is installed and a GPU is there to use, else transformers.
        gpus: how many of this machine's the task may use.

    Raises:
        SetupError: no such engine, or one that cannot evaluate a folder.
    """
    if name is None:
        return "vllm" if gpus and find_spec("vllm") else "transformers"
    if name in SERVED:
        raise SetupError(f"a run's final model is a folder, which the {name} engine cannot evaluate")
    known = (*ENGINES, *_third_party("engine", ENGINES))
    if name not in known:
        raise UnknownName("engine", name, known)
    return name


def benchmark_named(name: str) -> Benchmark:
    return cast(Benchmark, _member("benchmark", name, BENCHMARKS))


def benchmark_of(suite: Suite, name: str) -> Benchmark:
    """The benchmark that a suite means by a name: one that it brings along, or an installed one."""
    source = suite.own_source(name)
    return own_benchmark(source) if source else benchmark_named(name)


def own_benchmark(source: InspectSource) -> Benchmark:
    """The benchmark that a suite brings along."""
    from posttrainbench.benchmarks.inspect_source import OwnBenchmark, OwnScoredOutside

    if not source.scored_like:
        return OwnBenchmark(source)
    model = benchmark_named(source.scored_like)
    if not isinstance(model, ScoredOutside):
        raise SetupError(f"{source.benchmark}: {model.name} neither executes nor grades answers")
    return OwnScoredOutside(source, model)


def benchmark_names() -> tuple[str, ...]:
    """The names of all installed benchmarks, ours first."""
    return (*BENCHMARKS, *_third_party("benchmark", BENCHMARKS))


def benchmarks() -> list[Benchmark]:
    """Every benchmark that is installed, ours first."""
    return [benchmark_named(name) for name in benchmark_names()]


def aids_for(benchmark: Benchmark, sandbox: Sandbox, **grader: str | None) -> ScoringAids | None:
    """What scores a benchmark's answers beside a pure rule; None when that rule is enough.

    Args:
        grader: settings that come before the environment's: base_url, model, api_key, ...

    Raises:
        SetupError: it needs a grader and none is configured, or executes programs and nothing isolates; the
            text says how to mend it.
    """
    if not isinstance(benchmark, ScoredOutside):
        return None
    wants = benchmark.aids
    return ScoringAids(
        grader=_grader(grader) if "grader" in wants else None,
        sandbox=_for_programs(benchmark.name, sandbox) if "sandbox" in wants else None,
    )


def _for_programs(benchmark: str, sandbox: Sandbox) -> Sandbox:
    """Where programs that a model wrote are executed: `sandbox`, or the default if that does not isolate.

    Whoever lets a model run unisolated, as to use a GPU, has not asked for that of what it writes.
    """
    if sandbox.isolation().isolated or os.environ.get(UNISOLATED_PROGRAMS) == "yes":
        return sandbox
    default = sandbox_named(next(iter(SANDBOXES)))
    try:
        default.isolation()
    except SandboxUnavailable as unavailable:
        raise SetupError(
            f"{benchmark} executes what the model wrote, and nothing isolates here ({unavailable}); "
            f"mend that, or set {UNISOLATED_PROGRAMS}=yes to execute it as yourself"
        ) from None
    return default


def _grader(options: Mapping[str, str | None]) -> Grader:
    """The grader that another package offers under the name in PTB_GRADER, else ours."""
    from posttrainbench.graders.cached import CachedGrader
    from posttrainbench.llms.openai_compatible import OpenAICompatibleLlm
    from posttrainbench.llms.settings import GRADER, settings_from
    from posttrainbench.stores.grades import GradeFolder, grades_folder

    name = os.environ.get("PTB_GRADER", OPENAI_COMPATIBLE)
    if name != OPENAI_COMPATIBLE:
        return cast(Grader, _member("grader", name, {}))
    llm = OpenAICompatibleLlm(settings_from(os.environ, GRADER, **options))
    return CachedGrader(llm, GradeFolder(grades_folder(os.environ)))


def judge_named(name: str | None = None, model: str | None = None) -> Judge | None:
    """The judge of that name, else the one that the environment names, else None.

    Args:
        name: api (an LLM behind an endpoint), command (any program), a scaffold, scripted (rules, no LLM),
            or another package's.
        model: its LLM, before the one that the environment names.

    Raises:
        SetupError: no such judge, or what it needs is not set; the text says how to mend it.
    """
    from posttrainbench.agents.scaffolds import scaffolds
    from posttrainbench.llms.settings import JUDGE

    name = name or os.environ.get(JUDGE.prefix)
    if name is None:
        return None
    if name == "api":
        return _api_judge(model)
    if name == COMMAND_JUDGE or name in scaffolds():
        return _scaffold_judge(name, model or os.environ.get(f"{JUDGE.prefix}_MODEL"))
    ours = {"api": "", COMMAND_JUDGE: "", SCRIPTED_JUDGE: ""}
    if name == SCRIPTED_JUDGE:
        from posttrainbench.judges.scripted import ScriptedJudge

        return ScriptedJudge(_dossier_characters())
    theirs = _third_party("judge", ours)
    if name not in theirs:
        raise UnknownName("judge", name, (*ours, *scaffolds(), *theirs))
    return cast(Judge, theirs[name]())


def _api_judge(model: str | None) -> Judge:
    from posttrainbench.judges.api import ApiJudge
    from posttrainbench.llms.openai_compatible import OpenAICompatibleLlm
    from posttrainbench.llms.settings import JUDGE, settings_from

    settings = settings_from(os.environ, JUDGE, model=model)
    return ApiJudge(OpenAICompatibleLlm(settings), _dossier_characters())


def _scaffold_judge(name: str, model: str | None) -> Judge:
    """A command line as judge; its key stays with a gateway of its own."""
    from posttrainbench.agents.scaffolds import ScaffoldAgent
    from posttrainbench.gateways.model_access import api_from, prices_from
    from posttrainbench.gateways.policy import Protected
    from posttrainbench.gateways.socket_gateway import Llm, SocketGateway
    from posttrainbench.judgement import JudgeSpec
    from posttrainbench.judges.scaffold import NOWHERE, PROMPT, Place, ScaffoldJudge
    from posttrainbench.llms.settings import JUDGE, timeout_from, usd_from

    settings: tuple[tuple[str, str], ...]
    if name == COMMAND_JUDGE:
        script = os.environ.get(f"{JUDGE.prefix}_COMMAND")
        if not script:
            raise SetupError(
                f"judge {name} needs a shell command that reads /case and prints its answer: "
                f"set {JUDGE.prefix}_COMMAND"
            )
        api_name = os.environ.get(f"{JUDGE.prefix}_API")
        environment = {"PTB_JUDGE_MODEL": model} if model else {}
        command, settings = AgentCommand(("/bin/sh", "-c", script), environment), (("script", script),)
    else:
        if model is None:
            raise SetupError(f"judge {name} needs an LLM: --judge-model NAME, or set {JUDGE.prefix}_MODEL")
        agent = ScaffoldAgent.made(name, model)
        api_name, command, settings = agent.row.api, agent.asked(PROMPT), agent.spec.settings
    api = api_from(os.environ, api_name) if api_name else None
    gateway = None
    if api is not None:
        llm = Llm((api,), prices_from(os.environ))
        gateway = SocketGateway({NOWHERE: Protected(NOWHERE, ())}, llm=llm)
    sandbox = sandbox_named(next(iter(SANDBOXES)))
    sandbox.isolation()
    host = urlsplit(api.base_url).hostname if api else None
    place = Place(sandbox, gateway, timeout_from(os.environ, JUDGE), usd_from(os.environ, JUDGE))
    return ScaffoldJudge(JudgeSpec(name, model, host, settings), command, place, _dossier_characters())


def _dossier_characters() -> int:
    """How much a judge is given to read: what suits its LLM's context."""
    text = os.environ.get(DOSSIER_CHARACTERS, "160000")
    if not (text.isascii() and text.isdigit() and int(text) >= FEWEST_CHARACTERS):
        raise SetupError(
            f"{DOSSIER_CHARACTERS} must be a number of at least {FEWEST_CHARACTERS}, not {text!r}"
        )
    return int(text)


def agent_of(spec: AgentSpec) -> Agent:
    """The agent that a spec was made from."""
    from posttrainbench.agents.builtin import COMMAND, ShellAgent
    from posttrainbench.agents.redteam.agent import SCAFFOLD, RedTeamAgent
    from posttrainbench.agents.scaffolds import ScaffoldAgent, scaffolds

    if spec.scaffold == COMMAND:
        return ShellAgent.of(spec)
    if spec.scaffold == SCAFFOLD:
        return RedTeamAgent.of(spec)
    if spec.scaffold in scaffolds():
        return ScaffoldAgent.of(spec)
    return agent_named(spec.name)


def transcript_form(spec: AgentSpec) -> str:
    """The form of what an agent's program prints; plain text unless a scaffold's row says otherwise."""
    from posttrainbench.agents.scaffolds import scaffolds

    row = scaffolds().get(spec.scaffold)
    return row.transcript if row is not None else PLAIN_TEXT


def agent_named(name: str, model: str | None = None, effort: str | None = None) -> Agent:
    """The agent of that name: one of ours, a scaffold with `model`, or one that another package offers."""
    from posttrainbench.agents.builtin import scripted_agents
    from posttrainbench.agents.scaffolds import ScaffoldAgent, scaffolds

    if name in scaffolds():
        return ScaffoldAgent.made(name, model, effort)
    ours: dict[str, Callable[[], Agent]] = {agent.spec.name: lambda a=agent: a for agent in scripted_agents()}  # type: ignore[misc]
    if name in ours:
        return ours[name]()
    theirs = _third_party("agent", ours)
    if name in theirs:
        return cast(Agent, theirs[name]())
    raise UnknownName("agent", name, (*ours, *scaffolds(), *theirs))


def gateway(
    agent: AgentSpec,
    base: ModelRef,
    more: Sequence[Benchmark] = (),
    models: Mapping[ModelRef, Path] | None = None,
) -> Gateway:
    """The gateway for an agent; it must know where every benchmark keeps its test split.

    A scaffold gets its model API. It gets the internet too, unless its task lies in the tiny world.

    Args:
        more: benchmarks that a suite brings along.
        models: folders of models that agents shall find on the hub, beside those of the tiny world.

    Raises:
        SetupError: the scaffold's model API has no key.
    """
    from posttrainbench.agents.scaffolds import scaffolds
    from posttrainbench.gateways.interceptor import Internet
    from posttrainbench.gateways.model_access import api_from, prices_from
    from posttrainbench.gateways.policy import Protected
    from posttrainbench.gateways.socket_gateway import Llm, SocketGateway

    protected = {b.name: Protected(b.hub_id, b.test_files) for b in (*benchmarks(), *more)}
    row = scaffolds().get(agent.scaffold)
    if row is None:
        return SocketGateway(protected, models=models)
    llm = Llm((api_from(os.environ, row.api),), prices_from(os.environ))
    internet = Internet() if has_internet(agent, base) else None
    return SocketGateway(protected, models=models, internet=internet, llm=llm)


def model_api_name(agent: AgentSpec) -> str | None:
    """Which model API an agent speaks to, None when the gateway carries no LLM for it."""
    from posttrainbench.agents.scaffolds import scaffolds

    row = scaffolds().get(agent.scaffold)
    return row.api if row else None


def has_internet(agent: AgentSpec, base: ModelRef) -> bool:
    """Whether an agent has more than the tiny world's hub."""
    from posttrainbench.tinyworld import catalog

    return model_api_name(agent) is not None and base.hub_id not in catalog.model_names()


def _member(kind: str, name: str, ours: Mapping[str, str]) -> object:
    if name in ours:
        module, _, attribute = ours[name].partition(":")
        return getattr(import_module(module), attribute)()
    theirs = _third_party(kind, ours)
    if name in theirs:
        return theirs[name]()
    raise UnknownName(kind, name, (*ours, *theirs))


def _third_party(kind: str, ours: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """What other packages offer, by name; loaded only when called."""
    plural = "sandboxes" if kind == "sandbox" else f"{kind}s"
    offered = entry_points(group=f"posttrainbench.{plural}")
    return {point.name: lambda p=point: _load(kind, p) for point in offered if point.name not in ours}  # type: ignore[misc]


def _load(kind: str, point: Any) -> object:
    try:
        loaded = point.load()
        return loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise SetupError(f"{kind} {point.name!r} ({point.value}) cannot be loaded: {error}") from error
