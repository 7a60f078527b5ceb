"""Every engine that can be started here answers the same task; and what a server does wrong is no answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from grader_server import Answer, GraderServer, serving
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import ChatMessageUser, GenerateConfig
from inspect_ai.tool import ToolInfo

from posttrainbench.benchmarks.tiny_math import TinyMath
from posttrainbench.benchmarks.tiny_tools import TinyTools
from posttrainbench.engines.openai import OpenAIEngine, Server, check_served, served_model, server_from
from posttrainbench.engines.token_limits import LOWERED
from posttrainbench.engines.transformers import TransformersEngine
from posttrainbench.engines.vllm import VLLMEngine
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.score import ScoreJob, ScoreResult, score, score_together
from posttrainbench.protocols import Engine
from posttrainbench.record import Failure, Score
from posttrainbench.tinyworld import catalog

USAGE = {"prompt_tokens": 30, "completion_tokens": 5}
Start = tuple[Engine, Path, str]  # engine, model, chat template


def says(text: str) -> Callable[[dict[str, Any], int], Answer]:
    return lambda _body, _count: Answer(text, usage=dict(USAGE))


def asked_first(first: Answer, text: str = "7") -> Callable[[dict[str, Any], int], Answer]:
    """Something else the first time that a request comes, an answer afterwards."""
    return lambda _body, count: first if count == 0 else Answer(text, usage=dict(USAGE))


def evaluated(server: Server, out: Path, limit: int = 2) -> ScoreResult:
    job = ScoreJob("tiny_math", "test", "openai", "", limit)
    return score(TinyMath(), OpenAIEngine(server), job, Path("org/model"), out)


def generated(server: Server, config: GenerateConfig | None = None, **tools: Any) -> Any:
    """One output of a served model."""

    async def generate() -> Any:
        model = served_model("org/model", server)
        return await model.generate(
            [ChatMessageUser(content="How many?")], config=config or GenerateConfig(), **tools
        )

    return asyncio.run(generate())


@pytest.fixture(params=["transformers", "vllm", "openai"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Every engine that can be started here, with a model; for vLLM itself stands a program like it."""
    name = catalog.QWEN3_INSTRUCT
    if request.param == "transformers":
        yield TransformersEngine(), catalog.model_folder(name), catalog.chat_template(name)
        return
    if request.param == "vllm":
        request.getfixturevalue("stand_in")
        with closing(VLLMEngine(tmp_path)) as engine:
            yield engine, catalog.model_folder(name), catalog.chat_template(name)
        return
    with serving(says("The answer is 7.")) as server:
        yield OpenAIEngine(Server(server.url)), Path("org/model"), ""


def test_an_engine_answers_every_sample_and_counts_its_tokens(start: Start, tmp_path: Path) -> None:
    engine, model, template = start
    job = ScoreJob("tiny_math", "test", engine.name, template, limit=6)
    result = score(TinyMath(), engine, job, model, tmp_path)
    assert isinstance(result.outcome, Score), result.outcome
    assert result.outcome.n == 6
    (use,) = result.uses
    assert use.input_tokens > 0
    assert use.output_tokens > 0
    (found,) = list_eval_logs(str(tmp_path))
    samples = read_eval_log(found).samples or []
    assert all(sample.output.completion for sample in samples)


def test_likely_answers_are_told_from_unlikely_ones() -> None:
    name = catalog.QWEN3_INSTRUCT
    item = TinyMath().items("train")[0]
    wrong = item.answer.replace(f"#### {item.target}", "#### 0")
    asked = [(item.question, text) for text in (item.answer, wrong, item.answer)]
    right, other, again = TransformersEngine().log_likelihoods(
        catalog.model_folder(name), catalog.chat_template(name), asked
    )
    assert -1 < right < 0
    assert other < right - 3
    assert again == pytest.approx(right)


def test_many_samples_are_in_flight_without_being_asked_for(start: Start) -> None:
    engine, model, template = start
    assert (engine.inspect_model(model, template).config.max_connections or 0) >= 256


