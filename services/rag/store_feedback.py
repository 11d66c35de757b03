"""Readers' judgements of answers, beside the documents in RAG's database: the adapter of the port in `feedback.py`."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from services.rag.feedback import Feedback, Judgement, Rating, Tally, WrongCitation
from services.rag.store_tables import FEEDBACK, PRODUCER, REPLIES
from services.store.clock import Clock
from services.store.database import Database
from services.web.provenance import Producer

PATH = "/v1/feedback"
_WRONG = ("wrong_n", "wrong_document", "wrong_start", "wrong_end")
_WHO = ("provider", "engine", "model", "digest", "prompt_version")


class WorkspaceFeedback:
    """One workspace's judgements; no call reaches another's."""

    def __init__(self, database: Database, workspace: str, now: Clock) -> None:
        self._database = database
        self._workspace = workspace
        self._now = now

    async def judge(self, judgement: Judgement, reader: str) -> tuple[Feedback, bool]:
        return await self._database.write(lambda c: judge(c, self._workspace, judgement, reader, self._now()))

    async def one(self, feedback_id: str) -> Feedback | None:
        return await self._database.read(lambda c: one(c, self._workspace, feedback_id))

    async def page(
        self, limit: int, before: int | None, *, rating: Rating | None = None, provider: str | None = None
    ) -> list[Feedback]:
        return await self._database.read(lambda c: page(c, self._workspace, limit, before, rating, provider))

    async def tallies(self) -> list[Tally]:
        return await self._database.read(lambda c: tallies(c, self._workspace))

    async def delete(self, feedback_id: str) -> bool:
        gone = await self._database.write(lambda c: delete_(c, self._workspace, feedback_id))
        if gone:
            await self._database.forget()
        return gone


def judge(c: Connection, workspace: str, judgement: Judgement, reader: str, at: str) -> tuple[Feedback, bool]:
    """The stored judgement, and whether this reader had said nothing of this answer before."""
    t = FEEDBACK.c
    values = {**_said(judgement), "updated_at": at}
    same = and_(t.workspace == workspace, t.reader == reader, t.about == judgement.about)
    known = c.execute(select(t.id).where(same)).scalar_one_or_none()
    if known is not None:
        c.execute(update(FEEDBACK).where(same).values(values))
        return _stored(c, workspace, known), False
    own = {"id": uuid.uuid4().hex, "workspace": workspace, "reader": reader, "about": judgement.about}
    c.execute(insert(FEEDBACK).values({**own, **values, "created_at": at}))
    return _stored(c, workspace, own["id"]), True


def one(c: Connection, workspace: str, feedback_id: str) -> Feedback | None:
    """None for another workspace's as well."""
    mine = and_(FEEDBACK.c.workspace == workspace, FEEDBACK.c.id == feedback_id)
    row = c.execute(select(FEEDBACK).where(mine)).one_or_none()
    return None if row is None else _feedback(row)


def page(
    c: Connection, workspace: str, limit: int, before: int | None, rating: Rating | None, provider: str | None
) -> list[Feedback]:
    """Newest first."""
    t = FEEDBACK.c
    query = select(FEEDBACK).where(t.workspace == workspace)
    if before is not None:
        query = query.where(t.number < before)
    if rating is not None:
        query = query.where(t.rating == rating)
    if provider is not None:
        query = query.where(t.provider == provider)
    return [_feedback(row) for row in c.execute(query.order_by(t.number.desc()).limit(limit))]


def tallies(c: Connection, workspace: str) -> list[Tally]:
    """One for each producer that was rated."""
    t = FEEDBACK.c
    who = [t[name] for name in _WHO]
    counts = [func.count().filter(t.rating == rating).label(rating) for rating in Rating]
    query = select(*who, *counts).where(t.workspace == workspace).group_by(*who).order_by(*who)
    return [Tally(**row._mapping) for row in c.execute(query)]


def delete_(c: Connection, workspace: str, feedback_id: str) -> bool:
    """With the reply that was kept about it; False when there was none."""
    mine = and_(FEEDBACK.c.workspace == workspace, FEEDBACK.c.id == feedback_id)
    REPLIES.forget(c, workspace, f"{PATH}/{feedback_id}")
    return c.execute(delete(FEEDBACK).where(mine)).rowcount > 0


def _said(judgement: Judgement) -> dict[str, Any]:
    wrong, made_by = judgement.wrong, judgement.producer
    places = (None,) * len(_WRONG) if wrong is None else (wrong.n, wrong.document_id, wrong.start, wrong.end)
    return {
        "rating": judgement.rating,
        "question": judgement.question,
        "request_id": judgement.request_id,
        "comment": judgement.comment,
        **dict(zip(_WRONG, places, strict=True)),
        **(made_by.model_dump() if made_by else dict.fromkeys(PRODUCER, "")),
    }


def _stored(c: Connection, workspace: str, feedback_id: str) -> Feedback:
    found = one(c, workspace, feedback_id)
    assert found is not None
    return found


def _feedback(row: Row[Any]) -> Feedback:
    wrong = None
    if row.wrong_document is not None:
        wrong = WrongCitation(n=row.wrong_n, document_id=row.wrong_document, start=row.wrong_start, end=row.wrong_end)
    return Feedback(
        number=row.number,
        id=row.id,
        rating=Rating(row.rating),
        about=row.about,
        reader=row.reader,
        question=row.question,
        request_id=row.request_id,
        comment=row.comment,
        wrong=wrong,
        producer=Producer(**{name: row._mapping[name] for name in PRODUCER}) if row.provider else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
