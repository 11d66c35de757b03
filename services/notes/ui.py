"""Notes' pages: what they are called, and their routes."""

from __future__ import annotations

from fastapi import APIRouter

from services.notes import ui_ask, ui_folder, ui_jobs, ui_list, ui_made, ui_note, ui_save, ui_tags
from services.pages.site import Tab

TABS = (
    Tab(title="Notes", path="", holds="notes"),
    Tab(title="Ask", path="ask"),
    Tab(title="Tags", path="tags"),
    Tab(title="Import and export", path="folder"),
    Tab(title="Jobs", path="jobs"),
)


def routers() -> tuple[APIRouter, ...]:
    """The routes of all pages. `ui_save` comes first: `/ui/notes/new` is no note's id."""
    rooms = (ui_save, ui_list, ui_note, ui_made, ui_tags, ui_ask, ui_folder, ui_jobs)
    return tuple(part.router() for part in rooms)
