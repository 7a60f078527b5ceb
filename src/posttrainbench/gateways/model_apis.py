"""A model API with its key, how long its outages are waited out, and one call to it as it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from posttrainbench.gateways.dialects import Json, Route
from posttrainbench.gateways.http1 import Request
from posttrainbench.ledger import Scalar

Auth = Literal["bearer", "x-api-key", "x-goog-api-key"]


@dataclass(frozen=True, slots=True)
class ModelApi:
    """One provider's API, and the key to it."""

    name: str  # its place inside: /llm/NAME
    base_url: str  # without the /v1
    key: str = field(repr=False)
    auth: Auth = "bearer"
    provider: str | None = None  # as genai-prices calls it; None: found by the model's name
    models: tuple[str, ...] = ()  # patterns of the models that may be asked; empty: any
    headers: Mapping[str, str] = field(default_factory=dict)  # put in beside the key
    versioned: bool = True  # whether its paths begin with the /v1 that clients put there

    def credentials(self) -> dict[str, str]:
        """The headers that open the API."""
        if self.auth == "bearer":
            return {**self.headers, "authorization": f"Bearer {self.key}"}
        return {**self.headers, self.auth: self.key}


@dataclass(frozen=True, slots=True)
class Hold:
    """How an outage is waited out."""

    most_s: float = 3600.0  # after that, the agent gets the provider's own answer
    first_s: float = 1.0
    longest_s: float = 60.0

    def pauses(self) -> Iterator[float]:
        """Seconds to wait between tries, for `most_s` in all."""
        pause_s, left_s = self.first_s, self.most_s
        while left_s > 0:
            yield min(pause_s, left_s)
            left_s -= pause_s
            pause_s = min(pause_s * 2, self.longest_s)


@dataclass
class Call:
    """One call as it goes: what was asked, what came of it."""

    api: ModelApi
    route: Route
    request: Request
    path: str
    body: Json
    sent: bytes  # the body as it goes out
    begun_s: float
    tools: list[str]  # what the provider was to do by itself
    stripped: bool  # and was not let
    tries: int = 0
    held_s: float = 0.0
    status: int | None = None
    error: str | None = None
    answer: bytearray = field(default_factory=bytearray)
    finished: bool = False
    left: bool = False  # by its client
    kept: Mapping[str, Scalar] | None = None  # what is to be kept of it beside the bodies

    @property
    def model(self) -> str | None:
        named = self.route.model or self.body.get("model")
        return named if isinstance(named, str) else None
