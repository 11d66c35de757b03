"""Notes' use cases that ask a model: summarise a text or a stored note, and suggest tags for either."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from services.llm.errors import LLMError
from services.llm.types import Answer, ChatRequest
from services.notes import prompts, tags, vocabulary
from services.notes.answers import NoteSources
from services.notes.passages import passages
from services.notes.store import FoundBy, Note, Notebook, NoteHit, Sought, Summary
from services.notes.summaries import Summariser, is_too_long
from services.notes.tags import Tag
from services.notes.which import ANY, Place, RankingLost, Which
from services.store.clock import Clock, utc_now
from services.store.jobs import Job
from services.store.vectors import ForeignSpace
from services.web.answering import Answering
from services.web.asking import Wishes
from services.web.meaning import Meaning
from services.web.provenance import producer
from services.web.room import Client

STORED_TAGS_TOKENS = 64
NEAR = 8
"""Notes like the one at hand whose tags come first."""

log = logging.getLogger("cutover.notes")


class Notes:
    """The use cases of one workspace. Saving, finding and deleting are the notebook's own and ask no model.

    `context` is the smallest window of the chain, in tokens. Without `meaning` notes are found by words alone.
    """

    def __init__(
        self,
        *,
        service: str,
        alias: str,
        context: int,
        notebook: Notebook,
        client: Client,
        meaning: Meaning | None = None,
        now: Clock = utc_now,
    ) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        self._now = now
        self._meaning = meaning
        self._summariser = Summariser(service=service, alias=alias, context=context, client=client)
        self.notebook = notebook
        self.answers = Answering(
            service=service,
            alias=alias,
            context=context,
            client=client,
            sources=NoteSources(find=self.search, notebook=notebook),
        )

    @property
    def has_meaning(self) -> bool:
        """Whether notes may be found by meaning as well as by words."""
        return self._meaning is not None

    async def summarise(self, text: str, max_tokens: int, wishes: Wishes) -> Answer:
        """A summary of `text`; nothing is stored. Raises `LLMError`."""
        return await self._client.chat(self._summariser.request(text, max_tokens, wishes))

    async def summarise_note(self, note: Note, wishes: Wishes, *, job: Job | None = None) -> tuple[Note | None, Answer]:
        """`note` with a summary of the version it has here; None when it was deleted meanwhile. Raises `LLMError`.

        `job` is done with it.
        """
        request, answer = await self._summariser.summarise(_whole(note), wishes)
        made_by = producer(answer, request, prompt_version=prompts.PROMPT_VERSION, at=self._now())
        summary = Summary(text=answer.text.strip(), of_version=note.version, producer=made_by)
        return await self.notebook.summarised(note.id, summary, job=job), answer

    async def suggest_tags(
        self, text: str, known: Sequence[str], max_tokens: int, wishes: Wishes
    ) -> tuple[tuple[Tag, ...], Answer]:
        """Tags for `text`, of `known` and at most two new ones; nothing is stored. Raises `LLMError`."""
        known = tags.distinct(known)
        answer = await self._client.chat(self._tags_request(text, known, max_tokens, wishes))
        return tags.suggested(answer.text, known), answer

    async def tag_note(self, note: Note, wishes: Wishes, *, job: Job | None = None) -> tuple[Note | None, Answer]:
        """`note` with what is suggested now in place of older suggestions; None when it was deleted meanwhile.

        `job` is done with it. Raises `LLMError`.
        """
        near, _ = await self.near(note, NEAR)
        known = await asyncio.to_thread(vocabulary.shown, note, await self.notebook.tags(), near)
        request, answer = await self._tagged(_whole(note), known, wishes)
        made_by = producer(answer, request, prompt_version=prompts.TAGS_VERSION, at=self._now())
        found = vocabulary.stored(tags.suggested(answer.text, known), note, made_by)
        return await self.notebook.suggested(note.id, found, job=job), answer

    async def near(self, note: Note, limit: int) -> tuple[list[Note], FoundBy]:
        """The notes most like this one, best first, and what they were judged by."""
        hits, by = await self._searched(_whole(note), limit + 1, without=note.id)
        found = [await self.notebook.get(hit.id) for hit in hits if hit.id != note.id]
        return [other for other in found[:limit] if other is not None], by

    async def search(
        self, query: str, limit: int, which: Which = ANY, after: Place | None = None
    ) -> tuple[list[NoteHit], FoundBy]:
        """The best of these notes, and what they were judged by: words alone where no vector can be compared now.

        A ranking is gone on with as it was begun. Raises `RankingLost` where it cannot.
        """
        if after is not None and after.by is FoundBy.WORDS:
            return await self.notebook.search(query, limit, which=which, after=after), FoundBy.WORDS
        found, by = await self._searched(query, limit, which=which, after=after)
        if after is not None and by is not after.by:
            raise RankingLost
        return found, by

    async def _searched(
        self, query: str, limit: int, *, without: str = "", which: Which = ANY, after: Place | None = None
    ) -> tuple[list[NoteHit], FoundBy]:
        sought = await self._sought(query, without)
        try:
            if sought is not None:
                found = await self.notebook.search(query, limit, sought, which=which, after=after)
                return found, FoundBy.MEANING
        except ForeignSpace as exc:
            log.warning("notes.foreign_space reason=%s", exc)
        return await self.notebook.search(query, limit, which=which, after=after), FoundBy.WORDS

    async def embed_note(self, note: Note, job: Job) -> None:
        """Vectors of the note's passages, its title in each. Raises `LLMError` and `ForeignSpace`."""
        found = await asyncio.to_thread(passages, note)
        if self._meaning is not None and found:
            vectors = await self._meaning.of_texts([f"{p.title}\n{p.text.strip()}" for p in found])
            await self.notebook.embedded(note.id, found, self._meaning.space, vectors, job=job)

    async def _sought(self, query: str, without: str) -> Sought | None:
        """The vector of what is looked for; None where nobody can make one now, which is logged."""
        if self._meaning is None:
            return None
        try:
            vector = await self._meaning.of_query(query)
            return Sought(space=self._meaning.space, vector=vector, without=without)
        except LLMError as exc:
            log.warning("notes.query_not_embedded reason=%s", exc.type)
            return None

    async def _tagged(self, text: str, known: Sequence[str], wishes: Wishes) -> tuple[ChatRequest, Answer]:
        """The request, and the answer to it; about the note's summaries where no window holds the note."""
        request = self._tags_request(text, known, STORED_TAGS_TOKENS, wishes)
        try:
            return request, await self._client.chat(request)
        except LLMError as exc:
            if not is_too_long(exc):
                raise
        shorter = await self._summariser.shortened(text, wishes)
        request = self._tags_request(shorter, known, STORED_TAGS_TOKENS, wishes)
        return request, await self._client.chat(request)

    def _tags_request(self, text: str, known: Sequence[str], max_tokens: int, wishes: Wishes) -> ChatRequest:
        return wishes.chat(
            service=self._service,
            alias=self._alias,
            messages=prompts.tags_messages(text, known),
            max_tokens=max_tokens,
            schema=prompts.tags_schema(known),
        )


def _whole(note: Note) -> str:
    return f"{note.title}\n\n{note.text}"
