"""How a grader is configured: by environment variables, or by options that replace them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from posttrainbench.errors import SetupError
from posttrainbench.grade import Price

BASE_URL, MODEL, API_KEY = "PTB_GRADER_BASE_URL", "PTB_GRADER_MODEL", "PTB_GRADER_API_KEY"
REQUEST, PRICE = "PTB_GRADER_REQUEST", "PTB_GRADER_PRICE"
CACHE = "PTB_GRADER_CACHE"
CONCURRENCY, TIMEOUT_S = "PTB_GRADER_CONCURRENCY", "PTB_GRADER_TIMEOUT_S"

# The paper's grader. Its request fields are those of the paper's Arena-Hard evaluation.
PAPER_MODEL = "gpt-5-mini"
PAPER_REQUEST: Mapping[str, object] = {"reasoning_effort": "medium", "max_completion_tokens": 49152}


@dataclass(frozen=True, slots=True)
class GraderSettings:
    """An endpoint, a model, and how patiently it is asked."""

    base_url: str  # up to and without /chat/completions
    model: str
    api_key: str | None = field(default=None, repr=False)
    request: Mapping[str, object] = field(default_factory=dict)  # more fields of the request's body
    price: Price | None = None
    concurrency: int = 128  # requests in flight
    timeout_s: float = 300.0  # for one reply; a reasoning model thinks for minutes
    attempts: int = 10  # requests for one reply, when the endpoint fails
    readings: int = 3  # replies to one question, when they cannot be read
    backoff_s: float = 0.5  # before the second attempt; doubled before each further one
    longest_backoff_s: float = 60.0


def settings_from(environment: Mapping[str, str], **options: str | None) -> GraderSettings:
    """The settings that the variables PTB_GRADER_* name; `options` (base_url, model, ...) come first.

    Raises:
        SetupError: no endpoint is named, or a value cannot be read; the text holds the fix.
    """

    def told(name: str) -> str | None:
        return options.get(name.removeprefix("PTB_GRADER_").lower()) or environment.get(name) or None

    base_url = told(BASE_URL)
    if base_url is None:
        raise SetupError(
            f"this benchmark needs a grader: set {BASE_URL} (any OpenAI-compatible endpoint, such as "
            f"https://api.openai.com/v1) and {API_KEY}; {MODEL} if it is not {PAPER_MODEL}"
        )
    model = told(MODEL) or PAPER_MODEL
    return GraderSettings(
        base_url=base_url.rstrip("/").removesuffix("/chat/completions"),
        model=model,
        api_key=told(API_KEY),
        request=_request(told(REQUEST), model),
        price=_price(told(PRICE)),
        concurrency=int(_number(CONCURRENCY, told(CONCURRENCY), 128, at_least=1)),
        timeout_s=_number(TIMEOUT_S, told(TIMEOUT_S), 300.0, at_least=0.001),
    )


def grades_folder(environment: Mapping[str, str]) -> Path:
    """Where grades that were paid for are kept: `$PTB_GRADER_CACHE`, else below the user's cache folder."""
    named = environment.get(CACHE)
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(named or f"{cache}/posttrainbench/grades").expanduser()


def _request(text: str | None, model: str) -> Mapping[str, object]:
    if text is None:
        return dict(PAPER_REQUEST) if model == PAPER_MODEL else {}
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or {"model", "messages", "stream"} & set(fields):
        raise SetupError(
            f"{REQUEST} must be a JSON object of request fields (not model, messages or stream), "
            'such as {"temperature": 0}'
        )
    return fields


def _price(text: str | None) -> Price | None:
    """`prompt,completion` or `prompt,completion,cached`, in USD per million tokens."""
    if text is None:
        return None
    try:
        prompt, completion, *cached = (float(number) for number in text.split(","))
        if len(cached) > 1 or min(prompt, completion, *cached) < 0:
            raise ValueError
    except ValueError:
        raise SetupError(
            f"{PRICE} must be PROMPT,COMPLETION or PROMPT,COMPLETION,CACHED in USD per million tokens, "
            f"not {text!r}"
        ) from None
    return Price(prompt, completion, cached[0] if cached else None)


def _number(name: str, text: str | None, default: float, at_least: float) -> float:
    if text is None:
        return default
    try:
        number = float(text)
        if not at_least <= number < float("inf"):
            raise ValueError
    except ValueError:
        raise SetupError(f"{name} must be a number of at least {at_least:g}, not {text!r}") from None
    return number
