"""The page of all tags: on how many notes each is, and several made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Request, Response

from services.notes.api import UseCases
from services.notes.schemas_tags import MergeTags
from services.notes.service import Notes
from services.notes.store import UnknownTags
from services.notes.ui_forms import checked
from services.pages.rendering import page
from services.web.page_paths import PAGES


def router() -> APIRouter:
    """The routes of tags."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/tags", show, methods=["GET"])
    routes.add_api_route("/tags", merge, methods=["POST"])
    return routes


async def show(request: Request, notes: UseCases) -> Response:
    """Every tag, the most used first."""
    return await _page(request, notes)


async def merge(request: Request, notes: UseCases) -> Response:
    """The ticked tags become one; the page again says how many notes have it now, or what is wrong."""
    async with request.form(max_files=0, max_fields=200) as form:
        ticked = [str(name) for name in form.getlist("tags")]
        into = str(form.get("into", ""))
    body, problems = checked(MergeTags, {"tags": ticked, "into": into})
    if body is None:
        return await _page(request, notes, ticked=ticked, into=into, problems=problems)
    try:
        count = await notes.notebook.merge(body.tags, body.into)
    except UnknownTags as exc:
        problems = [f"no note has the tag {exc} any more"]
        return await _page(request, notes, ticked=ticked, into=into, problems=problems)
    on = "1 note has" if count == 1 else f"{count} notes have"
    return await _page(request, notes, said=f"{', '.join(body.tags)} became {body.into}; {on} it now")


async def _page(
    request: Request,
    notes: Notes,
    *,
    ticked: Sequence[str] = (),
    into: str = "",
    problems: Sequence[str] = (),
    said: str = "",
) -> Response:
    values: Mapping[str, object] = {"ticked": ticked, "into": into, "problems": problems, "said": said}
    tags = await notes.notebook.tags()
    return page(request, "note_tags.html", status=422 if problems else 200, tags=tags, **values)
