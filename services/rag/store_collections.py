"""Rows of collections. Every function works inside the caller's transaction, for one workspace."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from services.rag import store_rows, store_uploads
from services.rag.store import Collection, NameTaken
from services.rag.store_tables import COLLECTION, DOCUMENT, JOBS, REPLIES
from services.store.jobs import State


def every(c: Connection, workspace: str) -> list[Collection]:
    """By name."""
    mine = _shown().where(COLLECTION.c.workspace == workspace).order_by(COLLECTION.c.name)
    return [Collection(**row._mapping) for row in c.execute(mine)]


def get(c: Connection, workspace: str, collection_id: str) -> Collection | None:
    """None for another workspace's as well."""
    row = c.execute(_shown().where(_one(workspace, collection_id))).one_or_none()
    return None if row is None else Collection(**row._mapping)


def add(c: Connection, workspace: str, name: str, at: str) -> Collection:
    """A new one. Raises `NameTaken`."""
    _free(c, workspace, name)
    row = {"id": uuid.uuid4().hex, "name": name, "created_at": at}
    c.execute(insert(COLLECTION).values(**row, workspace=workspace))
    return Collection(**row, documents=0)


def rename(c: Connection, workspace: str, collection_id: str, name: str) -> Collection | None:
    """Its documents keep their ids. Raises `NameTaken`."""
    found = get(c, workspace, collection_id)
    if found is None or found.name == name:
        return found
    _free(c, workspace, name)
    c.execute(update(COLLECTION).where(_one(workspace, collection_id)).values(name=name))
    return get(c, workspace, collection_id)


def delete_(c: Connection, workspace: str, collection_id: str) -> bool:
    """With its documents, the answers kept about them, and the jobs that were to bring more."""
    if not c.execute(delete(COLLECTION).where(_one(workspace, collection_id))).rowcount:
        return False
    store_rows.drop(c, workspace, DOCUMENT.c.collection == collection_id)
    _drop_jobs(c, workspace, collection_id)
    return True


def _drop_jobs(c: Connection, workspace: str, collection_id: str) -> None:
    """Those that are not done, each with what it was to read. Who runs one finds its lease lost."""
    t = JOBS.table.c
    told = t.payload.contains(collection_id, autoescape=True)
    unfinished = and_(t.workspace == workspace, t.state != State.DONE, told)
    for job_id, payload in c.execute(select(t.id, t.payload).where(unfinished)).tuples().all():
        if json.loads(payload).get("collection") == collection_id:
            JOBS.forget(c, workspace, job_id)
            store_uploads.forget(c, job_id)
            REPLIES.forget(c, workspace, f"/v1/jobs/{job_id}")


def _free(c: Connection, workspace: str, name: str) -> None:
    same = and_(COLLECTION.c.workspace == workspace, COLLECTION.c.name == name)
    if c.execute(select(COLLECTION.c.id).where(same)).first() is not None:
        raise NameTaken(f"there is a collection {name!r} already")


def _one(workspace: str, collection_id: str) -> Any:
    return and_(COLLECTION.c.workspace == workspace, COLLECTION.c.id == collection_id)


def _shown() -> Any:
    inside = and_(DOCUMENT.c.workspace == COLLECTION.c.workspace, DOCUMENT.c.collection == COLLECTION.c.id)
    counted = select(func.count()).where(inside).correlate(COLLECTION).scalar_subquery().label("documents")
    return select(COLLECTION.c.id, COLLECTION.c.name, COLLECTION.c.created_at, counted)
