"""How common words are in a table of PostgreSQL, by its own statistics: to count a word is to read its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from services.store.words import parts

_ROWS = (
    "SELECT reltuples * greatest(1, pg_relation_size(oid) / CAST(current_setting('block_size') AS float) / relpages) "
    "AS rows FROM pg_class WHERE oid = CAST(CAST(:name AS text) AS regclass) AND relpages > 0 AND reltuples > 0"
)
"""As the planner does it: the rows of the last ANALYZE, and the more of them the more pages there are by now."""

_STEMS = (
    "SELECT term, tsvector_to_array(to_tsvector('english', term)) AS stems "
    "FROM unnest(CAST(:terms AS text[])) AS given (term)"
)

_SHARES = (
    "SELECT kept.stem, kept.share FROM pg_stats, "
    "unnest(CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs) AS kept (stem, share) "
    "WHERE schemaname = current_schema() AND tablename = :name AND attname = 'words'"
)
"""The most common stems, a thousand unless the server is told otherwise, and the share of rows that hold each."""

_KNOWN = (
    f"SELECT size.rows, wanted.term, shares.share FROM ({_ROWS}) AS size "
    f"LEFT JOIN (({_STEMS}) AS wanted JOIN ({_SHARES}) AS shares ON wanted.stems = ARRAY[shares.stem]) ON true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the last ANALYZE of a table knows of it: how many `rows` there are, and how many have each common term."""

    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def statistics(c: Connection, name: str, terms: Sequence[str]) -> Statistics:
    """What is known of the table `name`, which is nothing before its first ANALYZE.

    Terms that are not common are left out, and so are those with several parts: stems are kept one by one. One that was
    common is in one row at least, however few rows a VACUUM has found since: none would be taken for a word of no row.
    """
    single = [term for term in terms if len(parts(term)) == 1]
    known = c.execute(text(_KNOWN), {"name": name, "terms": single}).all()
    counts = {row.term: max(1, round(row.share * row.rows)) for row in known if row.term is not None}
    return Statistics(rows=int(known[0].rows) if known else 0, counts=counts)
