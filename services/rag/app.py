"""Bootstrap of RAG: reads the settings, chooses the adapters. `uvicorn services.rag.app:create --factory`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import admin
from services.llm.build import client_for
from services.llm.client import LLMClient
from services.llm.cutting import TOKENIZER, read
from services.llm.errors import ConfigError
from services.llm.registry import Model, model
from services.pages.install import install
from services.rag import (
    api,
    api_collections,
    api_eval,
    api_feedback,
    api_ingest,
    ui,
    ui_documents,
    ui_feedback,
    ui_jobs,
)
from services.rag.chunking import Cutter
from services.rag.feedback import counter
from services.rag.fetching import Reach
from services.rag.ingest import AT_ONCE, Ingest
from services.rag.parsed import Limits
from services.rag.readers import Readers
from services.rag.receiving import FORM_BYTES
from services.rag.search import NOTHING_EMBEDS
from services.rag.service import Rag
from services.rag.stages import Stages
from services.rag.store_documents import StoredDocuments
from services.rag.store_tables import JOBS, REPLIES
from services.settings import Settings, load
from services.store.worker import Worker
from services.web import logs
from services.web.factory import application
from services.web.idempotency import Memory
from services.web.key_file import KeyFile
from services.web.meaning import Meaning, meaning_for
from services.web.recording import recorder_for
from services.web.room import Client, Room

SERVICE = "rag"
V1 = (api, api_eval, api_ingest, api_collections, api_feedback)
PAGES = (ui, ui_documents, ui_jobs, ui_feedback)
"""The files with routes of the API, and of pages."""

RECORDED = "/v1/ask"
"""The endpoint whose requests `cutover record` takes: the recipe's."""


def create() -> FastAPI:
    """The app of this environment. Raises `SettingsError` that lists every problem."""
    settings = load(os.environ)
    logs.install(settings)
    return build(settings)


def build(settings: Settings, *, client: Client | None = None, store: StoredDocuments | None = None) -> FastAPI:
    """The app of `settings`; tests bring their own client and store."""
    registry = CollectorRegistry()
    client = client or client_for(settings, SERVICE, registry)
    meaning = meaning_for(settings, SERVICE, client)
    tokenizer, missing = _cutting(settings)
    stored = store or StoredDocuments(settings.stores.url(SERVICE), search=_search(meaning, missing))
    entry = model(settings.aliases[SERVICE], settings.models_file)
    readers = Readers()
    ingest = _ingest(settings, stored, meaning, Cutter(tokenizer), readers, Stages(registry))
    worker = Worker(stored.database, JOBS, ingest.handlers(), concurrency=AT_ONCE)
    ingest.wake = worker.wake
    context = _window(client, entry)
    ratings = counter(registry)

    def of(workspace: str) -> Rag:
        return Rag(
            service=SERVICE, alias=entry.alias, context=context, documents=stored.of(workspace),
            feedback=stored.feedback_of(workspace), ratings=ratings, client=client, ingest=ingest, meaning=meaning,
        )  # fmt: skip

    room = Room(
        service=SERVICE,
        client=client,
        store=stored,
        limits=settings.limits,
        admin_token=settings.admin_token,
        use_cases=of,
        registry=registry,
        recorder=recorder_for(settings, SERVICE, RECORDED, registry),
        keys=KeyFile(settings.api_keys.file, is_given=settings.api_keys.is_given),
        memory=Memory(database=stored.database, replies=REPLIES),
        metrics_dir=settings.metrics_dir,
        beside=(readers, worker),
    )
    routers = (*(part.router() for part in V1), admin.router())
    larger = dict.fromkeys(("/v1/documents", "/ui/documents"), settings.uploads.max_bytes + FORM_BYTES)
    app = application(room, title="Cutover RAG", routers=routers, larger_bodies=larger)
    templates = Path(__file__).with_name("templates")
    install(app, settings, tabs=ui.TABS, routers=[part.router() for part in PAGES], templates=templates)
    return app


def _search(meaning: Meaning | None, missing: str) -> str:
    """How passages are found, for `/readyz`; `missing` says what the embedding model lacks, and how to get it."""
    if meaning is None:
        return f"words only: {NOTHING_EMBEDS}"
    return f"words only: {missing}; then restart" if missing else f"meaning and words: {meaning.space.name}"


def _ingest(
    settings: Settings, stored: StoredDocuments, meaning: Meaning | None, cutter: Cutter, readers: Readers,
    stages: Stages,
) -> Ingest:  # fmt: skip
    uploads = settings.uploads
    reach = Reach(may_reach_private=uploads.may_reach_private, max_bytes=uploads.max_bytes)
    return Ingest(
        of=stored.of, cutter=cutter, limits=Limits(), reach=reach, meaning=meaning, read=readers.read, stages=stages
    )


def _cutting(settings: Settings) -> tuple[Any | None, str]:
    """What cuts documents by tokens, or why they are cut by characters: files that nobody fetched stop no service."""
    try:
        return _tokenizer(settings), ""
    except ConfigError as exc:
        return None, str(exc)


def _tokenizer(settings: Settings) -> Any | None:
    """The embedding model's; None where nothing is embedded. Raises `ConfigError` where it is not fetched yet."""
    alias = settings.embedding.alias
    entry = model(alias, settings.models_file) if alias else None
    if entry is None or entry.source is None:
        return None
    return read(entry.source.folder(settings.engines_dir, alias) / TOKENIZER)


def _window(client: Client, entry: Model) -> int:
    """The smallest window of all who may be asked, in tokens: what fits there is never cut by a fallback."""
    if not isinstance(client, LLMClient):
        return entry.context
    return min(link.provider.window(entry.alias) for link in client.links.values())
