"""What the model APIs owe: real keys outside, every token counted, budgets kept, outages waited out."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_llm import (
    CACHED,
    INPUT,
    OUTPUT,
    REAL_KEY,
    REASONED,
    WRITTEN,
    Asked,
    Run,
    Say,
    ScriptedLlm,
    say_hello,
    scripted_llm,
)
from small_world import World, make_hub, open_world, read_all

from posttrainbench.budget import Budget, Spend
from posttrainbench.gateways.model_apis import Hold, ModelApi
from posttrainbench.gateways.prices import Price, Prices
from posttrainbench.gateways.socket_gateway import Llm
from posttrainbench.record import SolveEnd
from posttrainbench.stores.calls import read_calls
from posttrainbench.task import Policy

DUMMY = "sandbox-dummy"
SHORT = Hold(most_s=5, first_s=0.02, longest_s=0.1)
MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "responses": "gpt-5.1-codex",
    "chat": "gpt-5.1",
    "gemini": "gemini-2.5-pro",
}


def paths(stream: bool) -> dict[str, str]:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "anthropic": "/llm/anthropic/v1/messages",
        "responses": "/llm/openai/v1/responses",
        "chat": "/llm/openai/v1/chat/completions",
        "gemini": f"/llm/gemini/v1beta/models/{MODELS['gemini']}:{verb}",
    }


def request_of(dialect: str, stream: bool, **more: Any) -> dict[str, Any]:
    turn = {"role": "user", "content": "hi"}
    body: dict[str, Any] = {
        "anthropic": {"messages": [turn], "max_tokens": 100},
        "responses": {"input": [turn]},
        "chat": {"messages": [turn]},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    }[dialect]
    if dialect != "gemini":
        body |= {"model": MODELS[dialect], "stream": stream}
    return {**body, **more}


def apis(llm: ScriptedLlm, **more: Any) -> tuple[ModelApi, ...]:
    return (
        ModelApi("anthropic", llm.base_url, REAL_KEY, "x-api-key", "anthropic", **more),
        ModelApi("openai", llm.base_url, REAL_KEY, "bearer", "openai", **more),
        ModelApi("gemini", llm.base_url, REAL_KEY, "x-goog-api-key", "google", **more),
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hub(tmp_path_factory.mktemp("hub"))


@contextmanager
def calling(
    hub: Path,
    script: Callable[[Asked], Say | Run] = say_hello,
    policy: Policy = Policy.PAPER,
    budget: Budget | None = None,
    prices: Prices | None = None,
    hold: Hold = SHORT,
    calls: Path | None = None,
    spent: Spend | None = None,
    **more: Any,
) -> Iterator[tuple[World, ScriptedLlm]]:
    with scripted_llm(script) as llm:
        offered = Llm(apis(llm, **more), prices or Prices(), hold)
        with open_world(
            policy, hub, llm=offered, budget=budget or Budget(60), calls=calls, spent=spent
        ) as world:
            yield world, llm


def post(world: World, path: str, body: object, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("gateway")
    connection.sock = world.connect()
    sent = {
        "content-type": "application/json",
        "x-api-key": DUMMY,
        "authorization": f"Bearer {DUMMY}",
        **headers,
    }
    connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), sent)
    reply = connection.getresponse()
    try:
        said = reply.read()
    except http.client.IncompleteRead as broken:
        said = broken.partial
    finally:
        connection.close()
    return reply.status, said, {name.lower(): value for name, value in reply.getheaders()}


def ask(world: World, dialect: str, stream: bool = True, **more: Any) -> tuple[int, bytes]:
    return post(world, paths(stream)[dialect], request_of(dialect, stream, **more))[:2]


def call_raw(body: bytes) -> bytes:
    return b"POST /llm/anthropic/v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def model_calls(world: World) -> list[dict[str, Any]]:
    return [data for kind, data in world.entries if kind == "model_call"]


# --- keys and counting --------------------------------------------------------------------------------------

COST_USD = {
    # USD per million tokens, as published: input, cached, cache write, output
    "anthropic": (INPUT * 3 + CACHED * 0.3 + WRITTEN * 3.75 + OUTPUT * 15) / 1e6,
    "responses": ((INPUT - CACHED) * 1.25 + CACHED * 0.125 + OUTPUT * 10) / 1e6,
    "chat": ((INPUT - CACHED) * 1.25 + CACHED * 0.125 + OUTPUT * 10) / 1e6,
    "gemini": ((INPUT - CACHED) * 1.25 + CACHED * 0.125 + OUTPUT * 10) / 1e6,
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", MODELS)
def test_every_dialect_is_carried_and_counted(hub: Path, dialect: str, stream: bool) -> None:
    with calling(hub) as (world, _):
        status, said = ask(world, dialect, stream)
        spend = world.gateway.spend()
    assert status == 200
    assert b"hello" in said
    (row,) = model_calls(world)
    input_tokens = INPUT + CACHED + WRITTEN if dialect == "anthropic" else INPUT
    assert (row["input_tokens"], row["output_tokens"]) == (input_tokens, OUTPUT)
    assert row["cached_tokens"] == CACHED
    assert row["reasoning_tokens"] == (0 if dialect == "anthropic" else REASONED)
    assert row["model"] == MODELS[dialect]
    assert row["cost_usd"] == pytest.approx(COST_USD[dialect], abs=1e-12)
    assert spend.cost_usd == pytest.approx(COST_USD[dialect], abs=1e-9)
    assert (spend.tokens, spend.broken_off) == (input_tokens + OUTPUT, 0)


@pytest.mark.parametrize("dialect", MODELS)
def test_the_provider_sees_the_real_key_alone(hub: Path, dialect: str) -> None:
    with calling(hub) as (world, llm):
        path = paths(True)[dialect]
        path += ("&" if "?" in path else "?") + f"key={DUMMY}"
        _, said, headers = post(
            world, path, request_of(dialect, True), cookie=DUMMY, **{"x-goog-api-key": DUMMY}
        )
    (asked,) = llm.seen
    assert DUMMY not in asked.path + json.dumps(asked.headers)
    assert json.dumps(asked.headers).count(REAL_KEY) == 1
    assert REAL_KEY.encode() not in said
    assert "set-cookie" not in headers


def test_a_refused_key_is_told_without_it(hub: Path) -> None:
    with calling(hub) as (world, llm):
        llm.faults = [401]
        status, said = ask(world, "anthropic")
    assert status == 401
    assert b"refused the gateway's key" in said
    assert REAL_KEY.encode() not in said
    assert model_calls(world)[0]["error"] == "the provider refused the gateway's key (status 401)"
    assert len(llm.seen) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/llm/anthropic/v1/files", 403),
        ("/llm/openai/v1/fine_tuning/jobs", 403),
        ("/llm/openai/v1/../v1/files", 403),
        ("/llm/elsewhere/v1/messages", 404),
        ("/llm/", 404),
    ],
)
def test_a_key_opens_nothing_but_calls(hub: Path, path: str, status: int) -> None:
    with calling(hub) as (world, llm):
        assert post(world, path, {"model": "x"})[0] == status
        assert not llm.seen
    assert world.requests(decision="denied", status=status)


def test_only_the_agents_models_may_be_asked(hub: Path) -> None:
    with calling(hub, models=("claude-*",)) as (world, llm):
        assert ask(world, "anthropic")[0] == 200
        assert ask(world, "chat")[0] == 403
        assert ask(world, "gemini")[0] == 403
        assert len(llm.seen) == 1


def test_counting_tokens_costs_nothing(hub: Path) -> None:
    with calling(hub) as (world, _):
        assert (
            post(world, "/llm/anthropic/v1/messages/count_tokens", {"model": "m", "messages": []})[0] == 200
        )
        assert world.gateway.spend().tokens == 0
        assert not model_calls(world)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_request_goes_to_nobody(hub: Path, body: bytes) -> None:
    with calling(hub) as (world, llm):
        assert post(world, "/llm/anthropic/v1/messages", body)[0] == 400
        assert not llm.seen


# --- budgets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", MODELS)
def test_a_spent_budget_is_told_as_the_cli_prints_it(hub: Path, dialect: str) -> None:
    with calling(hub, budget=Budget(60, cost_usd=0.001)) as (world, llm):
        assert ask(world, dialect)[0] == 200
        status, said = ask(world, dialect)
        assert len(llm.seen) == 1
    assert status == 400
    assert "budget of this run is spent" in json.loads(said)["error"]["message"]
    assert world.requests(decision="denied", status=400)


def test_a_budget_in_tokens_is_kept(hub: Path) -> None:
    with calling(hub, budget=Budget(60, tokens=2000)) as (world, _):
        assert [ask(world, "chat")[0] for _ in range(3)] == [200, 200, 400]


def test_a_price_that_nobody_knows_is_no_price(hub: Path) -> None:
    with calling(hub) as (world, _):
        assert ask(world, "chat", model="my-own-model")[0] == 200
        assert world.gateway.spend().cost_usd is None
        assert world.gateway.spend().tokens == INPUT + OUTPUT
    with calling(hub, budget=Budget(60, cost_usd=1)) as (world, llm):
        status, said = ask(world, "chat", model="my-own-model")
        assert (status, len(llm.seen)) == (400, 0)
        assert b"no price is known" in said


def test_the_operators_prices_come_first(hub: Path) -> None:
    own = Prices({"my-*": Price(input=1, output=2, cached=0.5)})
    with calling(hub, prices=own, budget=Budget(60, cost_usd=1)) as (world, _):
        assert ask(world, "chat", model="my-own-model")[0] == 200
        expected = ((INPUT - CACHED) * 1 + CACHED * 0.5 + OUTPUT * 2) / 1e6
        assert world.gateway.spend().cost_usd == pytest.approx(expected, abs=1e-9)


# --- outages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [[529, 529, 503], ["drop", "drop"], [429, "drop", 500]])
def test_an_outage_is_waited_out(hub: Path, faults: list[int | str]) -> None:
    with calling(hub) as (world, llm):
        llm.faults = list(faults)
        status, said = ask(world, "anthropic")
    assert (status, b"hello" in said) == (200, True)
    (row,) = model_calls(world)
    assert row["tries"] == len(faults) + 1
    assert row["held_s"] > 0
    assert [data["state"] for kind, data in world.entries if kind == "outage"] == ["begins", "ends"]


def test_an_outage_without_end_is_told(hub: Path) -> None:
    with calling(hub, hold=Hold(0.1, 0.02, 0.05)) as (world, llm):
        llm.faults = [529] * 100
        assert ask(world, "anthropic")[0] == 529
        assert 3 <= len(llm.seen) <= 10


def test_a_provider_that_is_not_there_is_waited_for(hub: Path) -> None:
    nobody = ModelApi("anthropic", "http://127.0.0.1:9", REAL_KEY)
    with open_world(Policy.PAPER, hub, llm=Llm((nobody,), hold=Hold(0.1, 0.02, 0.05))) as world:
        status, said = ask(world, "anthropic")
    assert status == 502
    assert b"did not answer" in said
    assert "ConnectError" in model_calls(world)[0]["error"]


def test_an_answer_that_breaks_off_is_not_taken_for_whole(hub: Path) -> None:
    with calling(hub) as (world, llm):
        llm.faults = ["cut"]
        status, said = ask(world, "responses")
        spend = world.gateway.spend()
    assert status == 200
    assert b"response.completed" not in said
    assert "broke off" in model_calls(world)[0]["error"]
    assert spend.broken_off == 1


def test_a_client_that_hangs_up_stops_the_waiting(hub: Path) -> None:
    with calling(hub, hold=Hold(60, 0.05, 0.2)) as (world, llm):
        llm.faults = [529] * 1000
        body = json.dumps(request_of("anthropic", True)).encode()
        with world.connect() as peer:
            peer.sendall(
                b"POST /llm/anthropic/v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            world.wait_for(lambda: len(llm.seen) > 2)
        world.wait_for(lambda: model_calls(world))
    assert "hung up" in model_calls(world)[0]["error"]


def test_closing_wakes_who_waits(hub: Path) -> None:
    with calling(hub, hold=Hold(60, 30, 30)) as (world, llm):
        llm.faults = [529] * 10
        body = json.dumps(request_of("anthropic", True)).encode()
        peer = world.connect()
        waiting = threading.Thread(target=read_all, args=(peer,), daemon=True)
        peer.sendall(call_raw(body))
        waiting.start()
        world.wait_for(lambda: llm.seen)
        begun_s = time.monotonic()
        world.gateway.close()
        waiting.join(10)
        assert time.monotonic() - begun_s < 5


# --- streams and tools --------------------------------------------------------------------------------------


def test_a_stream_stays_a_stream(hub: Path) -> None:
    with calling(hub, lambda _: Say("word " * 20)) as (world, llm):
        llm.parts, llm.pause_s = 10, 0.03
        body = json.dumps(request_of("anthropic", True)).encode()
        arrived = []
        with world.connect() as peer:
            peer.sendall(
                b"POST /llm/anthropic/v1/messages HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            received = b""
            while b"message_stop" not in received:
                received += peer.recv(1 << 16)
                arrived.append(time.monotonic())
    assert len(arrived) >= 8
    assert arrived[-1] - arrived[0] > 0.2


PROVIDER_TOOLS = {
    "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "Bash"}]},
    "responses": {"tools": [{"type": "web_search"}, {"type": "function", "name": "shell"}]},
    "chat": {"web_search_options": {}, "tools": [{"type": "function", "function": {"name": "bash"}}]},
    "gemini": {"tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "run_shell_command"}]}]},
}


@pytest.mark.parametrize("policy", [Policy.PAPER, Policy.STRICT])
@pytest.mark.parametrize("dialect", MODELS)
def test_tools_at_the_provider_are_told_and_under_strict_taken_out(
    hub: Path, dialect: str, policy: Policy
) -> None:
    with calling(hub, policy=policy) as (world, llm):
        assert ask(world, dialect, **PROVIDER_TOOLS[dialect])[0] == 200
    (asked,) = llm.seen
    assert len(asked.tools) >= 1
    went_out = "earch" in json.dumps(
        [asked.body.get("tools"), "web_search_options" in asked.body and "search"]
    )
    assert went_out == (policy is Policy.PAPER)
    told = model_calls(world)[0]["provider_tools"]
    assert "search" in told.casefold()
    assert ("stripped" in told) == (policy is Policy.STRICT)


def test_bodies_are_kept_and_compressed(hub: Path, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl.zst"
    long = "a conversation that grows " * 4000
    with calling(hub, calls=path) as (world, _):
        for number in range(20):
            ask(world, "anthropic", system=long + str(number))
        world.wait_for(lambda: len(list(read_calls(path))) == 20)  # readable while it grows
    kept = sorted(read_calls(path), key=lambda each: each.number or 0)
    assert [each.number for each in kept] == list(range(1, 21))
    assert kept[7].request["system"] == long + "7"
    assert "message_stop" in kept[7].response
    assert REAL_KEY not in str(kept)
    assert path.stat().st_size < 20 * len(long) / 100


def test_64_calls_at_once(hub: Path) -> None:
    with calling(hub) as (world, llm):
        llm.pause_s = 0.05
        threads = [threading.Thread(target=lambda: ask(world, "chat")) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert world.gateway.spend().tokens == 64 * (INPUT + OUTPUT)


# --- earlier attempts, and what an end means ----------------------------------------------------------------


def test_what_earlier_attempts_spent_counts(hub: Path) -> None:
    with calling(hub, budget=Budget(60, cost_usd=1.0), spent=Spend(cost_usd=1.0, tokens=7)) as (world, llm):
        status, said = ask(world, "chat")
        assert (status, b"1.00 of 1.00 USD" in said, len(llm.seen)) == (400, True, 0)
    with calling(hub, budget=Budget(60, tokens=2 * (INPUT + OUTPUT)), spent=Spend(tokens=INPUT + OUTPUT)) as (
        world,
        _,
    ):
        assert [ask(world, "chat")[0] for _ in range(2)] == [200, 400]
        assert world.gateway.spend().tokens == 2 * (INPUT + OUTPUT)


def test_hanging_up_before_the_count_is_told_does_not_make_calls_free(hub: Path) -> None:
    with calling(hub, budget=Budget(60, tokens=1500)) as (world, llm):
        llm.faults = ["cut"] * 4
        asked = [ask(world, "responses", instructions="x" * 3000)[0] for _ in range(4)]
        spend = world.gateway.spend()
    assert asked == [200, 200, 400, 400]
    assert (spend.tokens, spend.broken_off) == (0, 2)
    assert spend.broken_off_tokens is not None and spend.broken_off_tokens > 1500
    assert model_calls(world)[0]["estimated_usd"] > 0


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (401, SolveEnd.LLM_FAILED),
        (404, SolveEnd.LLM_FAILED),
        (529, SolveEnd.LLM_FAILED),
        ("cut", SolveEnd.LLM_FAILED),
        ("drop", SolveEnd.LLM_FAILED),
        (400, None),  # the agent's own doing
    ],
)
def test_the_last_call_says_whose_doing_an_end_is(hub: Path, fault: int | str, end: SolveEnd | None) -> None:
    with calling(hub, hold=Hold(0.1, 0.02, 0.05)) as (world, llm):
        assert world.gateway.trouble() is None
        llm.faults = [fault] * 20
        ask(world, "anthropic")
        world.wait_for(lambda: model_calls(world))
        trouble = world.gateway.trouble()
        assert (trouble.end if trouble else None) == end
        llm.faults.clear()
        ask(world, "anthropic")
        assert world.gateway.trouble() is None


def test_a_spent_budget_is_the_end_that_a_run_came_to(hub: Path) -> None:
    with calling(hub, budget=Budget(60, tokens=1)) as (world, _):
        assert [ask(world, "chat")[0] for _ in range(2)] == [200, 400]
        trouble = world.gateway.trouble()
    assert trouble is not None
    assert trouble.end is SolveEnd.BUDGET_SPENT
    assert f"{INPUT + OUTPUT} of 1 tokens" in trouble.why


@pytest.mark.parametrize("policy", [Policy.PAPER, Policy.STRICT])
def test_what_a_provider_would_fetch_is_told_and_under_strict_refused(hub: Path, policy: Policy) -> None:
    url = "https://far.example/test-set.png"
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    with calling(hub, policy=policy) as (world, llm):
        status, said = ask(world, "chat", messages=[picture])
    if policy is Policy.STRICT:
        assert (status, len(llm.seen)) == (403, 0)
        assert url.encode() in said
        assert world.requests(decision="denied", status=403)
    else:
        assert status == 200
        assert model_calls(world)[0]["provider_tools"] == f"looks up {url}"
