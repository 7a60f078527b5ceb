"""A judge that is an LLM behind any OpenAI-compatible endpoint: it reads the dossier and has no tools."""

from __future__ import annotations

import asyncio
from pathlib import Path

from posttrainbench.budget import Spend
from posttrainbench.judgement import JudgeSpec
from posttrainbench.llm import Message, Reply
from posttrainbench.protocols import Llm, Question

NAME = "api"


class ApiJudge:
    """Asks an LLM one question at a time."""

    def __init__(self, llm: Llm, dossier_characters: int) -> None:
        self.spec = JudgeSpec(NAME, llm.model, llm.host)
        self.dossier_characters = dossier_characters
        self._llm = llm

    def reply(self, question: Question, folder: Path) -> Reply:  # noqa: ARG002 the reply is all there is
        """What the LLM says.

        Raises:
            LlmUnavailable: nothing.
        """
        messages = (Message("system", question.instructions), Message("user", question.dossier))
        return asyncio.run(self._llm.reply(messages))

    def spend(self) -> Spend:
        """What all replies until now took."""
        took = self._llm.spend()
        tokens = None if took.tokens is None else took.tokens.prompt + took.tokens.completion
        return Spend(cost_usd=took.cost_usd, tokens=tokens, broken_off=took.lost)
