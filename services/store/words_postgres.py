"""How common words are in a table of PostgreSQL, as its own statistics know: counting them reads a row for each find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from services.store.words import parts

_ROWS = (
    "SELECT reltuples * greatest(1, pg_relation_size(oid) / current_setting('block_size')\\:\\:float8 / relpages) "
    "FROM pg_class WHERE oid = CAST(:name AS regclass) AND relpages > 0"
)
"""As the planner does: the rows of the last ANALYZE, and the more of them the more pages there are by now."""

_SHARES = (
    "SELECT wanted.term, kept.share FROM (SELECT term, tsvector_to_array(to_tsvector('english', term)) AS stems "
    "FROM unnest(CAST(:terms AS text[])) AS given (term)) AS wanted JOIN pg_stats ON cardinality(wanted.stems) = 1 "
    "JOIN LATERAL unnest(CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs) AS kept (stem, share) "
    "ON kept.stem = wanted.stems[1] WHERE schemaname = current_schema() AND tablename = :name AND attname = 'words'"
)
"""The shares of rows that hold the most common stems, some thousand in all; of a word with several parts none is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the last ANALYZE of a table knows of it: how many `rows` there are, and how many have each common term."""

    rows: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def statistics(c: Connection, name: str, terms: Sequence[str]) -> Statistics:
    """What is known of the table `name`; nothing of one that was never analyzed. Other terms than common are left out."""
    rows = int(c.execute(text(_ROWS), {"name": name}).scalar() or 0)
    if rows <= 0:
        return Statistics()
    single = [term for term in terms if len(parts(term)) == 1]
    shares = c.execute(text(_SHARES), {"name": name, "terms": single}).tuples()
    return Statistics(rows=rows, counts={term: round(share * rows) for term, share in shares})
