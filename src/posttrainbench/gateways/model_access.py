"""The model APIs that the operator's environment opens: where they lie, and with which key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.gateways.model_calls import ModelApi
from posttrainbench.gateways.prices import VARIABLE, Prices, read_prices


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an API lies unless the operator says otherwise, and which variables hold what."""

    base_url: str
    base_url_variable: str
    key_variable: str
    auth: Literal["bearer", "x-api-key", "x-goog-api-key"]
    provider: str


_PLACES = {
    "anthropic": _Place(
        "https://api.anthropic.com", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "x-api-key", "anthropic"
    ),
    "openai": _Place("https://api.openai.com", "OPENAI_BASE_URL", "OPENAI_API_KEY", "bearer", "openai"),
    "gemini": _Place(
        "https://generativelanguage.googleapis.com",
        "GOOGLE_GEMINI_BASE_URL",
        "GEMINI_API_KEY",
        "x-goog-api-key",
        "google",
    ),
}
# A Claude subscription: a token instead of a key, which the API takes with this header only.
_SUBSCRIPTION = "CLAUDE_CODE_OAUTH_TOKEN"
_SUBSCRIPTION_HEADERS = {"anthropic-beta": "oauth-2025-04-20"}


def api_from(environment: Mapping[str, str], name: str) -> ModelApi:
    """The API of that name, as the environment opens it.

    Raises:
        SetupError: there is no key for it.
    """
    if name not in _PLACES:
        raise UnknownName("model API", name, _PLACES)
    place = _PLACES[name]
    told = environment.get(place.base_url_variable)
    base_url = (told or place.base_url).rstrip("/").removesuffix("/v1")
    provider = None if told else place.provider
    key = environment.get(place.key_variable)
    if key:
        return ModelApi(name, base_url, key, place.auth, provider)
    token = environment.get(_SUBSCRIPTION) if name == "anthropic" else None
    if token:
        return ModelApi(name, base_url, token, "bearer", provider, headers=_SUBSCRIPTION_HEADERS)
    raise SetupError(f"this agent needs a key: set {place.key_variable} (it stays outside the sandbox)")


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
        return Endpoint(name, place.base_url, place.provider, place.key_variable, False)
    variable = place.key_variable if environment.get(place.key_variable) else _SUBSCRIPTION
    return Endpoint(name, api.base_url, api.provider, variable, True)


def prices_from(environment: Mapping[str, str]) -> Prices:
    """The operator's table of prices, if the environment names one, before the published ones."""
    path = environment.get(VARIABLE)
    return read_prices(Path(path)) if path else Prices()
