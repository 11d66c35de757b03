"""All pages of NER: their menu, routes and templates."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI

from services.ner import ui, ui_candidates, ui_find, ui_graph, ui_merges, ui_shapes
from services.ner.ui_marks import hue
from services.pages.site import Tab

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


TEMPLATES = Path(__file__).with_name("templates")


def routers() -> list[APIRouter]:
    """The routes of all pages."""
    return [part.router() for part in (ui, ui_candidates, ui_graph, ui_find, ui_merges, ui_shapes)]


def colour(app: FastAPI) -> None:
    """Lets templates say `| hue` for the colour of a type."""
    app.state.site.environment.filters["hue"] = hue
