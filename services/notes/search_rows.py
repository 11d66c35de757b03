"""Statements that find notes by words and by meaning, inside a transaction that the caller holds.

What is asked for beside the words (a tag, archived notes) is part of each query: however many better notes lack it,
those that have it are found. A ranking is gone on with behind the note that was shown last, wherever that stands now.
However deep that is, texts are read of the notes of one page alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, Subquery, select

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


class Ranked(NamedTuple):
    """A note in a ranking, by its number and its id."""

    key: int
    id: str
    score: float


def search(
    c: Connection, workspace: str, words: str, limit: int, meaning: Sought | None, which: Which, after: Place | None
) -> list[NoteHit]:
    """At most `limit` notes behind `after`, best first. Raises `ForeignSpace`."""
    ours = _ours(c, workspace, which, meaning.without if meaning else "")
    if meaning is None:
        page = _behind(after, limit, lambda depth: _by_words(c, ours, words, depth))
        shown = _snippets(c, words, [one.key for _, one in page])
    else:
        near = _Near(c, workspace, ours, words, meaning)
        page = _behind(after, limit, near.best)
        shown = near.beginnings([one.key for _, one in page])
    titles = _column(c, NOTE.c.title, [one.key for _, one in page])
    return [
        NoteHit(id=one.id, title=titles[one.key], snippet=shown.get(one.key, ""), score=one.score, rank=rank)
        for rank, one in page
    ]


def _ours(c: Connection, workspace: str, which: Which, without: str) -> Ours:
    ours = [NOTE.c.workspace == workspace, NOTE.c.archived == which.archived, NOTE.c.id != without]
    return [*ours, NOTE.c.number.in_(tag_rows.having(c, workspace, which.tag))] if which.tag else ours


def _behind(after: Place | None, limit: int, best: Callable[[int], Sequence[Ranked]]) -> list[tuple[int, Ranked]]:
    """The `limit` notes behind `after`, with their ranks; where it is found no more, behind what stood before it."""
    start = 0 if after is None else after.rank
    found = best(start + limit)
    if after is not None:
        now = next((rank for rank, one in enumerate(found, start=1) if one.id == after.note_id), start - 1)
        if now > start:
            found = best(now + limit)
        start = now
    return list(enumerate(found[start : start + limit], start=start + 1))


def _by_words(c: Connection, ours: Ours, words: str, depth: int) -> list[Ranked]:
    """Notes with the words that tell most, then those with any. Their scores are of two scales: none rises again."""
    found: list[Ranked] = []
    for row in WORDS.onward(c, words, _query(ours, depth), depth):
        score = min(row.score, found[-1].score) if found else row.score
        found.append(Ranked(row.key, row.id, score))
    return found[:depth]


def _snippets(c: Connection, words: str, keys: Sequence[int]) -> Mapping[int, str]:
    """Where the words are in each of these notes."""

    def theirs(found: Subquery) -> Select[Any]:
        return select(found.c.key, found.c.snippet).where(found.c.key.in_(keys))

    rows = WORDS.best(c, words, theirs, len(keys), snippet="text") if keys else ()
    return {row.key: row.snippet for row in rows}


def _column(c: Connection, column: ColumnElement[str], keys: Sequence[int]) -> Mapping[int, str]:
    """One column of these notes."""
    return dict(c.execute(select(NOTE.c.number, column).where(NOTE.c.number.in_(keys))).tuples().all())


def _query(ours: Ours, depth: int) -> Callable[[Subquery], Select[Any]]:
    """At most `depth` of what is found, best first."""

    def query(found: Subquery) -> Select[Any]:
        hits = select(found.c.key, found.c.score, NOTE.c.id).select_from(found)
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

    def best(self, depth: int) -> list[Ranked]:
        """The first `depth`."""
        ranked = self._head[:depth]
        ids = dict(_column(self._c, NOTE.c.id, [key for key, _ in ranked]))
        if len(ranked) < depth:
            rest = WORDS.onward(self._c, self._words, _query(self._ours, depth), depth)
            new = [row for row in rest if row.key not in ids][: depth - len(ranked)]
            ids |= {row.key: row.id for row in new}
            ranked = [*ranked, *((row.key, 0.0) for row in new)]
        return [Ranked(key, ids[key], score) for key, score in ranked]

    def beginnings(self, keys: Sequence[int]) -> Mapping[int, str]:
        """Of each of these notes the words where its nearest passage begins, else its first ones."""
        return {key: self._beginning(key, text) for key, text in _column(self._c, NOTE.c.text, keys).items()}

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

    def _beginning(self, key: int, text: str) -> str:
        start = self._at.get(key, 0)
        shown = " ".join(text[start : start + SNIPPET_CHARS].split())
        return f"{'…' if start else ''}{shown}{'…' if start + SNIPPET_CHARS < len(text) else ''}"
