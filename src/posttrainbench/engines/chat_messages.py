"""Messages, tools and completions: from Inspect's shapes to those of templates and servers, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    Content,
    ContentReasoning,
    ContentText,
)
from inspect_ai.tool import ToolCall, ToolInfo

from posttrainbench.engines.tool_calls import Spoken

_THOUGHT = re.compile(r"\A\s*<think>(.*?)</think>\s*", re.DOTALL)


def plain_message(message: ChatMessage) -> dict[str, Any]:
    """A message as chat templates know it."""
    plain: dict[str, Any] = {"role": message.role, "content": message.text}
    if isinstance(message, ChatMessageAssistant):
        thoughts = _thoughts(message.content)
        if thoughts:
            plain["reasoning_content"] = thoughts
        if message.tool_calls:
            plain["tool_calls"] = [
                {"type": "function", "function": {"name": call.function, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
    if isinstance(message, ChatMessageTool):
        plain["name"] = message.function or ""
    return plain


def tool_schema(tool: ToolInfo) -> dict[str, Any]:
    """A tool as chat templates and servers know it."""
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters.model_dump(exclude_none=True),
        },
    }


def tool_calls(spoken: Spoken) -> list[ToolCall]:
    """A completion's calls as Inspect knows them."""
    return [
        ToolCall(id=f"call_{place}", function=call.name, arguments=dict(call.arguments))
        for place, call in enumerate(spoken.calls)
    ]


def contents_of(text: str, reasoning: str = "") -> str | list[Content]:
    """What the assistant said; its thoughts apart, whether told apart or written in tags before the rest."""
    found = None if reasoning else _THOUGHT.match(text)
    if found:
        reasoning, text = found.group(1).strip(), text[found.end() :]
    elif not reasoning:
        return text
    return [ContentReasoning(reasoning=reasoning), ContentText(text=text)]


def _thoughts(content: str | Sequence[Content]) -> str:
    if isinstance(content, str):
        return ""
    return "\n".join(part.reasoning for part in content if isinstance(part, ContentReasoning))
