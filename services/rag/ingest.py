"""From a staged upload, an address or a stored document to passages that can be found: what RAG's jobs do.

A job's result and its end are one write. Whatever is wrong with a document is that job's reason; the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from services.llm.errors import LLMError
from services.rag.chunking import Cutter, Span
from services.rag.fetching import Reach, Resolve, fetch, resolved
from services.rag.parsed import Limits, Parsed, Refusal, Source
from services.rag.parsing_apart import parse_apart
from services.rag.parsing_kinds import Kind
from services.rag.stages import Stage, Stages
from services.rag.store import (
    NO_COLLECTION,
    CollectionGone,
    Document,
    DocumentInfo,
    Documents,
    NewDocument,
    content_hash,
)
from services.store.jobs import Job, JobError
from services.store.vectors import ForeignSpace
from services.store.worker import Handler
from services.web.meaning import Meaning

INGEST, FETCH, REINDEX = "ingest", "fetch", "reindex"
AT_ONCE = 2
"""Documents that one process reads at a time: each is a child process of up to `Limits.memory_bytes`."""


Read = Callable[[Source, Limits], Awaitable[Parsed]]
"""Reads a document in a process apart. Raises `Refusal`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the sender says of a document: a title of their own, or the empty string, and the collection it is for."""

    title: str = ""
    collection: str = NO_COLLECTION


class Ingest:
    """The use case. `of` gives the documents of a workspace; `wake` tells the worker that there is a new job.

    `stages` counts how long jobs take at each stage.
    """

    def __init__(
        self,
        *,
        of: Callable[[str], Documents],
        cutter: Cutter,
        limits: Limits,
        reach: Reach,
        resolve: Resolve = resolved,
        meaning: Meaning | None = None,
        read: Read = parse_apart,
        stages: Stages | None = None,
    ) -> None:
        self._of = of
        self._cutter = cutter
        self._limits = limits
        self._reach = reach
        self._resolve = resolve
        self._meaning = meaning
        self._parse = read
        self._stages = stages or Stages(CollectorRegistry())
        self.wake: Callable[[], None] = lambda: None

    def handlers(self) -> Mapping[str, Handler]:
        """What the worker does for each kind of job."""
        return {INGEST: self._ingest, FETCH: self._fetch, REINDEX: self._reindex}

    async def add(self, documents: Documents, text: str, wanted: Wanted) -> tuple[Document, bool]:
        """The document of a plain text, at once, and whether it is new; its vectors follow by a job.

        Raises `CollectionGone`.
        """
        spans = await asyncio.to_thread(self._cutter.passages, text)
        new = NewDocument(
            title=wanted.title, text=text, spans=spans, collection=wanted.collection, media_type=Kind.TEXT
        )
        stored = await documents.put(new, then=REINDEX if self._meaning is not None else "")
        self.wake()
        return stored

    async def take(self, documents: Documents, source: Source, wanted: Wanted) -> Job | DocumentInfo:
        """The job that reads `source`, which is kept by then; the document where its content is there already."""
        known = content_hash(source.data)
        existing = await documents.known(known, wanted.collection)
        if existing is not None:
            return existing
        payload = {"name": source.name, "title": wanted.title, "collection": wanted.collection, "content_hash": known}
        return self._started(await documents.stage(source, kind=INGEST, payload=payload))

    async def take_from(self, documents: Documents, url: str, wanted: Wanted) -> Job:
        """The job that fetches and reads what is at `url`."""
        payload = {"name": url, "title": wanted.title, "collection": wanted.collection}
        return self._started(await documents.enqueue(kind=FETCH, payload=payload))

    async def again(self, documents: Documents, document_id: str) -> Job:
        """The job that cuts and indexes a stored document anew."""
        payload = {"name": document_id, "document_id": document_id}
        return self._started(await documents.enqueue(kind=REINDEX, payload=payload))

    async def retry(self, documents: Documents, job_id: str) -> Job | None:
        """A failed job from its start; None where there is no such job."""
        job = await documents.again(job_id)
        return None if job is None else self._started(job)

    def _started(self, job: Job) -> Job:
        self.wake()
        return job

    async def _ingest(self, job: Job) -> None:
        source = await self._of(job.workspace).staged(job)
        if source is None:
            raise JobError("source-gone", "what was uploaded is not there any more; upload it again", permanent=True)
        await self._read(job, source, origin=source.name)

    async def _fetch(self, job: Job) -> None:
        url = str(job.payload["name"])
        try:
            source = await fetch(url, self._reach, resolve=self._resolve)
        except Refusal as exc:
            raise _told(exc) from exc
        await self._read(job, source, origin=url)

    async def _read(self, job: Job, source: Source, *, origin: str) -> None:
        try:
            with self._stages.at(Stage.READ):
                parsed = await self._parse(source, self._limits)
            spans = await self._cut(parsed.text)
        except Refusal as exc:
            raise _told(exc) from exc
        new = NewDocument(
            title=str(job.payload["title"]) or parsed.title or source.name,
            text=parsed.text,
            spans=spans,
            collection=str(job.payload["collection"]),
            source=origin,
            media_type=parsed.media_type,
            content_hash=content_hash(source.data),
            pages=parsed.pages,
        )
        documents = self._of(job.workspace)
        try:
            await self._keep(documents, new, job)
        except CollectionGone as exc:
            detail = "its collection was deleted meanwhile; send it to another"
            raise JobError("collection-gone", detail, permanent=True) from exc

    async def _keep(self, documents: Documents, new: NewDocument, job: Job) -> None:
        try:
            embedded = await self._with_vectors(new)
            with self._stages.at(Stage.STORE):
                await documents.put(embedded, job=job)
        except (LLMError, ForeignSpace):  # found by words until the job that embeds it has had its turn
            with self._stages.at(Stage.STORE):
                await documents.put(new, job=job, then=REINDEX)
            self.wake()

    async def _reindex(self, job: Job) -> None:
        documents = self._of(job.workspace)
        document = await documents.get(str(job.payload["document_id"]))
        if document is None:
            raise JobError("document-gone", "the document was deleted meanwhile", permanent=True)
        try:
            spans = await self._cut(document.text)
            new = NewDocument(title=document.title, text=document.text, spans=spans, pages=document.pages)
            new = await self._with_vectors(new)
            with self._stages.at(Stage.STORE):
                await documents.reindex(document.id, new, job=job)
        except Refusal as exc:
            raise _told(exc) from exc
        except ForeignSpace as exc:
            raise JobError("foreign-space", str(exc), permanent=True) from exc
        except LLMError as exc:
            raise JobError("not-embedded", f"found by words only: {exc}", permanent=False) from exc

    async def _cut(self, text: str) -> Sequence[Span]:
        """The passages of a text. Raises `Refusal` for more than are held at a time."""
        with self._stages.at(Stage.CUT):
            spans = await asyncio.to_thread(self._cutter.passages, text)
        if len(spans) > self._limits.passages:
            detail = f"it makes {len(spans)} passages, at most {self._limits.passages} are taken; split it"
            raise Refusal("text-too-long", detail)
        return spans

    async def _with_vectors(self, new: NewDocument) -> NewDocument:
        """With a vector for each passage, where an embedding model is configured. Raises `LLMError`."""
        if self._meaning is None:
            return new
        with self._stages.at(Stage.EMBED):
            vectors = await self._meaning.of_texts([new.text[span.start : span.end] for span in new.spans])
        return replace(new, vectors=vectors, space=self._meaning.space)


def _told(refusal: Refusal) -> JobError:
    return JobError(refusal.code, refusal.detail, permanent=not refusal.again)
