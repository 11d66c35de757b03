"""The page of folders: a ZIP of Markdown in, with a word on each file, and all notes out as one."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from services.notes.api import UseCases
from services.notes.api_folder import export_folder
from services.notes.folder import NotAFolder
from services.notes.store import Imported, Outcome
from services.notes.transfer import bring_in
from services.pages.rendering import page
from services.web.page_paths import PAGES

FOLDER_PATH = f"{PAGES}/folder"
FORM_BYTES = 64 * 1024
"""What the form has beside its file."""


def router() -> APIRouter:
    """The routes of folders."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/folder", show, methods=["GET"])
    routes.add_api_route("/folder", bring, methods=["POST"])
    routes.add_api_route("/export", export_folder, methods=["GET"])
    return routes


async def show(request: Request) -> Response:
    """A field for the ZIP, and the link to all notes as one."""
    return page(request, "note_folder.html", files=None, counts={}, problem="")


async def bring(request: Request, notes: UseCases) -> Response:
    """What became of each file. What is no ZIP is told on the same page; sending the same one again changes nothing."""
    async with request.form(max_files=1, max_fields=4) as form:
        sent = form.get("folder")
        if not isinstance(sent, UploadFile) or not sent.filename:
            return _refused(request, "choose a ZIP file first")
        try:
            files = await bring_in(notes.notebook, sent.file)
        except NotAFolder as exc:
            return _refused(request, str(exc))
    counts = {str(outcome): sum(f.outcome is outcome for f in files) for outcome in Outcome}
    return page(request, "note_folder.html", files=sorted(files, key=_first), counts=counts, problem="")


def _refused(request: Request, problem: str) -> Response:
    return page(request, "note_folder.html", status=422, files=None, counts={}, problem=problem)


def _first(file: Imported) -> tuple[bool, str]:
    """Refused files before the others: they are what a person has to look at."""
    return file.outcome is not Outcome.REFUSED, file.path
