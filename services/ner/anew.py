"""Which documents are to be read anew, by who read them and how; inside the caller's transaction.

A reading says by its parameters what it looked for and how, so the next one looks for the same, in today's words. One
from before parameters were kept says by its prompt version what it looked for, and not how.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set

from sqlalchemy import Connection, delete, select

from services.ner import shapes
from services.ner.producers import Params
from services.ner.prompts import RELATIONS_VERSION, version
from services.ner.shape import DEFAULT, FACTS, Shape
from services.ner.tables import DOCUMENT, JOBS, READING
from services.store.jobs import State

KIND = "read"
PRODUCED = r"(provider|model|digest)(!?=)(.{1,200})"
"""Who read a document: `provider=ollama`, `model!=smollm2-135m`, `digest!=8b7a`; a digest by how it begins."""
AT_ONCE = 500
"""Jobs that one statement deletes."""
_JOB = JOBS.table


def rerun(c: Connection, workspace: str, where: str, *, at: str | None, max_tokens: int | None = None) -> int:
    """Jobs for what `wanted` finds, and how many; without `at` they are counted and not asked for."""
    found = list(dict.fromkeys(wanted(c, workspace, where)))
    if at is not None:
        _make_way(c, workspace, set(found))
        told = {} if max_tokens is None else {"max_tokens": max_tokens}
        for document_id in found:
            JOBS.enqueue(c, workspace=workspace, kind=KIND, payload={"document": document_id, **told}, at=at)
    return len(found)


def wanted(c: Connection, workspace: str, where: str) -> list[str]:
    """The documents that were read so, the oldest first; `failed` are those whose reading anew gave up."""
    if where == "failed":
        failed = select(_JOB.c.payload).where(_JOB.c.workspace == workspace, _JOB.c.state == State.FAILED)
        return [json.loads(payload)["document"] for payload in c.execute(failed.order_by(_JOB.c.number)).scalars()]
    query = (
        select(DOCUMENT.c.id, READING.c.prompt_version)
        .join(READING, READING.c.document == DOCUMENT.c.number)
        .where(DOCUMENT.c.workspace == workspace, READING.c.accepted_by == "")
        .order_by(DOCUMENT.c.number)
    )
    produced = re.fullmatch(PRODUCED, where)
    if produced is not None:
        column, sign, value = produced.groups()
        made = READING.c[column]
        hit = made.startswith(value, autoescape=True) if column == "digest" else made == value
        query = query.where(~hit if sign == "!=" else hit)
    elif where != "outdated":
        raise ValueError(f"where={where!r} is not one that `Rerun` takes")
    rows = c.execute(query).all()
    if produced is not None:
        return [row.id for row in rows]
    old = {v for v in {row.prompt_version for row in rows} if _is_outdated(c, workspace, v)}
    return [row.id for row in rows if row.prompt_version in old]


def asked(
    c: Connection, workspace: str, prompt_version: str, params: Params | None = None
) -> tuple[Shape | None, bool]:
    """What a reading looked for, as it is today, and whether for relations; None for a schema that is gone."""
    if params is not None:
        return shapes.get(c, workspace, params.shape), params.relations
    words, _, own = prompt_version.partition("/")
    relations = words.partition("-")[0] == RELATIONS_VERSION.partition("-")[0]
    name = own.partition("@")[0]
    if not name:
        return (FACTS if relations else DEFAULT), relations
    return shapes.get(c, workspace, name), relations


def forget(c: Connection, workspace: str, document_id: str) -> None:
    """A deleted document leaves no jobs."""
    its_own = _JOB.c.payload.startswith(json.dumps({"document": document_id})[:-1], autoescape=True)
    c.execute(delete(_JOB).where(_JOB.c.workspace == workspace, its_own))


def _make_way(c: Connection, workspace: str, documents: Set[str]) -> None:
    """Jobs for these that wait, or failed, go. All are looked at once: no index leads from a payload to its job."""
    waiting = _JOB.c.state.in_([State.QUEUED, State.FAILED])
    query = select(_JOB.c.number, _JOB.c.payload).where(_JOB.c.workspace == workspace, _JOB.c.kind == KIND, waiting)
    old = [row.number for row in c.execute(query) if json.loads(row.payload)["document"] in documents]
    for i in range(0, len(old), AT_ONCE):
        c.execute(delete(_JOB).where(_JOB.c.number.in_(old[i : i + AT_ONCE])))


def _is_outdated(c: Connection, workspace: str, prompt_version: str) -> bool:
    shape, relations = asked(c, workspace, prompt_version)
    return shape is not None and version(shape, relations=relations) != prompt_version
