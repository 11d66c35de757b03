"""Summaries of notes of any length: whole where the window holds them, else section by section and then of those."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from services.llm.errors import AllProvidersFailed, ContextTooLong, DeadlineExceeded, LLMError
from services.llm.mapping import prompt_bound
from services.llm.types import Answer, ChatRequest
from services.notes import prompts
from services.notes.sections import sections
from services.web.asking import Wishes
from services.web.room import Client

SUMMARY_TOKENS = 48
MAX_ROUNDS = 4
"""Each round makes a text about twenty times shorter; who needs more has an engine that does not shorten."""

MIN_SECTION_BYTES = 256


class Summariser:
    """Asks for summaries. `context` is the smallest window of the chain, in tokens."""

    def __init__(self, *, service: str, alias: str, context: int, client: Client) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        empty = prompt_bound(prompts.messages(""))
        self._section_bytes = max(MIN_SECTION_BYTES, context - SUMMARY_TOKENS - empty)

    def request(self, text: str, max_tokens: int, wishes: Wishes) -> ChatRequest:
        """What is asked for one summary."""
        return wishes.chat(
            service=self._service, alias=self._alias, messages=prompts.messages(text), max_tokens=max_tokens
        )

    async def summarise(self, text: str, wishes: Wishes) -> tuple[ChatRequest, Answer]:
        """The last request, and its answer: the summary of all of `text`. Raises `LLMError`."""
        request = self.request(text, SUMMARY_TOKENS, wishes)
        try:
            return request, await self._client.chat(request)
        except LLMError as exc:
            if not is_too_long(exc):
                raise
        shorter = await self.shortened(text, wishes)
        request = self.request(shorter, SUMMARY_TOKENS, wishes)
        return request, await self._client.chat(request)

    async def shortened(self, text: str, wishes: Wishes) -> str:
        """The summaries of the sections of `text`, in their order; of those again until one window holds them.

        All of it within the deadline of `wishes`. Raises `LLMError`.
        """
        ends = asyncio.get_running_loop().time() + wishes.deadline_s
        for _ in range(MAX_ROUNDS):
            pieces = await asyncio.to_thread(sections, text, max_bytes=self._section_bytes)
            text = "\n".join([await self._section(piece, wishes, ends) for piece in pieces if piece.strip()])
            if len(text.encode()) <= self._section_bytes:
                return text
        raise ContextTooLong(f"after {MAX_ROUNDS} rounds of summaries the note is still longer than the window")

    async def _section(self, piece: str, wishes: Wishes, ends: float) -> str:
        left_s = ends - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise DeadlineExceeded("the time was up before every section of the note had its summary")
        answer = await self._client.chat(self.request(piece, SUMMARY_TOKENS, replace(wishes, deadline_s=left_s)))
        return answer.text.strip()


def is_too_long(error: LLMError) -> bool:
    """Whether no window of the chain holds the prompt."""
    root = error.root if isinstance(error, AllProvidersFailed) else error
    return isinstance(root, ContextTooLong)
