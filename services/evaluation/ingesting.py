"""How fast a running RAG takes documents in, and what memory it needs meanwhile: uploads, waits, looks, computes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from services.evaluation.ingest_run import Footprint, Run, Stored
from services.evaluation.uploads import File

AHEAD = 32
"""Files that are uploaded and not read yet; more would only wait in the store."""

SAY_EVERY = 50
"""Files."""

LOOK_S = 0.5
LIMIT_S = 120.0
PAGE = 100
"""The most that one page of RAG's lists holds."""

BUSY = "rag_ingest_busy_seconds"
"""The service's own measure of its stages."""

UNFINISHED = ("queued", "running")

Progress = Callable[[str], None]


class IngestError(Exception):
    """The service did not do what was asked. The message says what it answered."""


async def ingested(
    url: str,
    collection: str,
    files: Iterator[tuple[File, bytes]],
    look: Callable[[], Footprint],
    say: Progress,
    *,
    embeds: bool = False,
) -> Run:
    """Upload `files` into a new collection of the service at `url`, until all are documents. Raises `IngestError`.

    It raises as well where a file is neither a document nor refused, and with `embeds` where one was stored without
    vectors first.
    """
    run = Run(began_s=time.time())
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=LIMIT_S) as http:
        into = (await _asked(http, "POST", "/v1/collections", json={"name": collection}))["id"]
        before = await _busy(http)
        watching = asyncio.create_task(_watch(run, look))
        try:
            jobs = await _sent(http, into, files, run, say)
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        run.seen.append(look())
        run.busy_s = {stage: seconds - before.get(stage, 0.0) for stage, seconds in (await _busy(http)).items()}
        run.documents = await _documents(http, into, run.sizes)
    _account(run, jobs, embeds=embeds)
    return run


async def texts_of(url: str, documents: Sequence[Stored]) -> list[list[str]]:
    """The passages of each document, as the service cut them."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=LIMIT_S) as http:
        lists = [await _asked(http, "GET", f"/v1/documents/{document.id}/chunks") for document in documents]
    return [[chunk["text"] for chunk in listed["chunks"]] for listed in lists]


async def _sent(
    http: httpx2.AsyncClient, collection: str, files: Iterator[tuple[File, bytes]], run: Run, say: Progress
) -> list[dict[str, Any]]:
    """Keep `AHEAD` files waiting until there are no more, then wait for the last. The jobs as `_since` lists them."""
    waiting: set[str] = set()
    for file, data in files:
        while len(waiting) >= AHEAD:
            await asyncio.sleep(LOOK_S / 5)
            waiting &= await _waiting(http)
        form = {"files": {"file": (file.name, data)}, "data": {"collection": collection}}
        answer = await _asked(http, "POST", "/v1/documents", **form)
        if "state" not in answer:  # a document, not a job: the same file was read before
            run.same += 1
            continue
        waiting.add(answer["id"])
        run.jobs.add(answer["id"])
        run.sizes[file.name] = len(data)
        if len(run.sizes) % SAY_EVERY == 0:
            say(f"{len(run.sizes)} files, {sum(run.sizes.values()) / 1e6:.1f} MB sent")
    while True:
        while waiting:
            await asyncio.sleep(LOOK_S / 5)
            waiting &= await _waiting(http)
        run.took_s = time.time() - run.began_s
        jobs = await _since(http, run.jobs)
        waiting = {job["id"] for job in jobs if job["id"] in run.jobs and job["state"] in UNFINISHED}
        if not waiting:
            return jobs


async def _waiting(http: httpx2.AsyncClient) -> set[str]:
    """Ids of the jobs that are not at their end; there are never more than fit on a page. The queued first: a job that
    starts between the two looks is in the second. One that is put back between them is in neither."""
    pages = [await _asked(http, "GET", "/v1/jobs", params={"state": state, "limit": PAGE}) for state in UNFINISHED]
    return {job["id"] for page in pages for job in page["jobs"]}


async def _since(http: httpx2.AsyncClient, ours: Set[str]) -> list[dict[str, Any]]:
    """Every job that is as new as the first of `ours` or newer. Raises `IngestError` where one of `ours` is gone."""
    found: list[dict[str, Any]] = []
    left, asked = set(ours), {"limit": str(PAGE)}
    while left:
        page = await _asked(http, "GET", "/v1/jobs", params=asked)
        found += page["jobs"]
        left -= {job["id"] for job in page["jobs"]}
        if page["next"] is None:
            break
        asked["after"] = page["next"]
    if left:
        raise IngestError(f"RAG knows no more of {len(left)} of {len(ours)} uploads")
    return found


def _account(run: Run, jobs: Sequence[Mapping[str, Any]], *, embeds: bool) -> None:
    """What became of each upload, into `run`. Raises `IngestError` where that cannot be said."""
    stored = {document.id for document in run.documents}
    made: set[str] = set()
    for job in jobs:
        known = job["document_id"]
        if job["id"] not in run.jobs:
            if embeds and job["kind"] == "reindex" and known in stored:
                raise IngestError(f"{job['name']!r} was stored without vectors: the embedder failed or was late")
        elif job["state"] == "failed":
            run.failed[job["error"]["code"]] += 1
        elif known in made:
            run.same += 1
        elif known in stored:
            made.add(known)
        else:
            raise IngestError(f"the upload of {job['name']!r} is done, and there is no document of it")


async def _documents(http: httpx2.AsyncClient, collection: str, sizes: Mapping[str, int]) -> list[Stored]:
    found: list[Stored] = []
    asked = {"collection": collection, "limit": str(PAGE)}
    while True:
        page = await _asked(http, "GET", "/v1/documents", params=asked)
        for d in page["documents"]:
            at_s = datetime.fromisoformat(d["created_at"]).timestamp()
            size = sizes.get(d["source"], 0)
            found.append(Stored(id=d["id"], size=size, chunks=d["chunks"], chars=d["chars"], at_s=at_s))
        if page["next"] is None:
            return found
        asked["after"] = page["next"]


async def _watch(run: Run, look: Callable[[], Footprint]) -> None:
    while True:
        run.seen.append(look())
        await asyncio.sleep(LOOK_S)


async def _busy(http: httpx2.AsyncClient) -> dict[str, float]:
    """Seconds until now, by stage."""
    families = text_string_to_metric_families((await _answered(http, "GET", "/metrics")).text)
    samples = [sample for family in families if family.name == BUSY for sample in family.samples]
    return {sample.labels["stage"]: sample.value for sample in samples if sample.name == f"{BUSY}_total"}


async def _asked(http: httpx2.AsyncClient, method: str, path: str, **sent: Any) -> dict[str, Any]:
    return dict((await _answered(http, method, path, **sent)).json())


async def _answered(http: httpx2.AsyncClient, method: str, path: str, **sent: Any) -> httpx2.Response:
    """Raises `IngestError` for no answer and for one that is no success."""
    try:
        answer = await http.request(method, path, **sent)
    except httpx2.HTTPError as exc:
        raise IngestError(f"RAG does not answer to {method} {path}: {type(exc).__name__} {exc}") from exc
    if not answer.is_success:
        raise IngestError(f"RAG answers {answer.status_code} to {method} {path}: {answer.text[:300]}")
    return answer
