"""Graders against a scripted endpoint: what can go wrong on the way to a grade, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from grader_server import Answer, GraderServer, Script, asked, says, serving

from posttrainbench.errors import GradeUnavailable, SetupError
from posttrainbench.grade import GradingSpend
from posttrainbench.graders.cached import CachedGrader
from posttrainbench.llm import Message, Price, Tokens
from posttrainbench.llms.openai_compatible import OpenAICompatibleLlm
from posttrainbench.llms.settings import GRADER, LlmSettings, settings_from
from posttrainbench.scoring.rubric import parse_grade
from posttrainbench.stores.grades import GradeFolder

MET = '{"explanation": "it does", "criteria_met": true}'
PRICE = Price(prompt_usd=0.25, completion_usd=2.0, cached_usd=0.025)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def grader_at(server: GraderServer, folder: Path, **changes: object) -> CachedGrader:
    told: dict[str, object] = {
        "base_url": server.url,
        "model": "grader",
        "api_key": "secret",
        "price": PRICE,
        "timeout_s": 5.0,
        "backoff_s": 0.01,
        "attempts": 4,
    }
    return CachedGrader(OpenAICompatibleLlm(LlmSettings(**{**told, **changes})), GradeFolder(folder))  # type: ignore[arg-type]


def question(number: int = 0) -> tuple[Message, ...]:
    return (Message("system", "You grade."), Message("user", f"question {number}"))


def grades(grader: CachedGrader, questions: Sequence[tuple[Message, ...]]) -> list[object]:
    """What each question came to: a grade, or the exception."""

    async def all_of_them() -> list[object]:
        asking = [grader.grade(messages, parse_grade) for messages in questions]
        return list(await asyncio.gather(*asking, return_exceptions=True))

    return asyncio.run(all_of_them())


def first(*answers: Answer, then: Answer) -> Script:
    """Those answers for the first times a question is asked, then always the last."""
    return lambda _body, count: answers[count] if count < len(answers) else then


GOOD = Answer(MET)


def test_a_grade_is_asked_for_with_model_key_and_settings(tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        grader = grader_at(server, tmp_path, request={"temperature": 0})
        assert grades(grader, [question()]) == [True]
    (body,) = server.bodies
    assert body["model"] == "grader"
    assert body["temperature"] == 0
    assert body["messages"][0] == {"role": "system", "content": "You grade."}
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert "secret" not in repr(grader._llm._settings)
    assert not [path for path in tmp_path.rglob("*.json") if "secret" in path.read_text()]


def test_many_are_in_flight_and_no_more_than_allowed(tmp_path: Path) -> None:
    with serving(says(MET, delay_s=0.2)) as server:
        assert (
            grades(
                grader_at(server, tmp_path, concurrency=64, timeout_s=60), [question(n) for n in range(192)]
            )
            == [True] * 192
        )
    assert 16 <= server.most_in_flight <= 64
    assert len(server.bodies) == 192


TROUBLE = {
    "rate limit": Answer(status=429, raw=b'{"error": {"message": "slow down"}}'),
    "rate limit with a wait": Answer(status=429, raw=b"", headers={"Retry-After": "0"}),
    "rate limit with a date": Answer(
        status=429, raw=b"", headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    ),
    "server error": Answer(status=500, raw=b"<html>oops</html>"),
    "overloaded": Answer(status=529, raw=b'{"error": "overloaded"}'),
    "hang": Answer(MET, delay_s=30),
    "trickle": Answer(MET, trickle=True),
    "half a body": Answer(MET, claimed=10_000),
    "half a JSON": Answer(raw=b'{"choices": [{"mess'),
    "no choices": Answer(raw=b'{"choices": []}'),
    "not JSON": Answer(raw=b"\x00\xff"),
    "too deep": Answer(raw=b"[" * 100_000),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_that_passes_costs_nothing_but_time(what: str, tmp_path: Path) -> None:
    with serving(first(TROUBLE[what], then=GOOD)) as server:
        grader = grader_at(server, tmp_path, timeout_s=1.0)
        assert grades(grader, [question()]) == [True]
    assert len(server.bodies) == 2
    assert grader.spend().lost == 1


@pytest.mark.parametrize("what", TROUBLE)
def test_trouble_that_stays_is_no_grade(what: str, tmp_path: Path) -> None:
    with serving(says("", status=200)) as server:
        server.script = lambda _body, _count: TROUBLE[what]
        grader = grader_at(server, tmp_path, timeout_s=0.5, attempts=3)
        (end,) = grades(grader, [question()])
    assert isinstance(end, GradeUnavailable)
    assert "3 attempts" in str(end)
    assert len(server.bodies) == 3
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("text", ["", "certainly met!", '{"criteria_met": "yes"}'])
def test_a_reply_that_cannot_be_read_is_asked_for_again(text: str, tmp_path: Path) -> None:
    with serving(first(Answer(text), then=GOOD)) as server:
        grader = grader_at(server, tmp_path)
        assert grades(grader, [question()]) == [True]
        assert grader.spend().tokens == Tokens(2000, 400)  # both were paid for
    with serving(says(text)) as server:
        (end,) = grades(grader_at(server, tmp_path, model="another"), [question()])
    assert isinstance(end, GradeUnavailable)
    assert len(server.bodies) == 3


def test_all_wait_when_the_endpoint_asks_for_it(tmp_path: Path) -> None:
    limited = Answer(status=429, raw=b"", headers={"Retry-After": "1"})
    with serving(lambda _body, _count: GOOD if server.bodies else limited) as server:
        grader = grader_at(server, tmp_path, concurrency=2)
        assert grades(grader, [question(n) for n in range(6)]) == [True] * 6
    at_once = [time_s for time_s in server.times_s if time_s - server.times_s[0] < 0.95]
    assert len(at_once) <= 2  # the limited one, and the one that was under way
    assert len(server.bodies) == 7


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=401, raw=b'{"error": {"message": "no such key"}}'),
        Answer(status=404, raw=b'{"error": {"message": "no such model"}}'),
        Answer(status=429, raw=b'{"error": {"message": "pay first", "code": "insufficient_quota"}}'),
    ],
)
def test_what_no_waiting_mends_ends_all_questions_at_once(answer: Answer, tmp_path: Path) -> None:
    with serving(lambda _body, _count: answer) as server:
        ends = grades(grader_at(server, tmp_path, concurrency=4), [question(n) for n in range(100)])
    assert all(isinstance(end, GradeUnavailable) for end in ends)
    assert len(server.bodies) <= 4


def test_a_question_that_is_refused_ends_alone(tmp_path: Path) -> None:
    def script(body: dict[str, object], _count: int) -> Answer:
        return Answer(status=400, raw=b"too long") if asked(body) == "question 1" else GOOD

    with serving(script) as server:
        ends = grades(grader_at(server, tmp_path), [question(n) for n in range(3)])
    assert ends[0] is True
    assert ends[2] is True
    assert isinstance(ends[1], GradeUnavailable)
    assert len(server.bodies) == 3


def test_an_endpoint_that_is_gone_is_given_up(tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        pass
    grader = grader_at(server, tmp_path, attempts=2, concurrency=2)
    ends = grades(grader, [question(n) for n in range(50)])
    assert all(isinstance(end, GradeUnavailable) for end in ends)
    assert grader.spend().requests <= 2 * (3 + 2)


def test_a_repeated_evaluation_pays_once(tmp_path: Path) -> None:
    questions = [question(n) for n in range(20)]
    with serving(says(MET)) as server:
        assert grades(grader_at(server, tmp_path), questions) == [True] * 20
        again = grader_at(server, tmp_path)
        assert grades(again, questions) == [True] * 20
    assert len(server.bodies) == 20
    assert again.spend() == GradingSpend(again.name, 0, 20, 0, Tokens(0, 0), 0.0)


def test_an_interrupted_evaluation_pays_only_for_the_rest(tmp_path: Path) -> None:
    questions = [question(n) for n in range(20)]
    with serving(says(MET)) as server:

        def until_killed(_body: dict[str, object], _count: int) -> Answer:
            return GOOD if len(server.bodies) < 8 else Answer(status=401, raw=b"")

        server.script = until_killed
        ends = grades(grader_at(server, tmp_path, concurrency=2), questions)
        paid = ends.count(True)
        assert paid == 8
        server.script, server.bodies = says(MET), []
        rest = grader_at(server, tmp_path)
        assert grades(rest, questions) == [True] * 20
    assert len(server.bodies) == rest.spend().requests == 12
    assert rest.spend().from_cache == 8


def test_the_same_question_twice_at_once_is_asked_once(tmp_path: Path) -> None:
    with serving(says(MET, delay_s=0.1)) as server:
        assert grades(grader_at(server, tmp_path), [question()] * 5) == [True] * 5
    assert len(server.bodies) == 1


@pytest.mark.parametrize("change", [{"model": "other"}, {"request": {"temperature": 1}}])
def test_another_question_is_another_grade(change: dict[str, object], tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        grades(grader_at(server, tmp_path), [question()])
        grades(grader_at(server, tmp_path, **change), [question()])
    assert len(server.bodies) == 2


@pytest.mark.parametrize("content", ["", "{", '{"text": 3}', '{"text": "cut o'])
def test_a_grade_that_was_spoilt_on_the_disk_is_asked_for_again(content: str, tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        grades(grader_at(server, tmp_path), [question()])
        (path,) = tmp_path.rglob("*.json")
        path.write_text(content)
        assert grades(grader_at(server, tmp_path), [question()]) == [True]
    assert len(server.bodies) == 2


def test_a_grader_serves_one_event_loop_after_another(tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        grader = grader_at(server, tmp_path)
        assert grades(grader, [question(1)]) == grades(grader, [question(2)]) == [True]


def test_cost_is_counted_to_the_cent(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 400}}
    with serving(says(MET, usage=usage)) as server:
        grader = grader_at(server, tmp_path)
        grades(grader, [question(n) for n in range(100)])
    spend = grader.spend()
    assert spend.tokens == Tokens(100_000, 20_000, 40_000)
    # 60,000 at 0.25, 40,000 at 0.025 and 20,000 at 2 USD per million
    assert spend.cost_usd == pytest.approx(0.015 + 0.001 + 0.04, abs=1e-12)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 3}])
def test_what_is_not_told_is_unknown_and_never_zero(usage: dict[str, object] | None, tmp_path: Path) -> None:
    with serving(says(MET, usage=usage)) as server:
        grader = grader_at(server, tmp_path)
        assert grades(grader, [question()]) == [True]
    assert grader.spend().tokens is None
    assert grader.spend().cost_usd is None


def test_without_a_price_there_is_no_cost(tmp_path: Path) -> None:
    with serving(says(MET)) as server:
        grader = grader_at(server, tmp_path, price=None)
        grades(grader, [question()])
    assert grader.spend().tokens == Tokens(1000, 200)
    assert grader.spend().cost_usd is None


def test_a_grade_takes_little_of_our_own_time(tmp_path: Path) -> None:
    """The server's threads count too: they share the process."""
    questions = [question(n) for n in range(300)]
    with serving(says(MET)) as server:
        grader = grader_at(server, tmp_path, concurrency=256)
        started_s = time.process_time()
        assert grades(grader, questions) == [True] * 300
        assert (time.process_time() - started_s) / 300 < 0.01


