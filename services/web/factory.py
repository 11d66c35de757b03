"""Puts one service's FastAPI app together: lifespan, middleware, problems, health. No I/O before the lifespan."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from services.web import health, problems
from services.web.access import Access
from services.web.body_limit import BodyLimit
from services.web.idempotency import Idempotency, purged
from services.web.recording import Recording
from services.web.request_id import RequestId
from services.web.room import Room
from services.web.workers import counted_in

VERSION = "0.1.0"


def application(
    room: Room, *, title: str, routers: tuple[APIRouter, ...], larger_bodies: Mapping[str, int] | None = None
) -> FastAPI:
    """The app of `room`. The store opens before the client and closes after it, when no request is left."""
    app = FastAPI(title=title, version=VERSION, lifespan=_lifespan, responses=problems.RESPONSES)
    app.state.room = room
    app.add_middleware(Recording, recorder=room.recorder)
    if room.memory:
        app.add_middleware(Idempotency, memory=room.memory, creating=_creating(routers))
    app.add_middleware(BodyLimit, larger=larger_bodies)
    app.add_middleware(Access, service=room.service, keys=room.keys)
    app.add_middleware(RequestId)  # added last, so outermost: the 413 of the others has its id
    problems.install(app)
    app.include_router(health.router())
    for router in routers:
        app.include_router(router, dependencies=[Depends(HTTPBearer(auto_error=False))])  # says so in the documentation
    return app


def _creating(routers: tuple[APIRouter, ...]) -> list[re.Pattern[str]]:
    """The paths whose POST says by its status that it creates something."""
    routes = (route for router in routers for route in router.routes if isinstance(route, APIRoute))
    return [r.path_regex for r in routes if "POST" in (r.methods or ()) and r.status_code in (201, 202)]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    room: Room = app.state.room
    room.keys.look()
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(counted_in(room.registry, room.metrics_dir))
        await opened.enter_async_context(room.store)
        await opened.enter_async_context(purged(room.memory))
        await opened.enter_async_context(room.client)
        await opened.enter_async_context(room.recorder)
        for work in room.beside:
            await opened.enter_async_context(work)
        yield
