"""Chat templates against strings written by hand from the families' public descriptions of their formats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posttrainbench.errors import UnknownName
from posttrainbench.templates.families import FAMILIES, chat_template, family_of, template_of

Message = dict[str, Any]
WEATHER = {
    "type": "function",
    "function": {
        "name": "rain_in",
        "description": "Millimetres of rain",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
CALL = {"type": "function", "function": {"name": "rain_in", "arguments": {"town": "Søby"}}}
CALL_JSON = '{"name": "rain_in", "arguments": {"town": "Søby"}}'
SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Does it rain?"}
SAY = {"role": "assistant", "content": "It does."}
MORE = {"role": "user", "content": "Much?"}
CALLS = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "name": "rain_in", "content": "7"}
HEADER = (
    "<|im_start|>system\n## Metadata\n\nKnowledge Cutoff Date: June 2025\nToday Date: 01 July 2025\n"
    "Reasoning Mode: /think\n\n## Custom Instructions\n\n"
)
NAMED = "You are a helpful AI assistant named SmolLM, trained by Hugging Face.\n\n"
BRACES = '{"name": <function-name>, "arguments": <args-json-object>}'
NO_THOUGHT = "<think>\n\n</think>\n"


def render(
    family: str, messages: list[Message], tools: bool = False, prompt: bool = True, **more: Any
) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    (text,), _ = render_jinja_template(
        conversations=[messages],
        tools=[WEATHER] if tools else None,
        chat_template=chat_template(family),
        add_generation_prompt=prompt,
        bos_token={"gemma3": "<bos>", "llama3": "<|begin_of_text|>"}.get(family, ""),
        **more,
    )
    return str(text)


def turn(role: str, content: str) -> str:
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def gemma_turn(role: str, content: str) -> str:
    return f"<start_of_turn>{role}\n{content}<end_of_turn>\n"


def llama_turn(role: str, content: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>"


ANSWER_STARTS = {
    "qwen3": "<|im_start|>assistant\n",
    "smollm3": "<|im_start|>assistant\n",
    "gemma3": "<start_of_turn>model\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
}
ONE_TURN = {
    "qwen3": turn("user", "Does it rain?") + ANSWER_STARTS["qwen3"],
    "smollm3": HEADER + NAMED + turn("user", "Does it rain?") + "<|im_start|>assistant\n",
    "gemma3": "<bos>" + gemma_turn("user", "Does it rain?") + "<start_of_turn>model\n",
    "llama3": "<|begin_of_text|>"
    + llama_turn("user", "Does it rain?")
    + "<|start_header_id|>assistant<|end_header_id|>\n\n",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_one_question_ends_in_the_assistants_turn(family: str) -> None:
    assert render(family, [ASK]) == ONE_TURN[family]


TWO_TURNS = {
    "qwen3": turn("system", "Be brief.")
    + turn("user", "Does it rain?")
    + turn("assistant", "It does.")
    + turn("user", "Much?")
    + "<|im_start|>assistant\n",
    "smollm3": HEADER
    + "Be brief.\n\n"
    + turn("user", "Does it rain?")
    + turn("assistant", "It does.")
    + turn("user", "Much?")
    + "<|im_start|>assistant\n",
    "gemma3": "<bos>"
    + gemma_turn("user", "Be brief.\n\nDoes it rain?")
    + gemma_turn("model", "It does.")
    + gemma_turn("user", "Much?")
    + "<start_of_turn>model\n",
    "llama3": "<|begin_of_text|>"
    + llama_turn("system", "Be brief.")
    + llama_turn("user", "Does it rain?")
    + llama_turn("assistant", "It does.")
    + llama_turn("user", "Much?")
    + "<|start_header_id|>assistant<|end_header_id|>\n\n",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_system_prompt_and_several_turns(family: str) -> None:
    assert render(family, [SYSTEM, ASK, SAY, MORE]) == TWO_TURNS[family]


LISTED = json.dumps(WEATHER)
TOOLS = {
    "qwen3": turn(
        "system",
        "Be brief.\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        f"You are provided with function signatures within "
        f"<tools></tools> XML tags:\n<tools>\n{LISTED}\n</tools>"
        "\n\nFor each function call, return a json object with function name and arguments within "
        f"<tool_call></tool_call> XML tags:\n<tool_call>\n{BRACES}\n</tool_call>",
    )
    + turn("user", "Does it rain?")
    + turn("assistant", f"<tool_call>\n{CALL_JSON}\n</tool_call>")
    + turn("user", "<tool_response>\n7\n</tool_response>"),
    "smollm3": HEADER
    + "Be brief.\n\n### Tools\n\nYou may call one or more functions to assist with the user query.\n"
    + "You are provided with function signatures within "
    + f"<tools></tools> XML tags:\n\n<tools>\n{WEATHER}\n</tools>"
    + "\n\nFor each function call, return a json object with function name and arguments within "
    + f"<tool_call></tool_call> XML tags:\n<tool_call>\n{BRACES}\n</tool_call>\n\n<|im_end|>\n"
    + turn("user", "Does it rain?")
    + turn("assistant", f"<tool_call>\n{CALL_JSON}\n</tool_call>")
    + turn("user", "7"),
    "gemma3": "<bos>"
    + gemma_turn(
        "user",
        f"Be brief.\n\nYou have access to functions:\n<tools>\n{LISTED}\n</tools>\n\n"
        "To call one, answer with a JSON object between tags and nothing else:\n<tool_call>\n"
        '{"name": <function name>, "arguments": <object of argument names and values>}\n</tool_call>\n\n'
        "Does it rain?",
    )
    + gemma_turn("model", f"<tool_call>\n{CALL_JSON}\n</tool_call>")
    + gemma_turn("user", "<tool_response>\n7\n</tool_response>"),
    "llama3": "<|begin_of_text|>"
    + llama_turn("system", "Be brief.")
    + llama_turn(
        "user",
        "Given the following functions, please respond with a JSON for a function call with its proper "
        'arguments that best answers the given prompt.\n\nRespond in the format {"name": function name, '
        '"parameters": '
        "dictionary of argument name and its value}. Do not use variables.\n\n"
        f"{json.dumps(WEATHER, indent=4)}\n\nDoes it rain?",
    )
    + llama_turn("assistant", CALL_JSON.replace('"arguments"', '"parameters"'))
    + llama_turn("ipython", "7"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_tools_a_call_and_its_result(family: str) -> None:
    rendered = render(family, [SYSTEM, ASK, CALLS, RESULT], tools=True)
    assert rendered == TOOLS[family] + ANSWER_STARTS[family]


@pytest.mark.parametrize(("family", "skipped"), [("qwen3", NO_THOUGHT + "\n"), ("smollm3", NO_THOUGHT)])
def test_thinking_can_be_turned_off(family: str, skipped: str) -> None:
    rendered = render(family, [ASK], enable_thinking=False)
    assert rendered == ONE_TURN[family].replace("/think", "/no_think") + skipped


@pytest.mark.parametrize("family", ["qwen3", "smollm3"])
def test_thoughts_of_earlier_turns_are_left_out(family: str) -> None:
    thinking = {"role": "assistant", "content": "<think>\nclouds\n</think>\n\nIt does."}
    assert render(family, [SYSTEM, ASK, thinking, MORE]) == TWO_TURNS[family]


def test_qwen_keeps_the_thoughts_that_led_to_a_call() -> None:
    thinking = {**CALLS, "reasoning_content": "look it up"}
    rendered = render("qwen3", [ASK, thinking, RESULT], tools=True)
    assert (
        turn("assistant", f"<think>\nlook it up\n</think>\n\n<tool_call>\n{CALL_JSON}\n</tool_call>")
        in rendered
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prompt_is_how_the_trained_conversation_begins(family: str) -> None:
    """What an agent trains on, with the answer in place, starts with what the evaluation will ask."""
    trained = render(family, [SYSTEM, ASK, SAY], prompt=False)
    prompt = render(family, [SYSTEM, ASK])
    assert trained.startswith(prompt)
    assert trained.removeprefix(prompt).removeprefix(NO_THOUGHT + "\n").startswith("It does.")


@pytest.mark.parametrize(
    ("base_model", "family"),
    [
        ("Qwen/Qwen3-1.7B-Base", "qwen3"),
        ("Qwen/Qwen3-4B-Base", "qwen3"),
        ("google/gemma-3-4b-pt", "gemma3"),
        ("HuggingFaceTB/SmolLM3-3B-Base", "smollm3"),
    ],
)
def test_the_papers_base_models_have_a_family(base_model: str, family: str) -> None:
    assert family_of(base_model) == family
    assert chat_template(family)


def test_an_unknown_base_model_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Qwen3-4B-Base"):
        family_of("Qwen/Qwen3-4B-Bose")
    with pytest.raises(UnknownName, match="llama3"):
        chat_template("llama4")


def test_a_suite_may_name_another_family_or_bring_its_own_text() -> None:
    assert template_of("Qwen/Qwen3-4B-Base") == chat_template("qwen3")
    assert template_of("Qwen/Qwen3-4B-Base", "gemma3") == chat_template("gemma3")
    assert template_of("own/model", "{{ messages }}") == "{{ messages }}"
    with pytest.raises(UnknownName):
        template_of("own/model")
