"""Vectors in SQLite: exact ones in a plain table, and where sqlite-vec loads an index of their signs to find few fast.

The signs (one bit a component) name the candidates, the exact vectors decide among them. Where sqlite-vec does not
load, every vector is compared with numpy; the index notices that it is behind and is made anew by whoever loads it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, text

from services.store import sqlite

EXACT_ROWS = 4000
"""Up to so many vectors of a workspace are compared one by one, which is exact and takes a few milliseconds."""

CANDIDATES, CANDIDATES_PER_ROW = 400, 20
"""How many the signs name, at least and for each row that is wanted; fewer find worse and cost less."""

MOST_CANDIDATES = 4096
"""sqlite-vec names no more at a time."""

BATCH = 4096
"""Vectors that numpy compares at a time; bounds its memory."""


class SqliteVectors:
    """The vectors are in the table `name`, their signs in `name_signs`; `name_signed` has a row while all are there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._signs = f"{name}_signs"

    def make(self, c: Connection, dimension: int) -> None:
        """The table and, where sqlite-vec loads, its signs; made anew where a process without it wrote."""
        columns = "key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, part TEXT NOT NULL, vector BLOB NOT NULL"
        c.execute(text(f"CREATE TABLE IF NOT EXISTS {self._name} ({columns})"))
        c.execute(text(f"CREATE INDEX IF NOT EXISTS {self._name}_owner ON {self._name} (workspace, part)"))
        c.execute(text(f"CREATE TABLE IF NOT EXISTS {self._name}_signed (bits INTEGER NOT NULL)"))
        if _loads() and not self._is_signed(c):
            self._sign(c, _bytes(dimension) * 8)

    def put(self, c: Connection, rows: Sequence[tuple[int, str, str, Sequence[float]]]) -> None:
        """Keep vectors whose rows have none."""
        kept: list[dict[str, Any]] = [{"key": k, "workspace": w, "part": p, "vector": packed(v)} for k, w, p, v in rows]
        c.execute(text(f"INSERT INTO {self._name} VALUES (:key, :workspace, :part, :vector)"), kept)
        if self._keeps_signs(c):
            for row in kept:
                row["vector"] = _padded(row["vector"])
            signed = f"INSERT INTO {self._signs} VALUES (:key, :workspace, :part, vec_quantize_binary(:vector))"
            c.execute(text(signed), kept)

    def drop(self, c: Connection, keys: Sequence[int]) -> None:
        """Forget these rows' vectors."""
        gone = [{"key": key} for key in keys]
        c.execute(text(f"DELETE FROM {self._name} WHERE key = :key"), gone)
        if self._keeps_signs(c):
            c.execute(text(f"DELETE FROM {self._signs} WHERE key = :key"), gone)

    def clear(self, c: Connection) -> None:
        """Forget all."""
        c.execute(text(f"DELETE FROM {self._name}"))
        if self._keeps_signs(c):
            c.execute(text(f"DROP TABLE {self._signs}"))
        c.execute(text(f"DELETE FROM {self._name}_signed"))

    def nearest(
        self,
        c: Connection,
        vector: Sequence[float],
        k: int,
        workspace: str,
        part: str | None,
        among: Select[Any] | None,
    ) -> list[tuple[int, float]]:
        """The nearest rows with their cosines: exact among few, by their signs first among many."""
        where = "workspace = :workspace" + ("" if part is None else " AND part = :part")
        given = {"workspace": workspace, "part": part, "vector": packed(vector), "k": k}
        if among is not None:
            where += " AND key IN (SELECT value FROM json_each(:keys))"
            given["keys"] = json.dumps([int(key) for key in c.execute(among).scalars()])
        if not _loads():
            return self._with_numpy(c, vector, where, given)
        if self._is_many(c, where, given):
            given["keys"] = json.dumps(self._candidates(c, where, given))
            where = "key IN (SELECT value FROM json_each(:keys))"
        query = f"SELECT key, 1 - vec_distance_cosine(vector, :vector) AS cosine FROM {self._name} WHERE {where}"
        rows = c.execute(text(f"{query} ORDER BY cosine DESC, key LIMIT :k"), given)
        return [(int(key), float(cosine)) for key, cosine in rows.tuples()]

    def named(self, c: Connection) -> str:
        """The index in use."""
        _, why = sqlite.vector_extension()
        if why:
            return f"exact search with numpy ({why})"
        return f"sqlite-vec {c.execute(text('SELECT vec_version()')).scalar_one()}"

    def _is_signed(self, c: Connection) -> bool:
        return c.execute(text(f"SELECT bits FROM {self._name}_signed")).first() is not None

    def _keeps_signs(self, c: Connection) -> bool:
        """Whether this process keeps the signs up; one that cannot says so to the next that can."""
        if not _loads():
            c.execute(text(f"DELETE FROM {self._name}_signed"))
        return _loads()

    def _sign(self, c: Connection, bits: int) -> None:
        """Make all signs from the vectors."""
        c.execute(text(f"DROP TABLE IF EXISTS {self._signs}"))
        columns = f"key INTEGER PRIMARY KEY, workspace TEXT PARTITION KEY, part TEXT, signs BIT[{bits}]"
        c.execute(text(f"CREATE VIRTUAL TABLE {self._signs} USING vec0({columns})"))
        padding = f"CAST(vector || zeroblob({bits * _FLOAT} - length(vector)) AS BLOB)"
        rows = f"SELECT key, workspace, part, vec_quantize_binary({padding}) FROM {self._name}"
        c.execute(text(f"INSERT INTO {self._signs} {rows}"))
        c.execute(text(f"INSERT INTO {self._name}_signed VALUES (:bits)"), {"bits": bits})

    def _is_many(self, c: Connection, where: str, given: dict[str, Any]) -> bool:
        query = f"SELECT count(*) FROM (SELECT 1 FROM {self._name} WHERE {where} LIMIT {EXACT_ROWS + 1})"
        return int(c.execute(text(query), given).scalar_one()) > EXACT_ROWS

    def _candidates(self, c: Connection, where: str, given: dict[str, Any]) -> list[int]:
        """The rows whose signs are most like the vector's."""
        most = min(MOST_CANDIDATES, max(CANDIDATES, CANDIDATES_PER_ROW * given["k"]))
        wanted = {**given, "vector": _padded(given["vector"]), "most": most}
        query = (
            f"SELECT key FROM {self._signs} WHERE signs MATCH vec_quantize_binary(:vector) AND k = :most AND {where}"
        )
        return [int(key) for key in c.execute(text(query), wanted).scalars()]

    def _with_numpy(
        self, c: Connection, vector: Sequence[float], where: str, given: dict[str, Any]
    ) -> list[tuple[int, float]]:
        import numpy as np  # half a second that only a store without sqlite-vec pays

        wanted = np.asarray(vector, dtype=np.float32)
        wanted /= np.linalg.norm(wanted)
        best: list[tuple[int, float]] = []
        rows = c.execute(text(f"SELECT key, vector FROM {self._name} WHERE {where}"), given)
        for batch in rows.partitions(BATCH):
            held = np.frombuffer(b"".join(row.vector for row in batch), dtype=np.float32).reshape(len(batch), -1)
            cosines = held @ wanted / np.linalg.norm(held, axis=1)
            best += [(int(row.key), float(cosine)) for row, cosine in zip(batch, cosines, strict=True)]
            best = sorted(best, key=lambda found: (-found[1], found[0]))[: given["k"]]
        return best


_FLOAT = 4
"""Bytes of a component."""


def _loads() -> bool:
    return bool(sqlite.vector_extension()[0])


def packed(vector: Sequence[float]) -> bytes:
    """A vector as the table holds it: its components in single precision, one after the other."""
    return array("f", vector).tobytes()


def _bytes(dimension: int) -> int:
    """How many bytes the signs of a vector take."""
    return -(-dimension // 8)


def _padded(vector: bytes) -> bytes:
    """The vector with zeros up to a whole byte of signs."""
    return vector + bytes(-len(vector) % (8 * _FLOAT))
