"""The sentences of passages that an answer rests on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.rag.chunking import Span, supporting
from services.rag.store import Hit
from services.web.cited import named


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A sentence that the answer rests on: the exact span `start`..`end` of its document.

    `verified`: the stored document, read again after the answer, holds exactly `quote` at that place; `page` is where
    it stands there.
    """

    n: int
    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    quote: str
    page: int | None = None
    verified: bool = False


def citations(answer: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """A sentence of each passage that the answer names; where it names none, of all that the model was shown."""
    return tuple(_citation(n, hit, answer) for n, hit in named(answer, hits))


def _citation(n: int, hit: Hit, answer: str) -> Citation:
    sentence = supporting(hit.text, Span(start=0, end=len(hit.text)), answer)
    return Citation(
        n=n,
        document_id=hit.document_id,
        title=hit.title,
        chunk=hit.chunk,
        start=hit.start + sentence.start,
        end=hit.start + sentence.end,
        quote=hit.text[sentence.start : sentence.end],
    )
