"""The tables of NER's graph.

A merge moves no row: each entity points at the one that stands for it (`root`, itself until it is merged), mentions
and relations stay with the name that was read. So undoing a merge restores exactly what was, whatever came meanwhile.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from services.store.jobs import Jobs
from services.store.replies import Replies

PRODUCER = ("provider", "engine", "model", "prompt_version", "at", "digest", "params_hash", "params", "accepted_by")
"""The columns of a `Made`; `params` is JSON, or empty."""

TABLES = MetaData()
REPLIES = Replies(TABLES)
JOBS = Jobs(TABLES)

DOCUMENT = Table(
    "document",
    TABLES,
    Column("number", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("id", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", String, nullable=False),
    UniqueConstraint("workspace", "id"),
    sqlite_autoincrement=True,
)

READING = Table(
    "reading",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("document", ForeignKey("document.number", ondelete="CASCADE"), nullable=False),
    *(Column(name, String, nullable=False, server_default="") for name in PRODUCER),
    sqlite_autoincrement=True,
)
"""Who read a document, and how. What was found points here: each mention, each piece of evidence has a producer.

A document has one reading by a model, and one more (`accepted_by` is not empty) for each candidate that was accepted.
"""

ENTITY = Table(
    "entity",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", String, nullable=False),
    Column("key", Text, nullable=False),
    Column("skeleton", Text, nullable=False),
    Column("root", Integer, nullable=False),
    UniqueConstraint("workspace", "key", "type"),
    sqlite_autoincrement=True,
)

MENTION = Table(
    "mention",
    TABLES,
    Column("reading", ForeignKey("reading.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, primary_key=True, autoincrement=False),
    Column("entity", ForeignKey("entity.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)

RELATION = Table(
    "relation",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("subject", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("predicate", String, nullable=False),
    Column("object", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    UniqueConstraint("subject", "predicate", "object"),
    sqlite_autoincrement=True,
)

EVIDENCE = Table(
    "evidence",
    TABLES,
    Column("relation", ForeignKey("relation.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("reading", ForeignKey("reading.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, primary_key=True, autoincrement=False),
)
"""The quote itself is `start`..`end` of the document's text; it is kept nowhere else."""

MERGE = Table(
    "merge_log",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("loser", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("winner", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("at", String, nullable=False),
    Column("undone_at", String),
    sqlite_autoincrement=True,
)

CANDIDATE = Table(
    "candidate",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("low", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("high", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("reason", String, nullable=False),
    Column("score", Float, nullable=False),
    Column("rejected", Boolean, nullable=False),
    UniqueConstraint("low", "high"),
    sqlite_autoincrement=True,
)
"""Two names that may be one, the older entity first."""

REJECTION = Table(
    "rejection",
    TABLES,
    Column("workspace", String, primary_key=True),
    Column("pair", String, primary_key=True),
    Column("at", String, nullable=False),
)
"""That two names are not one, kept as a hash: it outlives the documents that held the names, and holds neither."""

NAME_CANDIDATE = Table(
    "name_candidate",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("document", ForeignKey("document.number", ondelete="CASCADE"), nullable=False),
    Column("key", Text, nullable=False),
    Column("type", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("judged_by", String, nullable=False),
    Column("judged_at", String, nullable=False),
    Column("reading", ForeignKey("reading.id", ondelete="SET NULL")),
    *(Column(name, String, nullable=False, server_default="") for name in PRODUCER),
    UniqueConstraint("document", "key", "type"),
    sqlite_autoincrement=True,
)
"""A name that somebody else sees in a document, and what a person said of it; an accepted one has a `reading`."""

NAME_PLACE = Table(
    "name_place",
    TABLES,
    Column("candidate", ForeignKey("name_candidate.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, primary_key=True, autoincrement=False),
)

SPLIT = Table(
    "split",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("workspace", String, nullable=False),
    Column("source", ForeignKey("entity.id", ondelete="SET NULL")),
    Column("made", ForeignKey("entity.id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("at", String, nullable=False),
    sqlite_autoincrement=True,
)
"""That some places of a name mean another thing of the same name and type. It goes with that thing."""

SPLIT_PLACE = Table(
    "split_place",
    TABLES,
    Column("split", ForeignKey("split.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("document", ForeignKey("document.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("start", Integer, primary_key=True, autoincrement=False),
    Column("end", Integer, primary_key=True, autoincrement=False),
)
"""Where: a document that is read anew keeps what a person said of it."""

SHAPE = Table(
    "shape",
    TABLES,
    Column("workspace", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", String, nullable=False),
)

INDEXES = (
    Index("reading_document", READING.c.document),
    Index("entity_root", ENTITY.c.root),
    Index("entity_type", ENTITY.c.workspace, ENTITY.c.type),
    Index("mention_entity", MENTION.c.entity),
    Index("relation_object", RELATION.c.object),
    Index("relation_workspace", RELATION.c.workspace),
    Index("evidence_reading", EVIDENCE.c.reading),
    Index("merge_winner", MERGE.c.winner),
    Index("merge_loser", MERGE.c.loser),
    Index("split_source", SPLIT.c.source),
    Index("split_made", SPLIT.c.made),
    Index("split_place_document", SPLIT_PLACE.c.document),
    Index("name_candidate_reading", NAME_CANDIDATE.c.reading),
    Index("candidate_high", CANDIDATE.c.high),
    Index("candidate_score", CANDIDATE.c.workspace, CANDIDATE.c.score),
)
