"""Statements on the passages of notes and their vectors, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from services.notes.store import Note, Passage
from services.notes.tables import PASSAGE, VECTORS
from services.store.vectors import Space


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
