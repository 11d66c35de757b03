"""`/healthz`, `/readyz` and `/metrics`: what a supervisor, a load balancer and Prometheus ask."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from services.store.errors import StoreError
from services.web import workers
from services.web.room import Room, room


def router() -> APIRouter:
    """The three routes."""
    routes = APIRouter(tags=["health"])
    routes.add_api_route("/healthz", healthz, methods=["GET"], summary="The process answers")
    routes.add_api_route(
        "/readyz",
        readyz,
        methods=["GET"],
        summary="A provider of the chain generates and the store answers",
        responses={503: {"description": "Not ready, with the reasons"}},
    )
    exposition: dict[str, Any] = {"text/plain": {}, "application/openmetrics-text": {}}
    routes.add_api_route(
        "/metrics",
        metrics,
        methods=["GET"],
        summary="Prometheus exposition",
        response_class=PlainTextResponse,
        responses={200: {"content": exposition}},
    )
    return routes


async def healthz(request: Request) -> dict[str, str]:
    """Says that the process answers; asks nothing else."""
    return {"status": "ok", "service": room(request).service}


async def readyz(request: Request) -> JSONResponse:
    """200 when this service can serve, else 503 with a reason for each part that cannot.

    `uses` says what the store works with: which database, which index of words, and which of vectors.
    """
    here = room(request)
    llm, (uses, store) = await asyncio.gather(here.client.ready(), _store(here))
    reasons = {part: reason for part, reason in (("llm", llm), ("store", store)) if reason is not None}
    status = "not ready" if reasons else "ready"
    return JSONResponse({"status": status, "reasons": reasons, "uses": uses}, status_code=503 if reasons else 200)


async def metrics(request: Request) -> Response:
    """Every metric of the service, all its workers together."""
    here = room(request)
    text, media_type = workers.page(here.registry, here.metrics_dir, request.headers.get("Accept", ""))
    return Response(text, media_type=media_type)


async def _store(here: Room) -> tuple[dict[str, str], str | None]:
    """What the store works with, and why it does not."""
    try:
        return dict(await here.store.check()), None
    except StoreError as exc:
        return {}, str(exc)
