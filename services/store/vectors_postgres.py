"""Vectors in PostgreSQL: pgvector, with an HNSW index where a vector is short enough for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, text

HNSW_MAX_DIMENSION = 2000
"""pgvector indexes no longer ones of single precision; they are searched one by one."""

EF_SEARCH = 200
"""How many candidates the index keeps while it searches: more find better and cost more."""

_SETTINGS = (
    "SELECT set_config('hnsw.ef_search', :candidates, true), set_config('hnsw.iterative_scan', 'strict_order', true)"
)
"""Of the index, for this transaction."""

_PAST_THE_INDEX = "(vector <=> CAST(:vector AS vector)) + 0"
"""The distance as a sum, which no index is sorted by."""


class PostgresVectors:
    """The vectors of the table `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def make(self, c: Connection, dimension: int) -> None:
        """The table and its index, where they are missing."""
        c.execute(text("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public"))
        c.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {self._name} (key INTEGER PRIMARY KEY, workspace TEXT NOT NULL, "
                f"part TEXT NOT NULL, vector vector({dimension}) NOT NULL)"
            )
        )
        c.execute(text(f"CREATE INDEX IF NOT EXISTS {self._name}_owner ON {self._name} (workspace, part)"))
        if dimension <= HNSW_MAX_DIMENSION:
            near = f"CREATE INDEX IF NOT EXISTS {self._name}_near ON {self._name} USING hnsw (vector vector_cosine_ops)"
            c.execute(text(near))

    def put(self, c: Connection, rows: Sequence[tuple[int, str, str, Sequence[float]]]) -> None:
        """Keep vectors whose rows have none."""
        kept = [{"key": k, "workspace": w, "part": p, "vector": _written(v)} for k, w, p, v in rows]
        c.execute(text(f"INSERT INTO {self._name} VALUES (:key, :workspace, :part, CAST(:vector AS vector))"), kept)

    def drop(self, c: Connection, keys: Sequence[int]) -> None:
        """Forget these rows' vectors."""
        c.execute(text(f"DELETE FROM {self._name} WHERE key = ANY(:keys)"), {"keys": list(keys)})

    def clear(self, c: Connection) -> None:
        """Forget all, the table as well: the next space may be wider."""
        c.execute(text(f"DROP TABLE {self._name}"))

    def nearest(
        self,
        c: Connection,
        vector: Sequence[float],
        k: int,
        workspace: str,
        part: str | None,
        among: Select[Any] | None,
    ) -> list[tuple[int, float]]:
        """The nearest rows with their cosines.

        The index goes on until enough pass the filters, but gives up after `hnsw.max_scan_tuples` of the whole table,
        so a small workspace in a large store may get too few of it. Then its own rows are compared one by one.
        """
        c.execute(text(_SETTINGS), {"candidates": str(min(1000, max(EF_SEARCH, k)))})
        query = f"SELECT key, 1 - (vector <=> CAST(:vector AS vector)) FROM {self._name} WHERE workspace = :workspace"
        if part is not None:  # a condition that is always true would have the planner expect few rows and sort them
            query += " AND part = :part"
        given: dict[str, Any] = {"vector": _written(vector), "workspace": workspace, "part": part, "k": k}
        if among is not None:
            query += " AND key = ANY(:keys)"
            given["keys"] = [int(key) for key in c.execute(among).scalars()]
        found = _ranked(c, f"{query} ORDER BY vector <=> CAST(:vector AS vector) LIMIT :k", given)
        return found if len(found) == k else _ranked(c, f"{query} ORDER BY {_PAST_THE_INDEX} LIMIT :k", given)

    def named(self, c: Connection) -> str:
        """The index in use."""
        version = c.execute(text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")).scalar_one_or_none()
        return f"pgvector {version}" if version else "pgvector"


def _ranked(c: Connection, query: str, given: dict[str, Any]) -> list[tuple[int, float]]:
    return [(int(key), float(cosine)) for key, cosine in c.execute(text(query), given).tuples()]


def _written(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(map(repr, vector)) + "]"
