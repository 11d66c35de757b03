"""A document as RAG's store is given it, and an answer that is kept about one."""

from __future__ import annotations

from sqlalchemy import Connection

from services.rag.chunking import Span
from services.rag.parsed import Page
from services.rag.store import NewDocument
from services.rag.store_tables import REPLIES
from services.store.clock import utc_now
from services.store.replies import Reply
from services.store.vectors import Space

SPACE = Space(name="m@1:8:unit", dimension=8)
TEXT = "Alpha pump one.\n\nBeta valve two."
SPANS = (Span(start=0, end=15), Span(start=17, end=32))
NEW = NewDocument(
    title="Manual",
    text=TEXT,
    spans=SPANS,
    source="manual.pdf",
    media_type="application/pdf",
    content_hash="h",
    pages=(Page(number=1, start=0, end=16), Page(number=2, start=16, end=32)),
    vectors=([1.0, *[0.0] * 7], [0.0, 1.0, *[0.0] * 6]),
    space=SPACE,
)


def answered(identifier: str, c: Connection, about: str = "documents") -> None:
    """Keep an answer about a document or a job, under a key that is its id."""
    REPLIES.claim(c, "default", identifier, "print", at=utc_now())
    reply = Reply(status=201, headers={}, body=TEXT.encode())
    REPLIES.keep(c, "default", identifier, reply, location=f"/v1/{about}/{identifier}")
