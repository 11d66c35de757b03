"""Texts as vectors, for services that search by meaning as well: one alias of their client, in its one space."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from services.llm.registry import model
from services.llm.spaces import Embeddings, EmbeddingSpace, EmbedRequest
from services.llm.types import Priority
from services.settings import Settings
from services.store.vectors import Space

QUERY_S = 5.0
"""Seconds that the vector of a question may take: behind them the search goes on by words alone."""

TEXTS_S = 120.0
"""Seconds that one lot of `AT_ONCE` texts may take."""

AT_ONCE = 32

Vector = Sequence[float]


@runtime_checkable
class Embeds(Protocol):
    """The face of the client that embeds."""

    async def embed(self, request: EmbedRequest) -> Embeddings: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Who embeds for `service`, and into which space. Everything it raises is an `LLMError`."""

    client: Embeds
    service: str
    alias: str
    embedding: EmbeddingSpace

    @property
    def space(self) -> Space:
        """What a store keeps beside the vectors, and compares."""
        return Space(name=self.embedding.name, dimension=self.embedding.dimension)

    async def of_query(self, text: str) -> Vector:
        """The vector of what somebody waits for."""
        [vector] = await self._vectors((text,), QUERY_S, Priority.INTERACTIVE)
        return vector

    async def of_texts(self, texts: Sequence[str]) -> list[Vector]:
        """One vector per text, `AT_ONCE` at a time, behind whoever waits for an answer.

        In single precision, as stores keep them: an eighth of what Python's own floats take of a long document.
        """
        found: list[Vector] = []
        for start in range(0, len(texts), AT_ONCE):
            some = tuple(texts[start : start + AT_ONCE])
            found += [array("f", row) for row in await self._vectors(some, TEXTS_S, Priority.BATCH)]
        return found

    async def _vectors(self, texts: tuple[str, ...], deadline_s: float, priority: Priority) -> Sequence[Vector]:
        request = EmbedRequest(
            service=self.service,
            alias=self.alias,
            texts=texts,
            deadline_s=deadline_s,
            space=self.embedding,
            priority=priority,
        )
        return (await self.client.embed(request)).vectors


def meaning_for(settings: Settings, service: str, client: object) -> Meaning | None:
    """By the settings; None where no embedding model is set. Raises `RegistryError` for an unknown one."""
    alias = settings.embedding.alias
    if not alias:
        return None
    space = model(alias, settings.models_file).space
    assert space is not None and isinstance(client, Embeds)  # `client_for` refuses an alias without a space
    return Meaning(client=client, service=service, alias=alias, embedding=space)
