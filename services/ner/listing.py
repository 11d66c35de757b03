"""Lists what people look through page by page: documents, and an entity's mentions with the words around. No model."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from services.ner.graph import Listed, Said
from services.ner.merging import root_of
from services.ner.producers import made_of
from services.ner.tables import DOCUMENT, ENTITY, MENTION, PRODUCER, READING

BEGINNING_CHARS = 160
"""Of a document's text in a list."""

AROUND_CHARS = 80
"""Of the text before a mention, and as many behind it."""

_MADE = tuple(READING.c[name] for name in PRODUCER)


def documents(c: Connection, workspace: str, limit: int, before: int | None) -> list[Listed]:
    """The newest first; `before` is the number of the last one seen."""
    every = READING.alias("every")
    of_any = select(func.count()).select_from(MENTION).join(every, every.c.id == MENTION.c.reading)
    mentions = of_any.where(every.c.document == DOCUMENT.c.number).scalar_subquery().label("mentions")
    beginning = func.substr(DOCUMENT.c.text, 1, BEGINNING_CHARS).label("beginning")
    query = (
        select(DOCUMENT.c.number, DOCUMENT.c.id, DOCUMENT.c.created_at, beginning, mentions, *_MADE)
        .join(READING, READING.c.document == DOCUMENT.c.number)
        .where(DOCUMENT.c.workspace == workspace, READING.c.accepted_by == "")
        .order_by(DOCUMENT.c.number.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(DOCUMENT.c.number < before)
    return [_listed(row) for row in c.execute(query)]


def contexts(c: Connection, workspace: str, entity: int, limit: int) -> list[Said]:
    """Where the entity is named, by any of its names, in the order of the documents; none when there is no entity."""
    root = root_of(c, workspace, entity)
    start, end, text = MENTION.c.start, MENTION.c.end, DOCUMENT.c.text
    first = case((start > AROUND_CHARS, start - AROUND_CHARS), else_=0)
    query = (
        select(DOCUMENT.c.id, start, end, MENTION.c.text, *_MADE)
        .add_columns(func.substr(text, first + 1, start - first).label("before"))
        .add_columns(func.substr(text, end + 1, AROUND_CHARS).label("after"))
        .join(READING, READING.c.id == MENTION.c.reading)
        .join(DOCUMENT, DOCUMENT.c.number == READING.c.document)
        .join(ENTITY, ENTITY.c.id == MENTION.c.entity)
        .where(ENTITY.c.root == root)
        .order_by(DOCUMENT.c.number, start, end)
        .limit(limit)
    )
    return [_said(row) for row in c.execute(query)]


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        number=row.number,
        id=row.id,
        created_at=row.created_at,
        beginning=row.beginning,
        mentions=row.mentions,
        producer=made_of(row),
    )


def _said(row: Row[Any]) -> Said:
    return Said(
        document_id=row.id,
        start=row.start,
        end=row.end,
        before=row.before,
        text=row.text,
        after=row.after,
        producer=made_of(row),
    )
