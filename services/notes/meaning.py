"""Vectors of notes' passages: made after a save, found by a question's own. Without an embedder words alone decide."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from services.llm.errors import LLMError
from services.llm.spaces import Embeddings, EmbedRequest
from services.llm.types import Priority
from services.notes.store import Meaning, Passage
from services.store.vectors import Space

QUERY_S = 5.0
"""What a search waits for the vector of its words, in seconds; beyond that it goes by the words themselves."""

log = logging.getLogger("cutover.notes")


class Embedder(Protocol):
    """The face of `services.llm.client.LLMClient` that makes vectors."""

    async def embed(self, request: EmbedRequest) -> Embeddings: ...


class Embedding:
    """Makes vectors of one alias's space. `deadline_s` is for the passages of one note."""

    def __init__(self, *, service: str, alias: str, client: Embedder, deadline_s: float) -> None:
        self._service = service
        self._alias = alias
        self._client = client
        self._deadline_s = deadline_s

    async def of_passages(self, passages: Sequence[Passage]) -> tuple[Space, Sequence[Sequence[float]]]:
        """A vector for each, its note's title in it. Raises `LLMError`."""
        texts = tuple(f"{p.title}\n{p.text.strip()}" for p in passages)
        made = await self._client.embed(self._request(texts, self._deadline_s, Priority.BATCH))
        return _space(made), made.vectors

    async def of_words(self, words: str) -> Meaning | None:
        """The vector of a question; None where nobody can make one now, which is logged."""
        try:
            made = await self._client.embed(self._request((words,), QUERY_S, Priority.INTERACTIVE))
        except LLMError as exc:
            log.warning("notes.query_not_embedded reason=%s", exc.type)
            return None
        return Meaning(space=_space(made), vector=made.vectors[0])

    def _request(self, texts: tuple[str, ...], deadline_s: float, priority: Priority) -> EmbedRequest:
        return EmbedRequest(
            service=self._service, alias=self._alias, texts=texts, deadline_s=deadline_s, priority=priority
        )


def _space(made: Embeddings) -> Space:
    return Space(name=made.space.name, dimension=made.space.dimension)
