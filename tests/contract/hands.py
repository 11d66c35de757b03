"""Hands that do one thing with jobs per call, over a table of their own, and move the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, MetaData, Table, Text, select

from services.store.clock import later
from services.store.database import Database
from services.store.jobs import Job, Jobs
from services.store.schema import Schema

TABLES = MetaData()
RESULT = Table("result", TABLES, Column("text", Text, nullable=False))
JOBS = Jobs(TABLES, max_attempts=3)
SCHEMA = Schema(name="jobs", tables=TABLES)
NOON = "2026-01-01T12:00:00.000+00:00"
LEASE_S = 60.0


@dataclass
class Hands:
    """Moves the clock by hand, and does one thing with the jobs per call."""

    database: Database
    at: str = NOON

    def pass_s(self, seconds: float) -> None:
        self.at = later(self.at, seconds)

    async def enqueue(self, text: str = "x", workspace: str = "default") -> Job:
        return await self.database.write(
            lambda c: JOBS.enqueue(c, workspace=workspace, kind="echo", payload={"text": text}, at=self.at)
        )

    async def claim(self) -> Job | None:
        return await self.database.write(lambda c: JOBS.claim(c, at=self.at, lease_s=LEASE_S))

    async def claimed(self) -> Job:
        job = await self.claim()
        assert job is not None
        return job

    async def do(self, work: Callable[[Connection], object]) -> object:
        return await self.database.write(work)

    async def seen(self, job: Job) -> Job:
        found = await self.database.read(lambda c: JOBS.get(c, job.workspace, job.id))
        assert found is not None
        return found

    async def results(self) -> list[str]:
        return await self.database.read(lambda c: sorted(c.execute(select(RESULT.c.text)).scalars()))
