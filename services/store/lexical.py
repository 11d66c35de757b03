"""Search by words: FTS5 with Porter's stems on SQLite, tsvector on PostgreSQL, the same calls for both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Float, Integer, Row, Select, Subquery, Text, column, select, table, text

from services.store.schema import is_sqlite
from services.store.words import parts, terms
from services.store.words_postgres import Statistics, statistics

RANKED_ROWS = 4000
"""So many rows are ranked for a question, by its rarest terms: the others tell little and cost much."""

SNIPPET_WORDS = 16
FORGETS_SINCE = (3, 45)
"""The SQLite from which FTS5's `secure-delete` is used: it came with 3.42.0, later versions mended it.

Without it a deleted row's words stay in the index, marked as deleted, and `optimize` keeps such marks wherever its
levels say that an older part might still need them (https://sqlite.org/fts5.html, 6.13).
"""

INDEXED_CHARS = 200_000
"""How much of a text PostgreSQL indexes; a tsvector may not be larger than 1 MiB."""


class WordIndex:
    """Texts in `columns` of the rows that a table numbers, to be found by word. `weights` has one number a column.

    A word in the title says more about what a passage is about than one in its text: give it more weight.
    """

    def __init__(self, name: str, columns: Sequence[str], weights: Sequence[float]) -> None:
        self._name = name
        self._columns = tuple(columns)
        self._weights = tuple(weights)

    def create(self, c: Connection) -> None:
        """Make the index where it is missing."""
        columns = ", ".join(self._columns)
        if is_sqlite(c):
            made = "CREATE VIRTUAL TABLE IF NOT EXISTS"
            c.execute(text(f"{made} {self._name} USING fts5 ({columns}, tokenize = 'porter unicode61')"))
            if c.execute(text(f"SELECT 1 FROM {self._name} LIMIT 1")).first() is None:
                self.scrub(c)  # no row is not no word: an older store's marks of deleted ones are still there
            return
        kept = ", ".join(f"{name} TEXT NOT NULL" for name in self._columns)
        c.execute(
            text(f"CREATE TABLE IF NOT EXISTS {self._name} (key INTEGER PRIMARY KEY, {kept}, words TSVECTOR NOT NULL)")
        )
        c.execute(text(f"CREATE INDEX IF NOT EXISTS {self._name}_words ON {self._name} USING gin (words)"))

    def named(self, c: Connection) -> dict[str, str]:
        """What finds words."""
        return {"words": "FTS5" if is_sqlite(c) else "tsvector"}

    def put(self, c: Connection, rows: Iterable[tuple[int, Sequence[str]]]) -> None:
        """The texts of rows, by number, in the order of the columns; older texts of the same rows are forgotten."""
        kept: list[dict[str, Any]] = [
            {"key": key, **dict(zip(self._columns, texts, strict=True))} for key, texts in rows
        ]
        if not kept:
            return
        self.drop(c, [row["key"] for row in kept])
        names, marks = ", ".join(self._columns), ", ".join(f":{name}" for name in self._columns)
        if is_sqlite(c):
            c.execute(text(f"INSERT INTO {self._name} (rowid, {names}) VALUES (:key, {marks})"), kept)
            return
        words = " || ".join(
            f"setweight(to_tsvector('english', :{name}_parts), '{label}')"
            for name, label in zip(self._columns, "ABCD", strict=False)
        )
        parted = [
            {**row, **{f"{n}_parts": " ".join(parts(row[n][:INDEXED_CHARS])) for n in self._columns}} for row in kept
        ]
        c.execute(text(f"INSERT INTO {self._name} (key, {names}, words) VALUES (:key, {marks}, {words})"), parted)

    def drop(self, c: Connection, keys: Iterable[int]) -> None:
        """Forget the texts of these rows."""
        key = "rowid" if is_sqlite(c) else "key"
        gone = [{"key": k} for k in keys]
        if gone:
            c.execute(text(f"DELETE FROM {self._name} WHERE {key} = :key"), gone)

    def scrub(self, c: Connection) -> None:
        """Let no word stay behind that only dropped rows held; after deleting.

        Costs nothing where SQLite deletes words at once. An index of an older SQLite, or in one, is made anew. What
        tells two of the index's pages apart, the beginning of a word or now and then a whole one, stays until its next
        merge (https://sqlite.org/fts5.html, 6.13): to find those, every page would be looked at for each deletion.
        """
        if is_sqlite(c) and not self._forgets_at_once(c):
            self._forget_at_once(c)
            c.execute(text(f"INSERT INTO {self._name} ({self._name}) VALUES ('rebuild')"))

    def _forgets_at_once(self, c: Connection) -> bool:
        return c.execute(text(f"SELECT v FROM {self._name}_config WHERE k = 'secure-delete'")).scalar() == 1

    def _forget_at_once(self, c: Connection) -> None:
        """From now on, as far as this SQLite can; one that cannot could not read the index afterwards."""
        if (c.dialect.server_version_info or ()) >= FORGETS_SINCE:
            c.execute(text(f"INSERT INTO {self._name} ({self._name}, rank) VALUES ('secure-delete', 1)"))

    def best(
        self,
        c: Connection,
        words: str,
        query: Callable[[Subquery], Select[Any]],
        enough: int,
        *,
        snippet: str | None = None,
    ) -> Sequence[Row[Any]]:
        """The rows of the caller's `query` of what has `words`; where they are not `enough`, of what has any of them.

        The index does not know whose rows it holds: only after the caller's own tables are joined is it told whether
        the words that tell most tell anything about these.
        """
        found: Sequence[Row[Any]] = []
        for matches in self._rankings(c, words, snippet):
            found = c.execute(query(matches)).all()
            if len(found) >= enough:
                break
        return found

    def onward(
        self,
        c: Connection,
        words: str,
        query: Callable[[Subquery], Select[Any]],
        enough: int,
        *,
        snippet: str | None = None,
    ) -> Sequence[Row[Any]]:
        """As `best`, for a list that is gone on with: rows of the second ranking come behind those of the first.

        Whoever asks for more gets the same rows first. The rows have `key`, of which each is there once.
        """
        found: dict[int, Row[Any]] = {}
        for matches in self._rankings(c, words, snippet):
            for row in c.execute(query(matches)):
                found.setdefault(row.key, row)
            if len(found) >= enough:
                break
        return list(found.values())

    def matches(self, c: Connection, words: str, *, snippet: str | None = None) -> Subquery | None:
        """Rows with the words of `words` that tell most: the rarest, or where all are common every one of them.

        `key`, `score` (higher is better), and `snippet` of that column where asked for. Chosen by the rows of every
        owner: for those of one use `best`. None: there is no word to look for.
        """
        return next(self._rankings(c, words, snippet), None)

    def _rankings(self, c: Connection, words: str, snippet: str | None) -> Iterator[Subquery]:
        """First `matches`, then rows with any of the words, where those are others."""
        wanted = terms(words)
        if not any(parts(term) for term in wanted):
            return
        known = Statistics() if is_sqlite(c) else statistics(c, self._name, wanted)
        counted = self._known(c, wanted, known)
        rare, found = telling(counted), [(term, n) for term, n in counted if n] or counted
        every = not rare and len(found) > 1 and self._has_every(c, [term for term, _ in found])
        ranked = partial(self._in_sqlite, c) if is_sqlite(c) else partial(self._in_postgres, self._rows(c, known))
        yield ranked(rare or found, snippet, every=every)
        if every or 0 < len(rare) < len(found):
            yield ranked(found, snippet, every=False)

    def texts(self, c: Connection) -> Subquery:
        """The texts that are kept: `key` and a column for each of the index's, to be joined by `key`."""
        key = column("rowid" if is_sqlite(c) else "key", Integer).label("key")
        kept = (column(name, Text) for name in self._columns)
        return select(key, *kept).select_from(table(self._name)).subquery()

    def _known(self, c: Connection, wanted: Sequence[str], known: Statistics) -> list[tuple[str, int]]:
        """Each term with the number of rows that it is in: counted, unless the database knows that it is in many."""
        counted = self._counted(c, [term for term in wanted if term not in known.counts])
        return [(term, known.counts[term] if term in known.counts else counted[term]) for term in wanted]

    def _counted(self, c: Connection, wanted: Sequence[str]) -> dict[str, int]:
        """In how many rows each term is, as far as `RANKED_ROWS`."""
        if not wanted:
            return {}
        counts = (
            f"SELECT {n}, count(*) FROM "
            f"(SELECT 1 FROM {self._name} WHERE {self._holds(c, f'term{n}')} LIMIT {RANKED_ROWS}) AS found{n}"
            for n in range(len(wanted))
        )
        given = {f"term{n}": _written(c, term) for n, term in enumerate(wanted)}
        rows = c.execute(text(" UNION ALL ".join(counts)), given).tuples().all()
        return {wanted[n]: int(count) for n, count in rows}

    def _has_every(self, c: Connection, wanted: Sequence[str]) -> bool:
        """Whether any row holds all of these."""
        query = f"SELECT 1 FROM {self._name} WHERE {self._holds(c, 'words')} LIMIT 1"
        return c.execute(text(query), {"words": _joined(c, wanted, every=True)}).first() is not None

    def _holds(self, c: Connection, given: str) -> str:
        return f"{self._name} MATCH :{given}" if is_sqlite(c) else f"words @@ to_tsquery('english', :{given})"

    def _in_sqlite(
        self, c: Connection, wanted: Sequence[tuple[str, int]], snippet: str | None, *, every: bool
    ) -> Subquery:
        weights = ", ".join(map(str, self._weights))
        shown = ""
        if snippet is not None:
            shown = f", snippet({self._name}, {self._columns.index(snippet)}, '', '', '…', {SNIPPET_WORDS}) AS snippet"
        query = (
            f"SELECT rowid AS key, -bm25({self._name}, {weights}) AS score{shown} "
            f"FROM {self._name} WHERE {self._name} MATCH :words"
        )
        return _found(query, {"words": _joined(c, [term for term, _ in wanted], every=every)}, snippet)

    def _in_postgres(
        self, rows: int, wanted: Sequence[tuple[str, int]], snippet: str | None, *, every: bool
    ) -> Subquery:
        """PostgreSQL's rank knows nothing of how rare a word is: each term's rank is weighted by that here.

        Sorted before the caller joins its tables, so that no more of their rows are looked up than are wanted.
        """
        sign = " & " if every else " | "
        given: dict[str, Any] = {"weights": self._scaled(), "words": sign.join(_tsquery(term) for term, _ in wanted)}
        ranks = []
        for n, (term, count) in enumerate(wanted):
            given |= {f"term{n}": _tsquery(term), f"rarity{n}": math.log(1 + rows / (count + 0.5))}
            rank = f"ts_rank(CAST(:weights AS real[]), words, to_tsquery('english', :term{n}), 1)"
            ranks.append(f"CAST(:rarity{n} AS float) * {rank}")
        where = "words @@ to_tsquery('english', :words)"
        query = f"SELECT key, {' + '.join(ranks)} AS score FROM {self._name} WHERE {where} ORDER BY score DESC, key"
        if snippet is not None:
            options = f'StartSel="", StopSel="", MaxWords={SNIPPET_WORDS}, MinWords={SNIPPET_WORDS // 2}'
            shown = f"ts_headline('english', {snippet}, to_tsquery('english', :words), '{options}')"
            shown = f"(SELECT {shown} FROM {self._name} AS kept WHERE kept.key = ranked.key)"
            query = f"SELECT key, score, {shown} AS snippet FROM ({query}) AS ranked"
        return _found(query, given, snippet)

    def _rows(self, c: Connection, known: Statistics) -> int:
        """How many rows there are: counted where they are few, else as PostgreSQL estimates."""
        if known.rows >= RANKED_ROWS:
            return known.rows
        few = f"SELECT count(*) FROM (SELECT 1 FROM {self._name} LIMIT {RANKED_ROWS}) AS few"
        return max(known.rows, int(c.execute(text(few)).scalar_one()))

    def _scaled(self) -> str:
        """The weights as PostgreSQL wants them: of its labels D to A, at most 1."""
        four = [weight / max(self._weights) for weight in self._weights] + [0.0] * (4 - len(self._weights))
        return "{" + ", ".join(map(str, reversed(four))) + "}"


def telling(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The rarest terms of those that any row has, as many as are in fewer than `RANKED_ROWS` rows together."""
    chosen, rows = [], 0
    for term, count in sorted((found for found in counted if found[1]), key=lambda found: found[1]):
        rows += count
        if rows >= RANKED_ROWS:
            break
        chosen.append((term, count))
    return chosen


def _written(c: Connection, term: str) -> str:
    return _fts(term) if is_sqlite(c) else _tsquery(term)


def _joined(c: Connection, wanted: Sequence[str], *, every: bool) -> str:
    """A query for rows with any of these, or with every one."""
    sign = (" AND " if every else " OR ") if is_sqlite(c) else (" & " if every else " | ")
    return sign.join(_written(c, term) for term in wanted)


def _found(query: str, given: Mapping[str, Any], snippet: str | None) -> Subquery:
    shown = [] if snippet is None else [column("snippet", Text)]
    return text(query).bindparams(**given).columns(column("key", Integer), column("score", Float), *shown).subquery()


def _fts(term: str) -> str:
    """The term as FTS5 reads it: quoted, so that it is no syntax."""
    return f'"{term}"'


def _tsquery(term: str) -> str:
    """The same for PostgreSQL: its parts, one after the other."""
    return "(" + " <-> ".join(f"'{part}'" for part in parts(term)) + ")"
