"""Rows of documents, their passages, words and vectors. Every function works inside the caller's transaction."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from services.rag.parsed import Page, page_of
from services.rag.store import Chunk, CollectionGone, Document, DocumentInfo, NewDocument, content_hash, document_id
from services.rag.store_tables import CHUNK, COLLECTION, DOCUMENT, FEEDBACK, JOBS, REPLIES, VECTORS, WORDS
from services.store.jobs import Job

T = TypeVar("T")

AT_ONCE = 1000
"""Rows that one statement is about."""

_HIDDEN = ("workspace", "text", "pages")
_CHUNKS = (
    select(func.count())
    .where(CHUNK.c.document == DOCUMENT.c.number)
    .correlate(DOCUMENT)
    .scalar_subquery()
    .label("chunks")
)
_INFO = select(*(column for column in DOCUMENT.c if column.name not in _HIDDEN), _CHUNKS)


def put(c: Connection, workspace: str, new: NewDocument, at: str) -> tuple[Document, bool]:
    """The stored document, and whether it is new. Raises `CollectionGone`."""
    its_own = and_(COLLECTION.c.workspace == workspace, COLLECTION.c.id == new.collection)
    if new.collection and c.execute(select(COLLECTION.c.id).where(its_own)).first() is None:
        raise CollectionGone(f"there is no collection {new.collection!r}")
    identifier = document_id(new.title, new.text, new.collection)
    existing = get(c, workspace, identifier)
    if existing is not None:
        return existing, False
    row = {
        "id": identifier,
        "workspace": workspace,
        "collection": new.collection,
        "title": new.title,
        "text": new.text,
        "chars": len(new.text),
        "source": new.source,
        "media_type": new.media_type,
        "content_hash": new.content_hash or content_hash(new.text.encode()),
        "pages": json.dumps([dataclasses.astuple(page) for page in new.pages]),
        "is_embedded": 0,
        "created_at": at,
    }
    number = c.execute(insert(DOCUMENT).values(row).returning(DOCUMENT.c.number)).scalar_one()
    _index(c, workspace, number, new)
    return _stored(c, workspace, identifier), True


def reindex(c: Connection, workspace: str, identifier: str, new: NewDocument) -> Document | None:
    """The document with other passages and vectors. Its title, text and pages stay as they were stored."""
    stored = get(c, workspace, identifier)
    if stored is None:
        return None
    _unindex(c, [stored.number])
    kept = dataclasses.replace(
        new, title=stored.title, text=stored.text, collection=stored.collection, pages=stored.pages
    )
    _index(c, workspace, stored.number, kept)
    return _stored(c, workspace, identifier)


def get(c: Connection, workspace: str, identifier: str) -> Document | None:
    """The document with its text."""
    row = c.execute(
        _INFO.add_columns(DOCUMENT.c.text, DOCUMENT.c.pages).where(_one(workspace, identifier))
    ).one_or_none()
    if row is None:
        return None
    pages = tuple(Page(number=n, start=start, end=end) for n, start, end in json.loads(row.pages))
    return Document(**{**_info(row), "text": row.text, "pages": pages})


def known(c: Connection, workspace: str, source_hash: str, collection: str) -> DocumentInfo | None:
    """The first document that was made of the same source."""
    t = DOCUMENT.c
    same = and_(t.workspace == workspace, t.collection == collection, t.content_hash == source_hash)
    row = c.execute(_INFO.where(same).order_by(t.number).limit(1)).one_or_none()
    return None if row is None else DocumentInfo(**_info(row))


def page(c: Connection, workspace: str, limit: int, after: int, collection: str | None) -> list[DocumentInfo]:
    """Documents younger than number `after`."""
    t = DOCUMENT.c
    query = _INFO.where(t.workspace == workspace, t.number > after).order_by(t.number).limit(limit)
    if collection is not None:
        query = query.where(t.collection == collection)
    return [DocumentInfo(**_info(row)) for row in c.execute(query)]


def chunks(c: Connection, workspace: str, identifier: str) -> list[Chunk]:
    """The document's passages in order."""
    stored = get(c, workspace, identifier)
    if stored is None:
        return []
    mine = select(CHUNK).where(CHUNK.c.document == stored.number).order_by(CHUNK.c.number)
    return [
        Chunk(chunk=r.number, start=r.start, end=r.end, page=r.page, text=stored.text[r.start : r.end])
        for r in c.execute(mine)
    ]


def delete_(c: Connection, workspace: str, identifier: str) -> bool:
    """Forget the document; False when there was none."""
    return drop(c, workspace, DOCUMENT.c.id == identifier) > 0


