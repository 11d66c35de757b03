"""Search by meaning: the vectors of one space, the nearest ones found inside the store with its filters applied.

A store holds vectors of one space only. It refuses others, and says how to make them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Column, Connection, Integer, MetaData, Select, Table, Text, delete, insert, select

from services.store.errors import StoreError
from services.store.schema import is_sqlite
from services.store.vectors_postgres import PostgresVectors
from services.store.vectors_sqlite import SqliteVectors

Row = tuple[int, str, str, Sequence[float]]
"""The number of what a vector stands for, its workspace, the part of the workspace it belongs to, and the vector."""

Among = Select[Any]
"""Selects the numbers of the rows that may be found, one column."""


class ForeignSpace(StoreError):
    """Vectors of another space than the store's were given or asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What the store's vectors are: `name` says model, revision and normalisation, as the embedder does."""

    name: str
    dimension: int


class Adapter(Protocol):
    """What differs between the databases."""

    def make(self, c: Connection, dimension: int) -> None: ...
    def put(self, c: Connection, rows: Sequence[Row]) -> None: ...
    def drop(self, c: Connection, keys: Sequence[int]) -> None: ...
    def clear(self, c: Connection) -> None: ...
    def nearest(
        self, c: Connection, vector: Sequence[float], k: int, workspace: str, part: str | None, among: Among | None
    ) -> list[tuple[int, float]]: ...
    def named(self, c: Connection) -> str: ...


class VectorIndex:
    """Vectors of the rows that a table numbers. `reindex` is the command that makes all of them anew."""

    def __init__(self, name: str, tables: MetaData, *, reindex: str) -> None:
        self.reindex = reindex
        self._space = Table(
            f"{name}_space",
            tables,
            Column("name", Text, primary_key=True),
            Column("dimension", Integer, nullable=False),
        )
        self._sqlite: Adapter = SqliteVectors(name)
        self._postgres: Adapter = PostgresVectors(name)

    def create(self, c: Connection) -> None:
        """Make what is missing of the index of the space that the store has; before it has one, nothing."""
        space = self.space(c)
        if space is not None:
            self._on(c).make(c, space.dimension)

    def space(self, c: Connection) -> Space | None:
        """The store's space; None while it holds no vectors."""
        row = c.execute(select(self._space)).one_or_none()
        return None if row is None else Space(name=row.name, dimension=row.dimension)

    def adopt(self, c: Connection, space: Space) -> None:
        """Take `space` for this store's if it has none. Raises `ForeignSpace` if it has another."""
        if self.check(c, space) is None:
            c.execute(insert(self._space).values(name=space.name, dimension=space.dimension))
            self._on(c).make(c, space.dimension)

    def check(self, c: Connection, space: Space) -> Space | None:
        """The store's space. Raises `ForeignSpace` if it is another than `space`."""
        held = self.space(c)
        if held is not None and held != space:
            raise ForeignSpace(
                f"the store holds vectors of {held.name}, the embedder makes {space.name}; "
                f"make them anew with `{self.reindex}`, or configure the embedder that they were made with"
            )
        return held

    def put(self, c: Connection, space: Space, rows: Iterable[Row]) -> None:
        """Keep the vectors of these rows in place of older ones. Raises `ForeignSpace`."""
        self.adopt(c, space)
        kept = list(rows)
        if any(len(vector) != space.dimension for *_, vector in kept):
            raise ForeignSpace(f"a vector does not have the {space.dimension} components of {space.name}")
        if kept:
            self._on(c).drop(c, [key for key, *_ in kept])
            self._on(c).put(c, kept)

    def drop(self, c: Connection, keys: Iterable[int]) -> None:
        """Forget the vectors of these rows."""
        gone = list(keys)
        if gone and self.space(c) is not None:
            self._on(c).drop(c, gone)

    def clear(self, c: Connection) -> None:
        """Forget every vector and the space: the first step of making them anew."""
        if self.space(c) is not None:
            self._on(c).clear(c)
            c.execute(delete(self._space))

    def nearest(
        self,
        c: Connection,
        space: Space,
        vector: Sequence[float],
        k: int,
        *,
        workspace: str,
        part: str | None = None,
        among: Among | None = None,
    ) -> list[tuple[int, float]]:
        """The `k` rows nearest to `vector` and their cosines, best first; fewer only where fewer pass the filters.

        Raises `ForeignSpace`.
        """
        if self.check(c, space) is None:
            return []
        return self._on(c).nearest(c, vector, k, workspace, part, among)

    def named(self, c: Connection) -> dict[str, str]:
        """What finds by meaning, and in which space; said as well where there is nothing to find yet."""
        space = self.space(c)
        held = "no vectors, so search is by words only" if space is None else space.name
        return {"vectors": f"{self._on(c).named(c)}: {held}"}

    def _on(self, c: Connection) -> Adapter:
        return self._sqlite if is_sqlite(c) else self._postgres
