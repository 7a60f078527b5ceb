"""What the embedded world holds and where: repositories, revisions, siblings, chat formats."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Literal

from posttrainbench.errors import SetupError, UnknownName

_PACKAGE = Path(__file__).parent
_REPAIR = "install the package again, or run scripts/make_tinyworld.py"

QWEN3_BASE = "tinyworld/tiny-qwen3-base"
QWEN3_INSTRUCT = "tinyworld/tiny-qwen3-instruct"
LLAMA_BASE = "tinyworld/tiny-llama-base"
LLAMA_INSTRUCT = "tinyworld/tiny-llama-instruct"
TINY_MATH = "tinyworld/tiny-math"
TINY_TOOLS = "tinyworld/tiny-tools"
TINY_CHATTER = "tinyworld/tiny-chatter"

INSTRUCT_SIBLINGS = {QWEN3_BASE: QWEN3_INSTRUCT, LLAMA_BASE: LLAMA_INSTRUCT}
_FAMILY = {QWEN3_BASE: "qwen3", QWEN3_INSTRUCT: "qwen3", LLAMA_BASE: "llama", LLAMA_INSTRUCT: "llama"}
_END_OF_TURN = {"qwen3": "<|im_end|>", "llama": "<|eot_id|>"}

RepositoryType = Literal["models", "datasets"]


def hub_root() -> Path:
    """The folder with `index.json` that holds every repository of the tiny hub."""
    return _PACKAGE / "hub"


def base_model_names() -> tuple[str, ...]:
    """Repositories of base models: what an agent may be asked to post-train."""
    return tuple(INSTRUCT_SIBLINGS)


def model_names() -> tuple[str, ...]:
    """Every model repository of the tiny hub."""
    return tuple(_index()["models"])


def dataset_names() -> tuple[str, ...]:
    """Every data set repository of the tiny hub."""
    return tuple(_index()["datasets"])


def model_folder(name: str, revision: str = "main") -> Path:
    """The folder of a model at a revision (a ref such as "main", or a full commit)."""
    return _folder("models", name, revision)


def dataset_folder(name: str, revision: str = "main") -> Path:
    """The folder of a data set at a revision (a ref such as "main", or a full commit)."""
    return _folder("datasets", name, revision)


def commit_of(repository_type: RepositoryType, name: str, revision: str = "main") -> str:
    """The 40 hex digits that a revision stands for.

    Raises:
        UnknownName: there is no such repository or revision.
    """
    entry = _entry(repository_type, name)
    commit = entry["refs"].get(revision, revision)
    if commit not in entry["revisions"]:
        raise UnknownName("revision", revision, (*entry["refs"], *entry["revisions"]))
    return commit


def siblings_of(base_model: str) -> tuple[str, ...]:
    """The instruct models that were made from a base model."""
    return (INSTRUCT_SIBLINGS[base_model],) if base_model in INSTRUCT_SIBLINGS else ()


def chat_template(model: str) -> str:
    """The chat template of a model's family, the same text that its tokenizer carries.

    Raises:
        UnknownName: there is no such model in the embedded world.
    """
    return (_PACKAGE / "templates" / f"{_family(model)}.jinja").read_text(encoding="utf-8")


def end_of_turn(model: str) -> str:
    """The token that ends an answer in a model's chat format.

    Raises:
        UnknownName: there is no such model in the embedded world.
    """
    return _END_OF_TURN[_family(model)]


def _family(model: str) -> str:
    if model not in _FAMILY:
        raise UnknownName("model", model, tuple(_FAMILY))
    return _FAMILY[model]


def _folder(repository_type: RepositoryType, name: str, revision: str) -> Path:
    commit = commit_of(repository_type, name, revision)
    folder = hub_root() / _entry(repository_type, name)["revisions"][commit]
    if not folder.is_dir():
        raise SetupError(f"{folder} is missing; {_REPAIR}")
    return folder


def _entry(repository_type: RepositoryType, name: str) -> dict[str, dict[str, str]]:
    repositories = _index()[repository_type]
    if name not in repositories:
        raise UnknownName(repository_type.removesuffix("s"), name, tuple(repositories))
    return repositories[name]


@cache
def _index() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """models|datasets -> repository -> refs|revisions -> name -> commit|folder."""
    path = hub_root() / "index.json"
    try:
        index: dict[str, dict[str, dict[str, dict[str, str]]]] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(f"the tiny hub's {path.name} cannot be read ({error}); {_REPAIR}") from error
    return index
