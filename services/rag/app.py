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
from services.rag.store import Documents, SqliteDocuments
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


def build(settings: Settings, *, client: Client | None = None, store: Documents | None = None) -> FastAPI:
    """The app of `settings`; tests bring their own client and store."""
    registry = CollectorRegistry()
    client = client or client_for(settings, SERVICE, registry)
    store = store or SqliteDocuments(settings.data_path(SERVICE))
    entry = model(settings.aliases[SERVICE], settings.models_file)
    rag = Rag(service=SERVICE, alias=entry.alias, context=entry.context, documents=store, client=client)
    room = Room(
        service=SERVICE,
        client=client,
        store=store,
        limits=settings.limits,
        admin_token=settings.admin_token,
        use_cases=rag,
        registry=registry,
        recorder=recorder_for(settings, SERVICE, RECORDED, registry),
        keys=KeyFile(settings.api_keys.file, is_given=settings.api_keys.is_given),
        metrics_dir=settings.metrics_dir,
    )
    return application(room, title="Cutover RAG", routers=(api.router(), admin.router()))
