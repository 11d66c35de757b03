"""All pages of NER, put beside its API."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from services.ner import ui, ui_find, ui_graph, ui_merges, ui_shapes
from services.ner.ui_marks import hue
from services.pages.install import install
from services.pages.site import Tab
from services.settings import Settings

TABS = (
    Tab(title="Text", path=""),
    Tab(title="Documents", path="documents"),
    Tab(title="Entities", path="entities"),
    Tab(title="Graph", path="graph"),
    Tab(title="Facts", path="query"),
    Tab(title="Paths", path="paths"),
    Tab(title="Merges", path="merges"),
    Tab(title="Schemas", path="schemas"),
)


def serve(app: FastAPI, settings: Settings) -> None:
    """Install them. Templates say `| hue` for the colour of a type."""
    routers = [part.router() for part in (ui, ui_graph, ui_find, ui_merges, ui_shapes)]
    install(app, settings, tabs=TABS, routers=routers, templates=Path(__file__).with_name("templates"))
    app.state.site.environment.filters["hue"] = hue
