"""Bootstrap of Notes: reads the settings, chooses the adapters. `uvicorn services.notes.app:create --factory`."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry

from services import admin
from services.llm.build import client_for
from services.llm.client import LLMClient
from services.llm.registry import Model, model
from services.notes import api, api_ask, api_folder, api_jobs, api_tags, background, ui, ui_folder
from services.notes.folder import MAX_ZIP_BYTES
from services.notes.notebook import StoredNotebooks
from services.notes.service import Notes
from services.notes.store import Kind
from services.notes.tables import REPLIES
from services.pages.install import install
from services.settings import Settings, load
from services.web import logs
from services.web.factory import application
from services.web.idempotency import Memory
from services.web.key_file import KeyFile
from services.web.meaning import Meaning, meaning_for
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


def build(settings: Settings, *, client: Client | None = None) -> FastAPI:
    """The app of `settings`; tests bring their own client."""
    registry = CollectorRegistry()
    client = client or client_for(settings, SERVICE, registry)
    meaning = meaning_for(settings, SERVICE, client)
    made = [Kind(name) for name in settings.after_save]
    after_save = made if meaning is None else [Kind.VECTORS, *made]
    notebooks = StoredNotebooks(settings.stores.url(SERVICE), after_save=after_save)
    of = _use_cases(settings, notebooks, client, meaning)
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
    larger = {api_folder.IMPORT_PATH: MAX_ZIP_BYTES, ui_folder.FOLDER_PATH: MAX_ZIP_BYTES + ui_folder.FORM_BYTES}
    app = application(room, title="Cutover Notes", routers=_routers(), larger_bodies=larger)
    install(app, settings, tabs=ui.TABS, routers=ui.routers(), templates=Path(__file__).with_name("templates"))
    return app


def _use_cases(
    settings: Settings, notebooks: StoredNotebooks, client: Client, meaning: Meaning | None
) -> background.NotesOf:
    """The use cases of each workspace."""
    entry = model(settings.aliases[SERVICE], settings.models_file)
    context = _window(client, entry)

    def of(workspace: str) -> Notes:
        return Notes(
            service=SERVICE,
            alias=entry.alias,
            context=context,
            notebook=notebooks.of(workspace),
            client=client,
            meaning=meaning,
        )

    return of


def _window(client: Client, entry: Model) -> int:
    """The smallest window of all who may be asked, in tokens: what fits there is never cut by a fallback."""
    if not isinstance(client, LLMClient):
        return entry.context
    return min(link.provider.window(entry.alias) for link in client.links.values())


def _routers() -> tuple[APIRouter, ...]:
    own = (api, api_tags, api_ask, api_folder, api_jobs)
    return (*(part.router() for part in own), admin.router())
