"""Answers from documents: which passages a question finds, and what an answer cites of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from services.rag.citing import Citation, citations
from services.rag.parsed import page_of
from services.rag.search import Found, Wish
from services.rag.store import Documents, Hit
from services.web.answering import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class RagQuestion(Question):
    """A question; with `collection` only from the documents of that one."""

    collection: str | None = None


class DocumentSources:
    """One workspace's documents, as `services.web.answering` asks for them."""

    nothing = "The documents say nothing about this."

    def __init__(self, *, find: Callable[[Wish], Awaitable[Found]], documents: Documents) -> None:
        self._find = find
        self._documents = documents

    async def find(self, question: RagQuestion) -> Sequence[Hit]:
        """The passages that a search finds."""
        return (await self._find(Wish(query=question.text, k=question.k, collection=question.collection))).hits

    async def cite(self, answer: str, shown: Sequence[Hit]) -> tuple[Citation, ...]:
        """The sentences with their pages, each verified where its document, read again, holds it at that place."""
        return tuple([await self._looked_up(citation) for citation in citations(answer, shown)])

    async def _looked_up(self, citation: Citation) -> Citation:
        document = await self._documents.get(citation.document_id)
        found = "" if document is None else document.text[citation.start : citation.end]
        page = None if document is None else page_of(document.pages, citation.start)
        return replace(citation, verified=found == citation.quote, page=page)