def drop(c: Connection, workspace: str, which: ColumnElement[bool]) -> int:
    """Forget these documents, their words and vectors, what was kept and said about them; how many there were."""
    mine = and_(DOCUMENT.c.workspace == workspace, which)
    found = c.execute(select(DOCUMENT.c.number, DOCUMENT.c.id).where(mine)).tuples().all()
    _forget_answers(c, workspace, [identifier for _, identifier in found])
    _forget_citations(c, workspace, [identifier for _, identifier in found])
    numbers = [number for number, _ in found]
    for some in _lots(numbers):
        _unindex(c, some)
        c.execute(delete(DOCUMENT).where(DOCUMENT.c.number.in_(some)))
    if numbers:
        WORDS.scrub(c)
    return len(numbers)


def reindex_all(c: Connection, kind: str, at: str) -> int:
    """Forget every vector, and a job `kind` for each document; how many there are."""
    VECTORS.clear(c)
    c.execute(update(DOCUMENT).values(is_embedded=0))
    every = c.execute(select(DOCUMENT.c.workspace, DOCUMENT.c.id).order_by(DOCUMENT.c.number)).tuples().all()
    for workspace, identifier in every:
        enqueue_for(c, workspace, identifier, kind, at)
    return len(every)


def enqueue_for(c: Connection, workspace: str, identifier: str, kind: str, at: str) -> Job:
    """A job `kind` for the document."""
    payload = {"name": identifier, "document_id": identifier}
    return JOBS.enqueue(c, workspace=workspace, kind=kind, payload=payload, at=at)


def _index(c: Connection, workspace: str, number: int, new: NewDocument) -> None:
    """Store the passages of a document, their words and, where there are any, their vectors."""
    where = {"document": number, "workspace": workspace, "collection": new.collection}
    rows = [
        {**where, "number": n, "start": s.start, "end": s.end, "page": page_of(new.pages, s.start)}
        for n, s in enumerate(new.spans)
    ]
    if not rows:
        return
    ids = c.execute(insert(CHUNK).returning(CHUNK.c.id, sort_by_parameter_order=True), rows).scalars().all()
    WORDS.put(c, [(i, (new.title, new.text[s.start : s.end])) for i, s in zip(ids, new.spans, strict=True)])
    if new.space is not None:
        vectors = list(zip(ids, new.vectors, strict=True))
        for some in _lots(vectors):
            VECTORS.put(c, new.space, [(i, workspace, new.collection, vector) for i, vector in some])
        c.execute(update(DOCUMENT).where(DOCUMENT.c.number == number).values(is_embedded=1))


def _unindex(c: Connection, numbers: Sequence[int]) -> None:
    ids = list(c.execute(select(CHUNK.c.id).where(CHUNK.c.document.in_(numbers))).scalars())
    WORDS.drop(c, ids)
    VECTORS.drop(c, ids)
    c.execute(delete(CHUNK).where(CHUNK.c.document.in_(numbers)))
    c.execute(update(DOCUMENT).where(DOCUMENT.c.number.in_(numbers)).values(is_embedded=0))


def _forget_answers(c: Connection, workspace: str, identifiers: Sequence[str]) -> None:
    """Those that tell of these documents, and those that told of the jobs by which they came."""
    gone, t, jobs = set(identifiers), REPLIES.table.c, JOBS.table.c
    of_jobs = select(t.location, jobs.payload).where(t.workspace == workspace, t.location == "/v1/jobs/" + jobs.id)
    brought = [
        where for where, payload in c.execute(of_jobs).tuples() if json.loads(payload).get("document_id") in gone
    ]
    for some in _lots([*brought, *(f"/v1/documents/{identifier}" for identifier in identifiers)]):
        c.execute(delete(REPLIES.table).where(t.workspace == workspace, t.location.in_(some)))


def _forget_citations(c: Connection, workspace: str, identifiers: Sequence[str]) -> None:
    """Readers' judgements stay, without the place in a document that is gone."""
    t = FEEDBACK.c
    nowhere = dict.fromkeys(("wrong_n", "wrong_document", "wrong_start", "wrong_end"))
    for some in _lots(identifiers):
        c.execute(update(FEEDBACK).where(t.workspace == workspace, t.wrong_document.in_(some)).values(nowhere))


def _lots(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values`, `AT_ONCE` at a time: a statement has so many parameters, and its values are in memory once more."""
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))


def _stored(c: Connection, workspace: str, identifier: str) -> Document:
    found = get(c, workspace, identifier)
    assert found is not None
    return found


def _one(workspace: str, identifier: str) -> Any:
    return and_(DOCUMENT.c.workspace == workspace, DOCUMENT.c.id == identifier)


def _info(row: Row[Any]) -> dict[str, Any]:
    names = [f.name for f in dataclasses.fields(DocumentInfo)]
    return {**{name: row._mapping[name] for name in names}, "is_embedded": bool(row.is_embedded)}
