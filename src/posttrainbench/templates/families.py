"""Which family a base model belongs to, and how that family writes a conversation.

The suite's base model decides, never the final model: whoever chose the template could choose the question.
Templates follow what the families publish about their formats; docs/chat-templates.md says where ours decide.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from posttrainbench.errors import UnknownName

FAMILIES = ("qwen3", "gemma3", "smollm3", "llama3")

_FAMILY_OF = {
    "Qwen/Qwen3-1.7B-Base": "qwen3",
    "Qwen/Qwen3-4B-Base": "qwen3",
    "google/gemma-3-4b-pt": "gemma3",
    "HuggingFaceTB/SmolLM3-3B-Base": "smollm3",
}


def family_of(base_model: str) -> str:
    """The family of a base model's hub id.

    Raises:
        UnknownName: no family is known for it.
    """
    try:
        return _FAMILY_OF[base_model]
    except KeyError:
        raise UnknownName("base model", base_model, _FAMILY_OF) from None


def template_of(base_model: str, given: str = "") -> str:
    """The Jinja text that a suite's base model is prompted through.

    Args:
        base_model: its hub id.
        given: what the suite says: a family's name, a Jinja text, or "" for the family that is known.

    Raises:
        UnknownName: no family is known for it and none is given.
    """
    if given and given not in FAMILIES:
        return given
    return chat_template(given or family_of(base_model))


@cache
def chat_template(family: str) -> str:
    """The Jinja text of a family's template.

    Raises:
        UnknownName: there is no such family.
    """
    if family not in FAMILIES:
        raise UnknownName("chat template", family, FAMILIES)
    return (Path(__file__).parent / f"{family}.jinja").read_text(encoding="utf-8")
