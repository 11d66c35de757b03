"""Bootstrap of Notes: reads the settings, chooses the adapters. `uvicorn services.notes.app:create --factory`."""

from __future__ import annotations

import os

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import admin
from services.llm.build import client_for
from services.llm.registry import model
from services.notes import api, api_ask, api_folder, api_jobs, api_tags, background
from services.notes.folder import MAX_ZIP_BYTES
from services.notes.notebook import StoredNotebooks
from services.notes.service import Notes
from services.notes.store import Kind
from services.notes.tables import REPLIES
from services.settings import Settings, load
from services.web import logs
from services.web.factory import application
from services.web.idempotency import Memory
from services.web.key_file import KeyFile
from services.web.recording import recorder_for
from services.web.room import Client, Room

SERVICE = "notes"
RECORDED = "/v1/summarize"
"""The endpoint whose requests `cutover record` takes: the recipe's."""


def create() -> FastAPI:
    """The app of this environment. Raises `SettingsError` that lists every problem."""
    settings = load(os.environ)
    logs.install(settings)
    return build(settings)


def build(settings: Settings, *, client: Client | None = None, store: StoredNotebooks | None = None) -> FastAPI:
    """The app of `settings`; tests bring their own client and store."""
    registry = CollectorRegistry()
    client = client or client_for(settings, SERVICE, registry)
    after_save = [Kind(name) for name in settings.after_save]
    notebooks = store or StoredNotebooks(settings.stores.url(SERVICE), after_save=after_save)
    entry = model(settings.aliases[SERVICE], settings.models_file)

    def of(workspace: str) -> Notes:
        notebook = notebooks.of(workspace)
        return Notes(service=SERVICE, alias=entry.alias, context=entry.context, notebook=notebook, client=client)

    room = Room(
        service=SERVICE,
        client=client,
        store=notebooks,
        limits=settings.limits,
        admin_token=settings.admin_token,
        use_cases=of,
        registry=registry,
        recorder=recorder_for(settings, SERVICE, RECORDED, registry),
        keys=KeyFile(settings.api_keys.file, is_given=settings.api_keys.is_given),
        memory=Memory(database=notebooks.database, replies=REPLIES),
        metrics_dir=settings.metrics_dir,
        beside=(notebooks.working(background.handlers(of, settings.limits.deadline_s)),),
    )
    routers = (
        api.router(),
        api_tags.router(),
        api_ask.router(),
        api_folder.router(),
        api_jobs.router(),
        admin.router(),
    )
    larger = {api_folder.IMPORT_PATH: MAX_ZIP_BYTES}
    return application(room, title="Cutover Notes", routers=routers, larger_bodies=larger)
