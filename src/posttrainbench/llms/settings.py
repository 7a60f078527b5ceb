"""How an LLM that we ask is configured: by environment variables, or by options that replace them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from posttrainbench import setting
from posttrainbench.errors import SetupError
from posttrainbench.llm import Price

SETTINGS = ("BASE_URL", "MODEL", "API_KEY", "REQUEST", "PRICE", "CONCURRENCY", "TIMEOUT_S")


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """An endpoint, a model, and how patiently it is asked."""

    base_url: str  # up to and without /chat/completions
    model: str
    api_key: str | None = field(default=None, repr=False)
    request: Mapping[str, object] = field(default_factory=dict)  # more fields of the request's body
    price: Price | None = None
    concurrency: int = 128  # requests in flight
    timeout_s: float = 300.0  # for one reply; a reasoning model thinks for minutes
    attempts: int = 10  # requests for one reply, when the endpoint fails
    backoff_s: float = 0.5  # before the second attempt; doubled before each further one
    longest_backoff_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Role:
    """What an LLM is asked for: how its variables are called, and what holds when they do not say."""

    prefix: str  # of its variables: PREFIX_BASE_URL and so on for all of SETTINGS
    missing: str  # what is wrong when no endpoint is named
    model: str | None = None  # None: one must be named
    request: Mapping[str, object] = field(default_factory=dict)  # more fields for that model
    timeout_s: float = 300.0
    attempts: int = 10


# The paper's grader. Its request fields are those of the paper's Arena-Hard evaluation.
GRADER = Role(
    "PTB_GRADER",
    "this benchmark needs a grader",
    "gpt-5-mini",
    {"reasoning_effort": "medium", "max_completion_tokens": 49152},
)
JUDGE = Role("PTB_JUDGE", "this judge asks an LLM", timeout_s=900.0, attempts=4)


def settings_from(environment: Mapping[str, str], role: Role, **options: str | None) -> LlmSettings:
    """The settings that the variables of a role name; `options` (base_url, model, ...) come first.

    Raises:
        SetupError: no endpoint or no model is named, or a value cannot be read; the text holds the fix.
    """

    def told(name: str) -> str | None:
        return options.get(name.lower()) or environment.get(f"{role.prefix}_{name}") or None

    base_url, model = told("BASE_URL"), told("MODEL") or role.model
    if base_url is None or model is None:
        unless = f" if it is not {role.model}" if role.model else ""
        raise SetupError(
            f"{role.missing}: set {role.prefix}_BASE_URL (any OpenAI-compatible endpoint, such as "
            f"https://api.openai.com/v1), {role.prefix}_API_KEY, and {role.prefix}_MODEL{unless}"
        )
    return LlmSettings(
        base_url=base_url.rstrip("/").removesuffix("/chat/completions"),
        model=model,
        api_key=told("API_KEY"),
        request=_request(f"{role.prefix}_REQUEST", told("REQUEST"), role, model),
        price=_price(f"{role.prefix}_PRICE", told("PRICE")),
        concurrency=int(setting.number(f"{role.prefix}_CONCURRENCY", told("CONCURRENCY"), 128, at_least=1)),
        timeout_s=timeout_from(environment, role),
        attempts=role.attempts,
    )


def timeout_from(environment: Mapping[str, str], role: Role) -> float:
    """How many seconds one reply may take."""
    name = f"{role.prefix}_TIMEOUT_S"
    return setting.number(name, environment.get(name) or None, role.timeout_s, at_least=0.001)


def usd_from(environment: Mapping[str, str], role: Role) -> float | None:
    """How many USD one reply may take; None when nothing bounds it."""
    name = f"{role.prefix}_USD"
    text = environment.get(name) or None
    return None if text is None else setting.number(name, text, 0.0, at_least=0.0)


def _request(name: str, text: str | None, role: Role, model: str) -> Mapping[str, object]:
    if text is None:
        return dict(role.request) if model == role.model else {}
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or {"model", "messages", "stream"} & set(fields):
        raise SetupError(
            f"{name} must be a JSON object of request fields (not model, messages or stream), "
            'such as {"temperature": 0}'
        )
    return fields


def _price(name: str, text: str | None) -> Price | None:
    """`prompt,completion` or `prompt,completion,cached`, in USD per million tokens."""
    if text is None:
        return None
    try:
        prompt, completion, *cached = (float(number) for number in text.split(","))
        if len(cached) > 1 or min(prompt, completion, *cached) < 0:
            raise ValueError
    except ValueError:
        raise SetupError(
            f"{name} must be PROMPT,COMPLETION or PROMPT,COMPLETION,CACHED in USD per million tokens, "
            f"not {text!r}"
        ) from None
    return Price(prompt, completion, cached[0] if cached else None)