def test_benchmarks_that_are_evaluated_together_share_the_requests_in_flight(tmp_path: Path) -> None:
    slow = lambda _body, _count: Answer("7", usage=dict(USAGE), delay_s=0.3)  # noqa: E731
    with serving(slow) as server:
        pair = ((TinyMath(), None), (TinyTools(), None))
        engine = OpenAIEngine(Server(server.url, in_flight=24))
        results = score_together(pair, engine, "test", Path("org/model"), tmp_path, limit=24)
        assert server.most_in_flight == 24
        assert len(server.bodies) == 48
    assert [isinstance(result.outcome, Score) for result in results] == [True, True]
    assert [result.uses[0].output_tokens for result in results] == [24 * 5, 24 * 5]


def test_a_servers_key_is_in_no_log(tmp_path: Path) -> None:
    """Logs are published."""
    key = "sk-kept-to-ourselves"
    with serving(says("7")) as server:
        evaluated(Server(server.url, api_key=key), tmp_path)
        assert server.headers[0]["Authorization"] == f"Bearer {key}"
    (found,) = list_eval_logs(str(tmp_path))
    with ZipFile(found.name.removeprefix("file://")) as log:
        contents = b"".join(log.read(name) for name in log.namelist())
    assert b"in_flight" in contents, "what was asked of the server is there to read"
    assert key.encode() not in contents


def test_calls_that_a_servers_parser_leaves_as_text_are_read() -> None:
    written = '{"name": "rain_in", "parameters": {"town": "Novi Sad"}}'
    tool = ToolInfo(name="rain_in", description="Millimetres of rain")
    with serving(says(written)) as server:
        helped = generated(Server(server.url, tool_formats=("llama",)), tools=[tool])
        alone = generated(Server(server.url), tools=[tool])
        refused = generated(Server(server.url, tool_formats=("llama",)), tools=[tool], tool_choice="none")
    (call,) = helped.message.tool_calls
    assert (call.function, call.arguments) == ("rain_in", {"town": "Novi Sad"})
    assert (helped.stop_reason, helped.completion) == ("tool_calls", "")
    assert not alone.message.tool_calls
    assert not refused.message.tool_calls


def test_what_a_server_gets_is_what_the_task_says() -> None:
    with serving(says("7")) as server:
        config = GenerateConfig(max_tokens=50, temperature=0.0, stop_seqs=["end"], seed=3)
        output = generated(Server(server.url, api_key="secret"), config)
        (body,), (headers,) = server.bodies, server.headers
    assert output.completion == "7"
    assert body == {
        "model": "org/model",
        "messages": [{"role": "user", "content": "How many?"}],
        "max_tokens": 50,
        "temperature": 0.0,
        "stop": ["end"],
        "seed": 3,
    }
    assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(status=429, raw=b'{"error": {"message": "slow down"}}'),
        Answer(status=503, raw=b"overloaded"),
        Answer(raw=b"<html>no completion</html>"),
        Answer(raw=b'{"choices": []}'),
    ],
    ids=["429", "503", "html", "no choices"],
)
def test_trouble_that_passes_is_waited_out(trouble: Answer) -> None:
    with serving(asked_first(trouble)) as server:
        assert generated(Server(server.url)).completion == "7"
        assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("trouble", "requests"),
    [
        (Answer(status=401, raw=b'{"error": {"message": "wrong key"}}'), 1),
        (Answer(status=400, raw=b'{"error": {"message": "no such field"}}'), 1),
        (Answer(status=500, raw=b"broken"), 2),
        (Answer("7", delay_s=30), 2),
    ],
    ids=["refusal", "bad request", "broken for ever", "hang"],
)
def test_trouble_that_stays_is_a_failure_and_never_a_number(
    trouble: Answer, requests: int, tmp_path: Path
) -> None:
    with serving(lambda _body, _count: trouble) as server:
        result = evaluated(Server(server.url, timeout_s=0.3, attempts=2), tmp_path, limit=1)
        assert len(server.bodies) == requests
    assert isinstance(result.outcome, Failure)


VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 4300 tokens "
    "(300 in the messages, 4000 in the completion)."
)
NEWER_VLLM = (
    "'max_tokens' is too large: 4000. This model's maximum context length is 4096 tokens and your request "
    "has 300 input tokens"
)


