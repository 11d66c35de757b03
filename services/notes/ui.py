"""Notes' pages: what they are called, where their routes are, and what every one of them needs."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, FastAPI

from services.notes import ui_ask, ui_folder, ui_jobs, ui_list, ui_made, ui_note, ui_save, ui_tags
from services.pages.install import install
from services.pages.site import Tab
from services.settings import Settings

TEMPLATES = Path(__file__).with_name("templates")
TABS = (
    Tab(title="Notes", path=""),
    Tab(title="Ask", path="ask"),
    Tab(title="Tags", path="tags"),
    Tab(title="Import and export", path="folder"),
    Tab(title="Jobs", path="jobs"),
)


def add_pages(app: FastAPI, settings: Settings) -> None:
    """Serve the pages beside the API of `app`, by the same use cases."""
    install(app, settings, tabs=TABS, routers=routers(), templates=TEMPLATES)


def routers() -> tuple[APIRouter, ...]:
    """The routes of all pages. `ui_save` comes first: `/ui/notes/new` is no note's id."""
    rooms = (ui_save, ui_list, ui_note, ui_made, ui_tags, ui_ask, ui_folder, ui_jobs)
    return tuple(part.router() for part in rooms)
