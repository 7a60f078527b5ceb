"""The model APIs that the operator's environment opens: where they lie, and with which key or login.

Keys and tokens are read here, on the host, and go into `ModelApi`; no sandbox sees them. A login's token is
taken as it is: nobody renews it, so one that ends within the run ends the run's model calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from posttrainbench.errors import InvalidFile, SetupError, UnknownName
from posttrainbench.gateways.model_apis import Auth, ModelApi
from posttrainbench.gateways.prices import VARIABLE, Prices, read_prices

CODEX_LOGIN = "PTB_CODEX_LOGIN"  # a file: what `codex login` leaves at ~/.codex/auth.json
_CODEX_BASE = "https://chatgpt.com/backend-api/codex"


@dataclass(frozen=True, slots=True)
class _Key:
    """A variable that may hold a key, and how it is shown to the API."""

    variable: str
    auth: Auth
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an API lies unless the operator says otherwise; of `keys`, the first that is set opens it."""

    base_url: str
    base_url_variable: str
    keys: tuple[_Key, ...]
    provider: str


_PLACES = {
    "anthropic": _Place(
        "https://api.anthropic.com",
        "ANTHROPIC_BASE_URL",
        (
            _Key("ANTHROPIC_API_KEY", "x-api-key"),
            _Key("ANTHROPIC_AUTH_TOKEN", "bearer"),  # what most compatible endpoints of others want
            # A subscription's token, which the API takes with this header only.
            _Key("CLAUDE_CODE_OAUTH_TOKEN", "bearer", {"anthropic-beta": "oauth-2025-04-20"}),
        ),
        "anthropic",
    ),
    "openai": _Place(
        "https://api.openai.com", "OPENAI_BASE_URL", (_Key("OPENAI_API_KEY", "bearer"),), "openai"
    ),
    "gemini": _Place(
        "https://generativelanguage.googleapis.com",
        "GOOGLE_GEMINI_BASE_URL",
        (_Key("GEMINI_API_KEY", "x-goog-api-key"),),
        "google",
    ),
}


def api_from(environment: Mapping[str, str], name: str) -> ModelApi:
    """The API of that name, as the environment opens it.

    Raises:
        SetupError: there is no key for it.
        InvalidFile: the file of a login holds none.
    """
    if name not in _PLACES:
        raise UnknownName("model API", name, _PLACES)
    place = _PLACES[name]
    told = (environment.get(place.base_url_variable) or "").rstrip("/")
    opened = _opened_by(environment, place)
    if opened is not None:
        base_url = (told or place.base_url).removesuffix("/v1")
        # Clients of OpenAI's API put its version into the base URL; some compatible ones have another there.
        versioned = name != "openai" or told.endswith("/v1") or not urlsplit(told).path
        return ModelApi(
            name,
            base_url,
            environment[opened.variable],
            opened.auth,
            None if told else place.provider,
            headers=opened.headers,
            versioned=versioned,
        )
    login = environment.get(CODEX_LOGIN) if name == "openai" else None
    if login:
        tokens = _codex_login(Path(login))
        headers = {"chatgpt-account-id": tokens.account_id}
        base_url = told or _CODEX_BASE
        return ModelApi(
            name, base_url, tokens.access_token, "bearer", place.provider, headers=headers, versioned=False
        )
    raise SetupError(f"this agent needs a key: set {place.keys[0].variable} (it stays outside the sandbox)")


def _opened_by(environment: Mapping[str, str], place: _Place) -> _Key | None:
    return next((key for key in place.keys if environment.get(key.variable)), None)


class _CodexTokens(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    access_token: str
    account_id: str


class _CodexLogin(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    tokens: _CodexTokens


def _codex_login(path: Path) -> _CodexTokens:
    try:
        return _CodexLogin.model_validate_json(path.read_bytes()).tokens
    except OSError as failed:
        raise InvalidFile(f"{CODEX_LOGIN} names {path}, which cannot be read: {failed.strerror}") from None
    except ValidationError:
        raise InvalidFile(f"{path} holds no login with tokens; make one with: codex login") from None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API lies and which variable opens it; never the key itself."""

    name: str
    base_url: str
    provider: str | None
    variable: str
    is_open: bool  # whether that variable holds anything


def endpoint(environment: Mapping[str, str], name: str) -> Endpoint:
    """What `api_from` would make of the environment, the key left out."""
    place = _PLACES[name]
    try:
        api = api_from(environment, name)
    except SetupError:
        return Endpoint(name, place.base_url, place.provider, place.keys[0].variable, False)
    opened = _opened_by(environment, place)
    return Endpoint(name, api.base_url, api.provider, opened.variable if opened else CODEX_LOGIN, True)


def prices_from(environment: Mapping[str, str]) -> Prices:
    """The operator's table of prices, if the environment names one, before the published ones."""
    path = environment.get(VARIABLE)
    return read_prices(Path(path)) if path else Prices()
