"""Vectors in SQLite: exact ones in a plain table, and beside them their signs in few large rows, to find few fast.

The signs (services/store/signs.py) name the candidates, the exact vectors decide among them: by sqlite-vec where it
loads, else with numpy. sqlite-vec's own index of bits is not used: choosing k of n costs it k times n, 59 ms of CPU for
400 of 100,000 where numpy took 4.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, text

from services.store import sqlite
from services.store.signs import Signs
from services.store.signs import packed as signs_of

Row = tuple[int, str, str, Sequence[float]]

EXACT_ROWS = 4000
"""Up to so many vectors of a workspace are compared one by one, which is exact and takes a few milliseconds."""

CANDIDATES, CANDIDATES_PER_ROW = 500, 10
"""How many the signs name, at least and for each row that is wanted; fewer find worse, each costs a look-up."""

PAGE_ROWS = 1024
"""Signs that lie in one row: a write rewrites one such row, a search reads all of its workspace."""

BATCH = 4096
"""Vectors that numpy compares at a time; bounds its memory."""

_FLOAT_BYTES = 4
_HELD = "vectors_sqlite"
"""Where a connection keeps the signs that it read last."""


class SqliteVectors:
    """The vectors are in the table `name`, their signs in `name_signs`; each vector knows the row of its signs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._signs = f"{name}_signs"

    def make(self, c: Connection, dimension: int) -> None:
        """The two tables, where they are missing."""
        owner = "workspace TEXT NOT NULL, part TEXT NOT NULL"
        length = f"CHECK (length(vector) = {_FLOAT_BYTES * dimension})"
        vectors = f"key INTEGER PRIMARY KEY, {owner}, page INTEGER NOT NULL, vector BLOB NOT NULL {length}"
        signs = f"page INTEGER PRIMARY KEY AUTOINCREMENT, {owner}, keys BLOB NOT NULL, signs BLOB NOT NULL"
        for table, columns in ((self._name, vectors), (self._signs, signs)):
            c.execute(text(f"CREATE TABLE IF NOT EXISTS {table} ({columns})"))
            c.execute(text(f"CREATE INDEX IF NOT EXISTS {table}_owner ON {table} (workspace, part)"))

    def put(self, c: Connection, rows: Sequence[Row]) -> None:
        """Keep vectors whose rows have none."""
        ordered = sorted(rows, key=lambda row: row[1:3])
        for (workspace, part), owned in groupby(ordered, key=lambda row: row[1:3]):
            left = list(owned)
            while left:
                page, keys, signs = self._last_page(c, workspace, part)
                room = PAGE_ROWS - len(keys) // 8
                taken, left = left[:room], left[room:]
                keys += array("q", [key for key, *_ in taken]).tobytes()
                signs += b"".join(signs_of(vector) for *_, vector in taken)
                self._keep_page(c, page, keys, signs)
                kept = [{"key": k, "w": workspace, "p": part, "page": page, "v": packed(v)} for k, _, _, v in taken]
                c.execute(text(f"INSERT INTO {self._name} VALUES (:key, :w, :p, :page, :v)"), kept)

    def drop(self, c: Connection, keys: Sequence[int]) -> None:
        """Forget these rows' vectors and their signs."""
        gone = {"keys": json.dumps(list(keys))}
        mine = "key IN (SELECT value FROM json_each(:keys))"
        pages = c.execute(text(f"SELECT DISTINCT page FROM {self._name} WHERE {mine}"), gone).scalars().all()
        for page in pages:
            query = text(f"SELECT keys, signs FROM {self._signs} WHERE page = :page")
            stored_keys, stored_signs = c.execute(query, {"page": page}).tuples().one()
            held = _keys(stored_keys)
            stays = ~np.isin(held, np.asarray(keys, dtype=np.int64))
            signs = np.frombuffer(stored_signs, dtype=np.uint64).reshape(len(held), -1)
            self._keep_page(c, page, held[stays].tobytes(), signs[stays].tobytes())
        c.execute(text(f"DELETE FROM {self._name} WHERE {mine}"), gone)

    def clear(self, c: Connection) -> None:
        """Forget all, the tables as well: the next space may be wider."""
        c.execute(text(f"DROP TABLE {self._name}"))
        c.execute(text(f"DROP TABLE {self._signs}"))

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
        owner = "workspace = :workspace" + ("" if part is None else " AND part = :part")
        given = {"workspace": workspace, "part": part, "vector": packed(vector), "k": k}
        where, keys = owner, None
        if among is not None:
            where += " AND key IN (SELECT value FROM json_each(:keys))"
            keys = [int(key) for key in c.execute(among).scalars()]
            given["keys"] = json.dumps(keys)
        if self._is_many(c, where, given):
            given["keys"] = json.dumps(self._candidates(c, vector, owner, given, keys))
            where = "key IN (SELECT value FROM json_each(:keys))"
        if not sqlite.vector_extension()[0]:
            return self._with_numpy(c, vector, where, given)
        query = f"SELECT key, 1 - vec_distance_cosine(vector, :vector) AS cosine FROM {self._name} WHERE {where}"
        rows = c.execute(text(f"{query} ORDER BY cosine DESC, key LIMIT :k"), given)
        return [(int(key), float(cosine)) for key, cosine in rows.tuples()]

    def named(self, c: Connection) -> str:
        """The index in use."""
        _, why = sqlite.vector_extension()
        if why:
            return f"exact search with numpy ({why})"
        return f"sqlite-vec {c.execute(text('SELECT vec_version()')).scalar_one()}"

    def _last_page(self, c: Connection, workspace: str, part: str) -> tuple[int, bytes, bytes]:
        """The owner's page that has room; a new one where none has."""
        owner = {"workspace": workspace, "part": part}
        query = f"SELECT page, keys, signs FROM {self._signs} WHERE workspace = :workspace AND part = :part"
        found = c.execute(text(f"{query} ORDER BY page DESC LIMIT 1"), owner).first()
        if found is not None and len(found[1]) < PAGE_ROWS * 8:
            return int(found[0]), found[1], found[2]
        made = f"INSERT INTO {self._signs} (workspace, part, keys, signs) VALUES (:workspace, :part, x'', x'')"
        return int(c.execute(text(f"{made} RETURNING page"), owner).scalar_one()), b"", b""

    def _keep_page(self, c: Connection, page: int, keys: bytes, signs: bytes) -> None:
        if not keys:
            c.execute(text(f"DELETE FROM {self._signs} WHERE page = :page"), {"page": page})
            return
        change = f"UPDATE {self._signs} SET keys = :keys, signs = :signs WHERE page = :page"
        c.execute(text(change), {"page": page, "keys": keys, "signs": signs})

    def _is_many(self, c: Connection, where: str, given: dict[str, Any]) -> bool:
        query = f"SELECT count(*) FROM (SELECT 1 FROM {self._name} WHERE {where} LIMIT {EXACT_ROWS + 1})"
        return int(c.execute(text(query), given).scalar_one()) > EXACT_ROWS

    def _candidates(
        self, c: Connection, vector: Sequence[float], owner: str, given: dict[str, Any], among: Sequence[int] | None
    ) -> list[int]:
        """The rows of the owner whose signs are most like the vector's, `among` these where given."""
        most = max(CANDIDATES, CANDIDATES_PER_ROW * given["k"])
        return self._signs_of(c, owner, given).nearest(vector, most, among)

    def _signs_of(self, c: Connection, owner: str, given: dict[str, Any]) -> Signs:
        """The owner's signs. A connection that never wrote keeps the last ones until another one has written."""
        version = sqlite.seen(c)
        wanted = (self._signs, given["workspace"], given["part"], version)
        held: tuple[Any, Signs] | None = c.info.get(_HELD)
        if version is not None and held is not None and held[0] == wanted:
            return held[1]
        pages = c.execute(text(f"SELECT keys, signs FROM {self._signs} WHERE {owner}"), given).tuples().all()
        read = Signs(b"".join(page[0] for page in pages), b"".join(page[1] for page in pages))
        if version is not None:
            c.info[_HELD] = (wanted, read)
        return read

    def _with_numpy(
        self, c: Connection, vector: Sequence[float], where: str, given: dict[str, Any]
    ) -> list[tuple[int, float]]:
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


def packed(vector: Sequence[float]) -> bytes:
    """A vector as the table holds it: its components in single precision, one after the other."""
    return array("f", vector).tobytes()


def _keys(stored: bytes) -> Any:
    return np.frombuffer(stored, dtype=np.int64)
