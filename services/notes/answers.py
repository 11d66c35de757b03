"""Answers from one's own notes: which passages a question finds, and what an answer cites of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from services.notes.passages import Citation, best, citations
from services.notes.store import Notebook, NoteHit, Passage
from services.web.answering import Question

MOST_NOTES = 8
"""Notes whose passages are looked at."""

Find = Callable[[str, int], Awaitable[tuple[Sequence[NoteHit], object]]]
"""The best notes for a question, at most so many."""


class NoteSources:
    """One workspace's notes, as `services.web.answering` asks for them."""

    nothing = "The notes say nothing about this."

    def __init__(self, *, find: Find, notebook: Notebook) -> None:
        self._find = find
        self._notebook = notebook

    async def find(self, question: Question) -> list[Passage]:
        """The passages of the best notes that share the most words with the question."""
        hits, _ = await self._find(question.text, MOST_NOTES)
        notes = [await self._notebook.get(hit.id) for hit in hits]
        return await asyncio.to_thread(best, question.text, [n for n in notes if n is not None], question.k)

    async def cite(self, answer: str, shown: Sequence[Passage]) -> tuple[Citation, ...]:
        """The sentences, each verified where its note, read again, still says it at that place."""
        return tuple([await self._looked_up(citation) for citation in citations(answer, shown)])

    async def _looked_up(self, citation: Citation) -> Citation:
        note = await self._notebook.get(citation.note_id)
        if note is None:
            return citation
        found = note.text[citation.start : citation.end]
        return replace(citation, version=note.version, verified=found == citation.quote)