def test_settings_come_from_the_environment_and_options_come_first() -> None:
    told = {
        "PTB_GRADER_BASE_URL": "http://127.0.0.1:1/v1/",
        "PTB_GRADER_MODEL": "small",
        "PTB_GRADER_API_KEY": "key",
        "PTB_GRADER_PRICE": "0.25,2",
        "PTB_GRADER_REQUEST": '{"temperature": 0}',
        "PTB_GRADER_CONCURRENCY": "256",
    }
    settings = settings_from(told, GRADER)
    assert (settings.base_url, settings.model, settings.api_key) == ("http://127.0.0.1:1/v1", "small", "key")
    assert (settings.price, settings.request, settings.concurrency) == (
        Price(0.25, 2.0),
        {"temperature": 0},
        256,
    )
    assert settings_from(told, GRADER, model="large", base_url=None).model == "large"
    assert (
        settings_from({"PTB_GRADER_BASE_URL": "http://x/v1"}, GRADER).request["reasoning_effort"] == "medium"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PTB_GRADER_BASE_URL", ""),
        ("PTB_GRADER_PRICE", "cheap"),
        ("PTB_GRADER_PRICE", "1,2,3,4"),
        ("PTB_GRADER_PRICE", "-1,2"),
        ("PTB_GRADER_REQUEST", "[]"),
        ("PTB_GRADER_REQUEST", '{"model": "mine"}'),
        ("PTB_GRADER_CONCURRENCY", "0"),
        ("PTB_GRADER_TIMEOUT_S", "nan"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(SetupError, match=name):
        settings_from({"PTB_GRADER_BASE_URL": "http://x/v1", name: value}, GRADER)
