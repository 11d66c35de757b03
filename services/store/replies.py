"""What was answered to requests with an idempotency key, kept for a day, so that a retry does nothing a second time.

A key is claimed before the work begins. Where a process dies in between, nobody can tell whether the work was done: the
claim stays, and a retry is told so instead of doing it again. Every function works inside the caller's transaction.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    delete,
    insert,
    select,
    update,
)

from services.store.clock import later

KEPT_S = 24 * 3600.0
IN_FLIGHT_S = 15 * 60.0
"""How long an unanswered claim is believed to be at work; after that its process is gone."""


class Standing(enum.StrEnum):
    """What a key stands for when a request comes with it."""

    NEW = "new"  # claimed now, for this request
    ANSWERED = "answered"
    IN_FLIGHT = "in_flight"
    UNKNOWN = "unknown"  # its process died on it
    OTHER = "other"  # it was used for another request


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as it went out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Replies:
    """The table `reply` of a service's `tables`, and what is done with it."""

    def __init__(self, tables: MetaData) -> None:
        self.table = Table(
            "reply",
            tables,
            Column("workspace", Text, primary_key=True),
            Column("key", Text, primary_key=True),
            Column("fingerprint", Text, nullable=False),
            Column("at", Text, nullable=False),
            Column("status", Integer),
            Column("headers", Text),
            Column("body", LargeBinary),
            Column("location", Text),
            Index("reply_at", "at"),
            Index("reply_location", "workspace", "location"),
        )

    def claim(
        self, c: Connection, workspace: str, key: str, fingerprint: str, *, at: str
    ) -> tuple[Standing, Reply | None]:
        """Whether the request may go on (`NEW`), and the kept reply where there is one."""
        t = self.table
        self.purge(c, at=at)
        row = c.execute(select(t).where(self._one(workspace, key))).one_or_none()
        if row is None:
            c.execute(insert(t).values(workspace=workspace, key=key, fingerprint=fingerprint, at=at))
            return Standing.NEW, None
        if row.fingerprint != fingerprint:
            return Standing.OTHER, None
        if row.status is None:
            return (Standing.UNKNOWN if row.at <= later(at, -IN_FLIGHT_S) else Standing.IN_FLIGHT), None
        return Standing.ANSWERED, Reply(status=row.status, headers=json.loads(row.headers), body=bytes(row.body))

    def keep(self, c: Connection, workspace: str, key: str, reply: Reply, *, location: str | None) -> None:
        """The answer to a claimed key; `location` names what it is about."""
        kept = {"status": reply.status, "headers": json.dumps(dict(reply.headers)), "body": reply.body}
        c.execute(update(self.table).where(self._one(workspace, key)).values(**kept, location=location))

    def release(self, c: Connection, workspace: str, key: str) -> None:
        """A claimed key whose request did nothing: it may be tried again."""
        c.execute(delete(self.table).where(self._one(workspace, key)))

    def purge(self, c: Connection, *, at: str) -> bool:
        """Drop the answers whose day is over; whether there were any."""
        return c.execute(delete(self.table).where(self.table.c.at <= later(at, -KEPT_S))).rowcount > 0

    def forget(self, c: Connection, workspace: str, location: str) -> bool:
        """Drop the answers about what was deleted, for they may quote it; whether there were any."""
        t = self.table
        return c.execute(delete(t).where(t.c.workspace == workspace, t.c.location == location)).rowcount > 0

    def _one(self, workspace: str, key: str) -> ColumnElement[bool]:
        return and_(self.table.c.workspace == workspace, self.table.c.key == key)
