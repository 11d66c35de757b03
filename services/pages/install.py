"""Puts pages beside a service's API, on the same app and the same use cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from services.llm.rollout import FILE_NAME, RolloutWatch
from services.pages import engines, login
from services.pages.errors import problem_page
from services.pages.guard import PageHeaders, same_origin
from services.pages.rendering import environment
from services.pages.site import STATIC, Site, Tab, root
from services.settings import Settings
from services.web import page_paths
from services.web.room import Room


def install(
    app: FastAPI, settings: Settings, *, tabs: Sequence[Tab], routers: Sequence[APIRouter], templates: Path
) -> None:
    """Serve `routers`, whose paths begin with /ui, with the templates of the folder `templates`.

    A folder `static` beside it is served at /ui/static/own. No page is in the OpenAPI document.
    """
    here: Room = app.state.room
    app.state.site = Site(
        service=here.service,
        tabs=(*tabs, Tab(title="Engines", path="engines")),
        environment=environment(templates),
        ports=settings.ports,
        model=settings.aliases[here.service],
        rollout=RolloutWatch(settings.state_dir / FILE_NAME),
    )
    app.state.problem_page = problem_page
    app.add_middleware(PageHeaders)
    own = templates.with_name("static")
    if own.is_dir():
        app.mount(f"{page_paths.STATIC}/own", StaticFiles(directory=own))
    app.mount(page_paths.STATIC, StaticFiles(directory=STATIC))
    app.add_api_route("/", _front, methods=["GET"], include_in_schema=False)
    app.add_api_route(page_paths.PAGES, _front, methods=["GET"], include_in_schema=False)
    for router in (login.router(), engines.router(), *routers):
        app.include_router(router, dependencies=[Depends(same_origin)], include_in_schema=False)


async def _front(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{root(request)}{page_paths.PAGES}/", 307)
