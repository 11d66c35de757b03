"""Bootstrap of RAG: reads the settings, chooses the adapters. `uvicorn services.rag.app:create --factory`."""

from __future__ import annotations

import os

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import admin
from services.llm.build import client_for
from services.llm.registry import model
from services.rag import api
from services.rag.service import Rag
from services.rag.store_documents import StoredDocuments
from services.settings import Settings, load
from services.web import logs
from services.web.factory import application
from services.web.key_file import KeyFile
from services.web.recording import recorder_for
from services.web.room import Client, Room

SERVICE = "rag"
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
    stored = store or StoredDocuments(settings.stores.url(SERVICE))
    entry = model(settings.aliases[SERVICE], settings.models_file)

    def of(workspace: str) -> Rag:
        documents = stored.of(workspace)
        return Rag(service=SERVICE, alias=entry.alias, context=entry.context, documents=documents, client=client)

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
        metrics_dir=settings.metrics_dir,
    )
    return application(room, title="Cutover RAG", routers=(api.router(), admin.router()))
