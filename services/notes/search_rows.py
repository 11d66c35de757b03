"""Statements that find notes by words and by meaning, inside a transaction that the caller holds.

What is asked for beside the words (a tag, archived notes) is part of each query: however many better notes lack it,
those that have it are found. A ranking is gone on with behind the note that was shown last, wherever that stands now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, select

from services.notes import tag_rows
from services.notes.store import NoteHit, Sought
from services.notes.tables import NOTE, PASSAGE, VECTORS, WORDS
from services.notes.which import Place, Which
from services.store.blend import CANDIDATES, blended

SNIPPET_CHARS = 120
ENOUGH = 20
"""Where fewer notes than these have the words that tell most, meaning is blended with notes that have any word."""

Ours = Sequence[ColumnElement[bool]]
"""What holds for the notes that are looked for."""


def search(
    c: Connection, workspace: str, words: str, limit: int, meaning: Sought | None, which: Which, after: Place | None
) -> list[NoteHit]:
    """At most `limit` notes behind `after`, best first. Raises `ForeignSpace`."""
    ours = _ours(c, workspace, which, meaning.without if meaning else "")
    if meaning is None:
        return _behind(after, limit, lambda depth: _by_words(c, ours, words, depth))
    near = _Near(c, workspace, ours, words, meaning)
    return _behind(after, limit, near.best)


def _ours(c: Connection, workspace: str, which: Which, without: str) -> Ours:
    ours = [NOTE.c.workspace == workspace, NOTE.c.archived == which.archived, NOTE.c.id != without]
    return [*ours, NOTE.c.number.in_(tag_rows.having(c, workspace, which.tag))] if which.tag else ours


def _behind(after: Place | None, limit: int, best: Callable[[int], list[NoteHit]]) -> list[NoteHit]:
    """The `limit` hits behind `after`; where that note is found no more, behind what stood before it."""
    start = 0 if after is None else after.rank
    found = best(start + limit)
    if after is not None:
        now = next((rank for rank, hit in enumerate(found, start=1) if hit.id == after.note_id), start - 1)
        if now > start:
            found = best(now + limit)
        start = now
    return [replace(hit, rank=rank) for rank, hit in enumerate(found[start : start + limit], start=start + 1)]


def _by_words(c: Connection, ours: Ours, words: str, depth: int) -> list[NoteHit]:
    """Notes with the words that tell most, then those with any. Their scores are of two scales: none rises again."""
    query = _query(ours, depth, lambda found: (NOTE.c.id, NOTE.c.title, found.c.snippet))
    hits: list[NoteHit] = []
    for row in WORDS.onward(c, words, query, depth, snippet="text"):
        score = min(row.score, hits[-1].score) if hits else row.score
        hits.append(NoteHit(id=row.id, title=row.title, snippet=row.snippet, score=score))
    return hits[:depth]


def _query(
    ours: Ours, depth: int, shown: Callable[[Subquery], Sequence[ColumnElement[Any]]] = lambda _: ()
) -> Callable[[Subquery], Select[Any]]:
    """At most `depth` of what is found, best first."""

    def query(found: Subquery) -> Select[Any]:
        hits = select(found.c.key, found.c.score, *shown(found)).select_from(found)
        hits = hits.join(NOTE, NOTE.c.number == found.c.key).where(*ours)
        return hits.order_by(found.c.score.desc(), found.c.key).limit(depth)

    return query


class _Near:
    """The notes nearest in meaning, blended with words; behind these every other note that has a word."""

    def __init__(self, c: Connection, workspace: str, ours: Ours, words: str, meaning: Sought) -> None:
        self._c, self._ours, self._words = c, ours, words
        self._at: dict[int, int] = {}
        worded = WORDS.best(c, words, _query(ours, CANDIDATES), ENOUGH)
        self._head = blended(self._dense(workspace, meaning), [(row.key, row.score) for row in worded])

    def best(self, depth: int) -> list[NoteHit]:
        """The first `depth`."""
        ranked = self._head[:depth]
        if len(ranked) < depth:
            known = {number for number, _ in ranked}
            rest = WORDS.onward(self._c, self._words, _query(self._ours, depth), depth)
            ranked += [(row.key, 0.0) for row in rest if row.key not in known][: depth - len(ranked)]
        shown = (NOTE.c.number, NOTE.c.id, NOTE.c.title, NOTE.c.text)
        texts = {r.number: r for r in self._c.execute(select(*shown).where(NOTE.c.number.in_([n for n, _ in ranked])))}
        return [self._hit(texts[number], score) for number, score in ranked]

    def _dense(self, workspace: str, meaning: Sought) -> list[tuple[int, float]]:
        """Notes by the nearest of their passages, where that begins being remembered."""
        live = select(PASSAGE.c.number).join(NOTE, NOTE.c.number == PASSAGE.c.note).where(*self._ours)
        near = VECTORS.nearest(self._c, meaning.space, meaning.vector, CANDIDATES, workspace=workspace, among=live)
        places = select(PASSAGE).where(PASSAGE.c.number.in_([key for key, _ in near]))
        passages = {r.number: r for r in self._c.execute(places)}
        found: dict[int, float] = {}
        for key, score in near:
            if passages[key].note not in found:
                found[passages[key].note], self._at[passages[key].note] = score, passages[key].start
        return list(found.items())

    def _hit(self, row: Row[Any], score: float) -> NoteHit:
        start = self._at.get(row.number, 0)
        shown = " ".join(row.text[start : start + SNIPPET_CHARS].split())
        snippet = f"{'…' if start else ''}{shown}{'…' if start + SNIPPET_CHARS < len(row.text) else ''}"
        return NoteHit(id=row.id, title=row.title, snippet=snippet, score=score)
