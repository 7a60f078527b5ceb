"""Keys, tokens and logins of the operator open a model API; its provider sees them, no sandbox does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from scripted_llm import REAL_KEY, Asked, scripted_llm
from small_world import make_hub, open_world
from test_model_calls import post, request_of

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.gateways.model_access import api_from, endpoint
from posttrainbench.gateways.socket_gateway import Llm
from posttrainbench.task import Policy

URLS = {
    "anthropic": "ANTHROPIC_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "gemini": "GOOGLE_GEMINI_BASE_URL",
}


def asked_by(
    name: str,
    dialect: str,
    path: str,
    environment: Mapping[str, str],
    under: str,
    tmp_path: Path,
    **headers: str,
) -> Asked:
    """What the provider saw of a call that the environment opened; its base URL ends with `under`."""
    with scripted_llm() as llm:
        told = {**environment, URLS[name]: f"{llm.base_url}{under}"}
        api = api_from(told, name)
        with open_world(Policy.PAPER, make_hub(tmp_path), llm=Llm((api,))) as world:
            status, _, _ = post(world, f"/llm/{name}{path}", request_of(dialect, stream=True), **headers)
            assert status == 200
        (asked,) = llm.seen
    return asked


@pytest.mark.parametrize(
    ("under", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/api/v1/", "/api/v1/chat/completions"),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
    ],
)
def test_a_compatible_endpoint_is_asked_where_it_lies(under: str, path: str, tmp_path: Path) -> None:
    key = {"OPENAI_API_KEY": REAL_KEY}
    asked = asked_by("openai", "chat", "/v1/chat/completions", key, under, tmp_path)
    assert asked.path == path
    assert asked.headers["authorization"] == f"Bearer {REAL_KEY}"


def test_a_token_opens_an_anthropic_compatible_endpoint(tmp_path: Path) -> None:
    token = {"ANTHROPIC_AUTH_TOKEN": REAL_KEY}
    asked = asked_by("anthropic", "anthropic", "/v1/messages", token, "/api/anthropic", tmp_path)
    assert asked.path == "/api/anthropic/v1/messages"
    assert asked.headers["authorization"] == f"Bearer {REAL_KEY}"
    assert "x-api-key" not in asked.headers


def test_a_claude_subscription_keeps_the_features_that_the_client_asks_for(tmp_path: Path) -> None:
    login = {"CLAUDE_CODE_OAUTH_TOKEN": REAL_KEY}
    betas = {"anthropic-beta": "interleaved-thinking-2025-05-14"}
    asked = asked_by("anthropic", "anthropic", "/v1/messages", login, "", tmp_path, **betas)
    assert asked.headers["authorization"] == f"Bearer {REAL_KEY}"
    assert asked.headers["anthropic-beta"] == "interleaved-thinking-2025-05-14,oauth-2025-04-20"


def codex_login(folder: Path, **tokens: str) -> dict[str, str]:
    file = folder / "auth.json"
    file.write_text(json.dumps({"OPENAI_API_KEY": None, "tokens": tokens}))
    return {"PTB_CODEX_LOGIN": str(file)}


def test_a_codex_login_opens_its_backend(tmp_path: Path) -> None:
    login = codex_login(tmp_path, access_token=REAL_KEY, account_id="account-1", refresh_token="r")
    assert endpoint(login, "openai").base_url == "https://chatgpt.com/backend-api/codex"
    assert endpoint(login, "openai").variable == "PTB_CODEX_LOGIN"
    asked = asked_by("openai", "responses", "/v1/responses", login, "/backend-api/codex", tmp_path)
    assert asked.path == "/backend-api/codex/responses"
    assert asked.headers["authorization"] == f"Bearer {REAL_KEY}"
    assert asked.headers["chatgpt-account-id"] == "account-1"


def test_a_login_that_is_none_is_told_without_what_it_holds(tmp_path: Path) -> None:
    broken = codex_login(tmp_path, access_token=REAL_KEY)
    with pytest.raises(InvalidFile, match="codex login") as told:
        api_from(broken, "openai")
    assert REAL_KEY not in str(told.value)
    with pytest.raises(InvalidFile, match="cannot be read"):
        api_from({"PTB_CODEX_LOGIN": str(tmp_path / "nowhere")}, "openai")


@pytest.mark.parametrize(
    ("name", "variable"),
    [("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY"), ("gemini", "GEMINI_API_KEY")],
)
def test_without_a_key_the_variable_is_named(name: str, variable: str) -> None:
    with pytest.raises(SetupError, match=variable):
        api_from({}, name)


def test_a_key_comes_before_a_login() -> None:
    both = {"ANTHROPIC_API_KEY": "key", "CLAUDE_CODE_OAUTH_TOKEN": "token"}
    assert api_from(both, "anthropic").credentials() == {"x-api-key": "key"}
