"""Notes' use cases that ask a model: summarise a text or a stored note, and suggest tags."""

from __future__ import annotations

from collections.abc import Sequence

from services.llm.types import Answer, ChatRequest
from services.notes import prompts, tags
from services.notes.store import Note, Notebook, Summary
from services.notes.tags import Tag
from services.web.asking import Wishes
from services.web.provenance import producer
from services.web.room import Client
from services.web.sqlite import Clock, utc_now

STORED_SUMMARY_TOKENS = 48


class Notes:
    """The use cases. Saving, finding and deleting are the notebook's own and ask no model."""

    def __init__(self, *, service: str, alias: str, notebook: Notebook, client: Client, now: Clock = utc_now) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        self._now = now
        self.notebook = notebook

    async def summarise(self, text: str, max_tokens: int, wishes: Wishes) -> Answer:
        """A summary of `text`; nothing is stored. Raises `LLMError`."""
        return await self._client.chat(self._summary_request(text, max_tokens, wishes))

    async def summarise_note(self, note: Note, wishes: Wishes) -> tuple[Note | None, Answer]:
        """`note` with a summary of the version it has here; None when it was deleted meanwhile. Raises `LLMError`."""
        request = self._summary_request(f"{note.title}\n\n{note.text}", STORED_SUMMARY_TOKENS, wishes)
        answer = await self._client.chat(request)
        made_by = producer(answer, request, prompt_version=prompts.PROMPT_VERSION, at=self._now())
        summary = Summary(text=answer.text.strip(), of_version=note.version, producer=made_by)
        return await self.notebook.summarised(note.id, summary), answer

    async def suggest_tags(
        self, text: str, vocabulary: Sequence[str], max_tokens: int, wishes: Wishes
    ) -> tuple[tuple[Tag, ...], Answer]:
        """Tags for `text`, of `vocabulary` and at most two new ones; nothing is stored. Raises `LLMError`."""
        known = tags.distinct(vocabulary)
        request = wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=prompts.tags_messages(text, known),
            max_tokens=max_tokens,
            schema=prompts.tags_schema(known),
        )
        answer = await self._client.chat(request)
        return tags.suggested(answer.text, known), answer

    def _summary_request(self, text: str, max_tokens: int, wishes: Wishes) -> ChatRequest:
        return wishes.chat(
            service=self._service, alias=self._alias, messages=prompts.messages(text), max_tokens=max_tokens
        )
