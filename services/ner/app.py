"""Bootstrap of NER: reads the settings, chooses the adapters. `uvicorn services.ner.app:create --factory`."""

from __future__ import annotations

import os

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services import admin
from services.llm.build import client_for
from services.llm.registry import model
from services.ner import api, api_candidates, api_graph, api_jobs, api_merges, api_shapes, background, ui_pages
from services.ner.service import Ner
from services.ner.spacy_names import Names, NotInstalled
from services.ner.spacy_names import load as load_spacy
from services.ner.store import Graphs
from services.ner.tables import REPLIES
from services.pages.install import install
from services.settings import Settings, SettingsError, load
from services.web import logs
from services.web.factory import application
from services.web.idempotency import Memory
from services.web.key_file import KeyFile
from services.web.recording import recorder_for
from services.web.room import Client, Room

SERVICE = "ner"
RECORDED = "/v1/extract"
"""The endpoint whose requests `cutover record` takes: the recipe's."""


def create() -> FastAPI:
    """The app of this environment. Raises `SettingsError` that lists every problem."""
    settings = load(os.environ)
    logs.install(settings)
    return build(settings)


def build(
    settings: Settings, *, client: Client | None = None, store: Graphs | None = None, names: Names | None = None
) -> FastAPI:
    """The app of `settings`; tests bring their own client, store and finder of candidates.

    Raises `SettingsError` where candidates are turned on and what finds them is not installed.
    """
    registry = CollectorRegistry()
    client = client or client_for(settings, SERVICE, registry)
    store = store or Graphs(settings.stores.url(SERVICE))
    alias = model(settings.aliases[SERVICE], settings.models_file).alias
    names = names or _names(settings)
    ner = Ner(service=SERVICE, alias=alias, graphs=store, client=client, registry=registry, names=names)
    room = Room(
        service=SERVICE,
        client=client,
        store=store,
        limits=settings.limits,
        admin_token=settings.admin_token,
        use_cases=ner,
        registry=registry,
        recorder=recorder_for(settings, SERVICE, RECORDED, registry),
        keys=KeyFile(settings.api_keys.file, is_given=settings.api_keys.is_given),
        memory=Memory(database=store.database, replies=REPLIES),
        metrics_dir=settings.metrics_dir,
        beside=(store.working(background.handlers(ner, settings.limits.deadline_s)),),
    )
    own = (api, api_candidates, api_graph, api_merges, api_shapes, api_jobs)
    routers = (*(part.router() for part in own), admin.router())
    app = application(room, title="Cutover NER", routers=routers)
    install(app, settings, tabs=ui_pages.TABS, routers=ui_pages.routers(), templates=ui_pages.TEMPLATES)
    ui_pages.colour(app)
    return app


def _names(settings: Settings) -> Names | None:
    """Loaded at the start: a service that cannot give what its settings promise does not come up."""
    if not settings.name_candidates:
        return None
    try:
        return load_spacy()
    except NotInstalled as exc:
        raise SettingsError([f"NER_CANDIDATES={settings.name_candidates}: {exc}"]) from exc
