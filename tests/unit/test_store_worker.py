"""What the log hears of a job whose result the store did not take."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import MetaData

from services.store.database import Database
from services.store.errors import StoreError
from services.store.jobs import Job, Jobs
from services.store.schema import Schema
from services.store.worker import Worker

TABLES = MetaData()
JOBS = Jobs(TABLES)


async def test_the_reason_of_a_failing_store_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The job itself says only that its result could not be kept."""

    async def fails(job: Job) -> None:
        raise StoreError("the disk is gone")

    database = Database(f"sqlite:///{tmp_path}/jobs.db", Schema(name="jobs", tables=TABLES))
    async with database:
        job = await database.write(
            lambda c: JOBS.enqueue(c, workspace="w", kind="k", payload={}, at="2026-01-01T12:00:00.000+00:00")
        )
        reason = await Worker(database, JOBS, {"k": fails})._handled(job)

    assert reason is not None
    assert (reason.code, f"job.store_failed kind=k id={job.id} reason=the disk is gone" in caplog.messages) == (
        "store",
        True,
    )
