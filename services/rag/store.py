"""What RAG keeps, and the port that its use cases need: one workspace's documents, passages, collections and jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.rag.chunking import Span
from services.rag.parsed import Page, Source
from services.store.jobs import Job, State
from services.store.vectors import Space

NO_COLLECTION = ""
"""The collection of documents that are in none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentInfo:
    """A stored document without its text; `chunks` is how many passages it was cut into, `chars` how long it is.

    `number` orders documents by age. `source` is the address or file name that it came from, empty for plain text;
    `is_embedded` whether its passages can be found by meaning.
    """

    number: int
    id: str
    title: str
    chars: int
    chunks: int
    created_at: str
    collection: str = NO_COLLECTION
    source: str = ""
    media_type: str = ""
    content_hash: str = ""
    is_embedded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(DocumentInfo):
    """A stored document; `pages` say where the pages of its source are in `text`."""

    text: str
    pages: tuple[Page, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDocument:
    """A document to store, already cut: each of `spans` is a passage of `text`, with its vector where there are any.

    `content_hash` tells its source from others, as `content_hash()` makes it.
    """

    title: str
    text: str
    spans: Sequence[Span]
    collection: str = NO_COLLECTION
    source: str = ""
    media_type: str = ""
    content_hash: str = ""
    pages: Sequence[Page] = ()
    vectors: Sequence[Sequence[float]] = ()
    space: Space | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage: number `chunk` of its document, exactly `start`..`end` of its text; `page` where it begins."""

    chunk: int
    start: int
    end: int
    page: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A found passage: number `chunk` of its document, an exact span of its text; a higher score is better."""

    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    text: str
    score: float
    page: int | None = None
    collection: str = NO_COLLECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named part of a workspace; a document is in one or in none."""

    id: str
    name: str
    documents: int
    created_at: str


class NameTaken(Exception):
    """The workspace has a collection of that name already."""


class CollectionGone(Exception):
    """The collection of a document to store is not there, or not any more."""


class Documents(Protocol):
    """The port of one workspace. Everything it raises is a `StoreError`, or says so here."""

    async def add(self, title: str, text: str, spans: Sequence[Span]) -> tuple[Document, bool]:
        """The stored document, and whether it is new; title and text that are there already are not stored twice."""

    async def put(self, new: NewDocument, *, job: Job | None = None, then: str = "") -> tuple[Document, bool]:
        """As `add`, with all that is known of it. Raises `CollectionGone`.

        With `job`, that is done by the same write: raises `LeaseLost`. A new one also gets a job of the kind `then`.
        """

    async def reindex(self, document_id: str, new: NewDocument, *, job: Job | None = None) -> Document | None:
        """The document with the passages and vectors of `new` in place of older ones; its text stays. None: gone."""

    async def get(self, document_id: str) -> Document | None: ...

    async def known(self, content_hash: str, collection: str) -> DocumentInfo | None:
        """The document that was made of the same source."""

    async def page(self, limit: int, after: int, collection: str | None = None) -> list[DocumentInfo]:
        """At most `limit` documents younger than number `after`, oldest first."""

    async def delete(self, document_id: str) -> bool:
        """Forget the document and its passages for good; False when there was none."""

    async def chunks(self, document_id: str) -> list[Chunk]:
        """Its passages in order; empty for a document that is not there."""

    async def search(self, query: str, k: int, collection: str | None = None) -> list[Hit]:
        """The `k` best passages for the words of `query`, best first."""

    async def nearest(self, space: Space, vector: Sequence[float], k: int, collection: str | None = None) -> list[Hit]:
        """The `k` passages nearest in meaning, their cosines as scores. Raises `ForeignSpace`."""

    async def both(
        self, query: str, space: Space, vector: Sequence[float], k: int, collection: str | None = None
    ) -> list[Hit]:
        """The `k` best passages by words and meaning together, scored from 0 to 1. Raises `ForeignSpace`."""

    async def collections(self) -> list[Collection]:
        """Every collection, by name."""

    async def add_collection(self, name: str) -> Collection:
        """A new collection. Raises `NameTaken`."""

    async def collection(self, collection_id: str) -> Collection | None: ...

    async def rename_collection(self, collection_id: str, name: str) -> Collection | None:
        """The same collection under another name. Raises `NameTaken`."""

    async def delete_collection(self, collection_id: str) -> bool:
        """Forget it for good, with its documents and the jobs that bring more; False when there was none."""

    async def stage(self, source: Source, *, kind: str, payload: dict[str, str]) -> Job:
        """Keep `source` until its job is done: what was acknowledged survives, read or not."""

    async def enqueue(self, *, kind: str, payload: dict[str, str]) -> Job:
        """A job that needs no source."""

    async def staged(self, job: Job) -> Source | None:
        """The source of the job; None when it is done or forgotten."""

    async def job(self, job_id: str) -> Job | None: ...

    async def jobs(self, limit: int, before: int | None = None, state: State | None = None) -> list[Job]:
        """At most `limit` jobs older than number `before`, newest first."""

    async def again(self, job_id: str) -> Job | None:
        """A dead letter from the start; others stay as they are."""

    async def forget_job(self, job_id: str) -> bool:
        """Take the job and its source away; False when there was none."""


def document_id(title: str, text: str, collection: str = NO_COLLECTION) -> str:
    """The same content in the same collection has the same id, here and on every other machine."""
    where = f"\0{collection}" if collection else ""
    return hashlib.sha256(f"{title}\0{text}{where}".encode()).hexdigest()[:20]


def content_hash(data: bytes) -> str:
    """Equal for equal sources, so that one that is known needs no reading."""
    return hashlib.sha256(data).hexdigest()
