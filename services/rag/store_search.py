"""Finding passages, by words and by meaning. Both look at one workspace only, and inside a collection where asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, Subquery, select

from services.rag.store import Hit
from services.rag.store_tables import CHUNK, DOCUMENT, VECTORS, WORDS
from services.store.blend import CANDIDATES, blended
from services.store.vectors import Space


def by_words(c: Connection, workspace: str, query: str, k: int, collection: str | None) -> list[Hit]:
    """The best passages for any of the words of `query`."""
    return _hits(c, _worded(c, workspace, query, k, collection, enough=k))


def by_both(
    c: Connection, workspace: str, query: str, space: Space, vector: Sequence[float], k: int, collection: str | None
) -> list[Hit]:
    """The best passages by words and meaning together; only those that are wanted are read."""
    deep = max(k, CANDIDATES)
    near = VECTORS.nearest(c, space, vector, deep, workspace=workspace, part=collection)
    return _hits(c, blended(near, _worded(c, workspace, query, deep, collection, enough=k))[:k])


def _worded(
    c: Connection, workspace: str, words: str, k: int, collection: str | None, *, enough: int
) -> list[tuple[int, float]]:
    def ours(matches: Subquery) -> Select[Any]:
        found = select(matches.c.key, matches.c.score).join(CHUNK, CHUNK.c.id == matches.c.key)
        found = found.where(CHUNK.c.workspace == workspace)
        if collection is not None:
            found = found.where(CHUNK.c.collection == collection)
        return found.order_by(matches.c.score.desc(), matches.c.key).limit(k)

    return [(int(key), float(score)) for key, score in WORDS.best(c, words, ours, enough)]


def by_meaning(
    c: Connection, workspace: str, space: Space, vector: Sequence[float], k: int, collection: str | None
) -> list[Hit]:
    """The passages nearest to `vector`."""
    return _hits(c, VECTORS.nearest(c, space, vector, k, workspace=workspace, part=collection))


def _hits(c: Connection, found: Sequence[tuple[int, float]]) -> list[Hit]:
    """The passages themselves, read after the best were chosen: their texts are the larger part of the work."""
    words = WORDS.texts(c)
    columns = (CHUNK, DOCUMENT.c.id.label("document_id"), DOCUMENT.c.title, words.c.text.label("words"))
    query = (
        select(*columns).join(DOCUMENT, DOCUMENT.c.number == CHUNK.c.document).join(words, words.c.key == CHUNK.c.id)
    )
    rows = {row.id: row for row in c.execute(query.where(CHUNK.c.id.in_([key for key, _ in found])))}
    return [
        Hit(
            document_id=row.document_id,
            title=row.title,
            chunk=row.number,
            start=row.start,
            end=row.end,
            text=row.words,
            score=score,
            page=row.page,
            collection=row.collection,
        )
        for row, score in ((rows[key], score) for key, score in found)
    ]
