"""Statements on the passages of notes and their vectors, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, Subquery, delete, insert, select

from services.notes.store import Note, NoteHit, Passage, Sought
from services.notes.tables import NOTE, PASSAGE, VECTORS, WORDS
from services.store.blend import CANDIDATES, blended
from services.store.vectors import Space

SNIPPET_CHARS = 120


def keep(
    c: Connection,
    workspace: str,
    note: Note,
    found: Sequence[Passage],
    space: Space,
    vectors: Sequence[Sequence[float]],
) -> None:
    """The note's passages with these vectors, in place of older ones; nothing where the note was saved since."""
    if any(piece.version != note.version for piece in found):
        return
    drop(c, note.number)
    rows = []
    for piece, vector in zip(found, vectors, strict=True):
        values = {"note": note.number, "start": piece.start, "end": piece.end}
        made = c.execute(insert(PASSAGE).values(values)).inserted_primary_key
        assert made is not None
        rows.append((int(made[0]), workspace, "", vector))
    VECTORS.put(c, space, rows)


def drop(c: Connection, number: int) -> None:
    """Forget the vectors of a note."""
    keys = list(c.execute(select(PASSAGE.c.number).where(PASSAGE.c.note == number)).scalars())
    VECTORS.drop(c, keys)
    c.execute(delete(PASSAGE).where(PASSAGE.c.note == number))


def search(c: Connection, workspace: str, query: str, meaning: Sought, limit: int) -> list[NoteHit]:
    """The best notes by meaning and words together, archived ones left out. Raises `ForeignSpace`."""
    ours = (NOTE.c.workspace == workspace, ~NOTE.c.archived, NOTE.c.id != meaning.without)
    live = select(PASSAGE.c.number).join(NOTE, NOTE.c.number == PASSAGE.c.note).where(*ours)
    near = VECTORS.nearest(c, meaning.space, meaning.vector, CANDIDATES, workspace=workspace, among=live)
    places = {r.number: r for r in c.execute(select(PASSAGE).where(PASSAGE.c.number.in_([key for key, _ in near])))}
    dense: dict[int, float] = {}
    at: dict[int, int] = {}
    for key, score in near:
        note = places[key].note
        if note not in dense:
            dense[note], at[note] = score, places[key].start
    ranked = blended(list(dense.items()), _by_words(c, workspace, query, limit))
    shown = select(NOTE).where(*ours, NOTE.c.number.in_([n for n, _ in ranked]))
    texts = {r.number: r for r in c.execute(shown)}
    best = [(texts[number], score) for number, score in ranked if number in texts][:limit]
    return [
        NoteHit(id=r.id, title=r.title, snippet=_snippet(r.text, at.get(r.number, 0)), score=score) for r, score in best
    ]


def _by_words(c: Connection, workspace: str, query: str, enough: int) -> list[tuple[int, float]]:
    def ours(found: Subquery) -> Select[Any]:
        hits = select(found.c.key, found.c.score).join(NOTE, NOTE.c.number == found.c.key)
        hits = hits.where(NOTE.c.workspace == workspace, ~NOTE.c.archived)
        return hits.order_by(found.c.score.desc(), found.c.key).limit(CANDIDATES)

    return [(key, score) for key, score in WORDS.best(c, query, ours, enough)]


def _snippet(text: str, start: int) -> str:
    shown = " ".join(text[start : start + SNIPPET_CHARS].split())
    return f"{'…' if start else ''}{shown}{'…' if start + SNIPPET_CHARS < len(text) else ''}"
