"""/api/admin: what an operator may ask a service about its providers. Off without a token, behind it otherwise."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from services.web.auth import holds_token
from services.web.problems import Problem
from services.web.room import room


def router() -> APIRouter:
    """The admin routes of one service."""
    routes = APIRouter(prefix="/api/admin", tags=["admin"], dependencies=[Depends(only_operators)])
    routes.add_api_route("/status", status, methods=["GET"], summary="Pin, stage, share and every provider's health")
    return routes


def only_operators(request: Request) -> None:
    """404 where no token is configured, as if the routes were not there; 401 without the right one."""
    token = room(request).admin_token
    if token is None:
        raise Problem(404, "not-found", "no such path")
    if not holds_token(request, token):
        headers = {"WWW-Authenticate": "Bearer"}
        raise Problem(
            401,
            "token-refused",
            "needs `Authorization: Bearer` or `X-Admin-Token` with the ADMIN_TOKEN",
            headers=headers,
        )


async def status(request: Request) -> dict[str, Any]:
    """The client's own account of where this service stands, and whether requests are recorded."""
    here = room(request)
    return {"service": here.service, "recording": here.recorder.status(), **here.client.status()}
