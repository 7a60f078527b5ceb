"""A model that a person has on disk: whether it can be loaded, and which chat template prompts go through."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.templates.families import FAMILIES, chat_template

OWN = "own"


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja template, and where it comes from in words."""

    text: str
    source: str


def check_model(folder: Path) -> None:
    """Nothing, when the folder looks like a model of the Hugging Face format with safetensors weights.

    Raises:
        SetupError: what is missing, and what was expected.
    """
    if not folder.is_dir():
        raise SetupError(
            f"{folder} is no folder; --model takes a downloaded model (hf download ID --local-dir DIR)"
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise SetupError(f"{folder} holds an adapter only; merge it into its base model first")
    missing = [name for name in ("config.json",) if not (folder / name).is_file()]
    missing += [] if any(folder.glob("*.safetensors")) else ["*.safetensors"]
    missing += [] if any(folder.glob("tokenizer*")) else ["tokenizer.json"]
    if missing:
        raise SetupError(f"{folder} is no model folder: {', '.join(missing)} not found in it")


def chat_template_for(folder: Path, wanted: str | None) -> ChatTemplate:
    """The template that was asked for: a family's name, a file, `own`, or by default the model's own.

    Raises:
        SetupError: there is none; the text says how to give one.
    """
    if wanted in FAMILIES:
        return ChatTemplate(chat_template(wanted), f"{wanted} (ours)")
    if wanted is not None and wanted != OWN:
        return ChatTemplate(_text(Path(wanted)), wanted)
    own = own_template(folder)
    if own is None:
        raise SetupError(
            f"{folder} has no chat template (many base models have none); "
            f"give one with --chat-template, a file or one of {', '.join(FAMILIES)}"
        )
    return ChatTemplate(own, "the model's own")


def own_template(folder: Path) -> str | None:
    """The chat template that lies with a model; None when there is none."""
    if (folder / "chat_template.jinja").is_file():
        return _text(folder / "chat_template.jinja")
    try:
        settings = json.loads(_text(folder / "tokenizer_config.json"))
    except SetupError:
        return None
    except ValueError:
        raise InvalidFile(f"{folder / 'tokenizer_config.json'} is no JSON") from None
    template = settings.get("chat_template") if isinstance(settings, dict) else None
    return template if isinstance(template, str) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
