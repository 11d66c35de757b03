"""Sources that were sent and not read yet, each kept until its job is done."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from services.rag.parsed import Source
from services.rag.store_tables import UPLOAD
from services.store.jobs import Job


def keep(c: Connection, job: Job, source: Source) -> None:
    """Keep what `job` is to read."""
    row = {"job": job.id, "name": source.name, "media_type": source.media_type, "data": source.data}
    c.execute(insert(UPLOAD).values(row))


def get(c: Connection, job: Job) -> Source | None:
    """What `job` is to read."""
    row = c.execute(select(UPLOAD).where(UPLOAD.c.job == job.id)).one_or_none()
    return None if row is None else Source(data=row.data, name=row.name, media_type=row.media_type)


def forget(c: Connection, job_id: str) -> None:
    """It was read, or nobody wants it any more."""
    c.execute(delete(UPLOAD).where(UPLOAD.c.job == job_id))