@pytest.mark.parametrize(
    ("said", "given"),
    [(VLLM, 3796), (NEWER_VLLM, 3796), ("exceeds the context window", 2000)],
    ids=["vllm", "newer vllm", "no numbers"],
)
def test_a_token_limit_that_was_lowered_is_recorded(said: str, given: int) -> None:
    refusal = Answer(status=400, raw=json.dumps({"error": {"message": said}}).encode())
    with serving(lambda body, _count: refusal if body["max_tokens"] == 4000 else Answer("7")) as server:
        output = generated(Server(server.url), GenerateConfig(max_tokens=4000))
        assert [body["max_tokens"] for body in server.bodies] == [4000, given]
    assert output.metadata == {LOWERED: {"asked": 4000, "given": given, "why": "context"}}


def test_a_prompt_that_leaves_no_room_is_an_error(tmp_path: Path) -> None:
    refusal = Answer(status=400, raw=b'{"error": {"message": "prompt exceeds the context window"}}')
    with serving(lambda _body, _count: refusal) as server:
        result = evaluated(Server(server.url), tmp_path, limit=1)
    assert isinstance(result.outcome, Failure)
    assert "context window" in result.outcome.reason


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ('{"n": 3}', None),
        ("{n: 3", "its arguments are no JSON object"),
        ("[3]", "its arguments are no JSON object"),
    ],
)
def test_tool_calls_are_read_and_bad_ones_are_the_models_mistake(arguments: str, error: str | None) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "count", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    reply = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    with serving(lambda _body, _count: Answer(raw=json.dumps(reply).encode())) as server:
        tool = ToolInfo(name="count", description="Counts.")
        output = generated(Server(server.url), tools=[tool], tool_choice="any")
        (body,) = server.bodies
    assert body["tools"][0]["function"]["name"] == "count"
    assert body["tool_choice"] == "required"
    (found,) = output.message.tool_calls
    assert (found.function, found.arguments, found.parse_error) == ("count", {} if error else {"n": 3}, error)
    assert output.stop_reason == "tool_calls"


@pytest.mark.parametrize("field", ["tags", "reasoning_content", "reasoning"])
def test_thoughts_are_no_part_of_the_completion(field: str) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": "7"}
    if field == "tags":
        message["content"] = "<think>It may be 8.</think>\n\n7"
    else:
        message[field] = "It may be 8."
    reply = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}
    with serving(lambda _body, _count: Answer(raw=json.dumps(reply).encode())) as server:
        output = generated(Server(server.url))
    assert output.completion == "7"
    assert output.message.content[0].reasoning == "It may be 8."


def test_a_served_model_gets_no_chat_template_from_us() -> None:
    with pytest.raises(SetupError, match="start the server with it"):
        OpenAIEngine(Server("http://127.0.0.1:1/v1")).inspect_model(Path("m"), "{{ messages }}")


def test_a_server_that_is_not_there_is_said_before_anything_starts() -> None:
    with pytest.raises(SetupError, match="is it started"):
        check_served("m", Server("http://127.0.0.1:1/v1"))


def test_settings_come_from_options_then_the_environment() -> None:
    with pytest.raises(SetupError, match="--base-url"):
        server_from({})
    with pytest.raises(SetupError, match="PTB_ENGINE_IN_FLIGHT"):
        server_from({"PTB_ENGINE_BASE_URL": "http://a/v1", "PTB_ENGINE_IN_FLIGHT": "many"})
    with pytest.raises(SetupError, match="no server's address"):
        server_from({"PTB_ENGINE_BASE_URL": "localhost:8000"})
    told = {"PTB_ENGINE_BASE_URL": "http://a/v1/", "PTB_ENGINE_API_KEY": "k"}
    assert server_from(told) == Server("http://a/v1", "k")
    assert server_from(told, base_url="http://b/v1/chat/completions", in_flight="8") == Server(
        "http://b/v1", "k", in_flight=8
    )
    assert "api_key" not in repr(server_from(told))


def test_a_name_that_is_not_served_gets_the_nearest(models: GraderServer) -> None:
    with pytest.raises(UnknownName, match="did you mean 'org/model'"):
        check_served("org/modle", Server(models.url))
    check_served("org/model", Server(models.url))


@pytest.fixture
def models() -> Iterator[GraderServer]:
    """A server that lists what it serves."""
    with serving(says("7")) as server:
        handler: Any = server.http.RequestHandlerClass

        def do_get(self: Any) -> None:
            content = b'{"data": [{"id": "org/model"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        handler.do_GET = do_get
        yield server
