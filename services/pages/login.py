"""Sign in with an API key, which becomes a session's cookie, and sign out."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response

from services.pages.forms import fields
from services.pages.rendering import go, page
from services.pages.site import root
from services.web.access import check_service, known_keys, named
from services.web.page_paths import LOGIN, PAGES
from services.web.problems import Problem
from services.web.room import room
from services.web.sessions import COOKIE, LASTS_S, sealed


def router() -> APIRouter:
    """The routes of signing in and out."""
    routes = APIRouter(prefix=PAGES)
    routes.add_api_route("/login", show, methods=["GET"])
    routes.add_api_route("/login", sign_in, methods=["POST"])
    routes.add_api_route("/logout", sign_out, methods=["POST"])
    return routes


async def show(request: Request, next: str = f"{PAGES}/") -> Response:
    """Where a key is typed in."""
    return page(request, "login.html", back=_back(next), refusal="")


async def sign_in(request: Request) -> Response:
    """To the page that was wanted; the same form with the reason where the key opens nothing here."""
    sent = await fields(request)
    back = _back(sent.get("next", ""))
    known = known_keys(room(request).keys)
    if known is None:
        return go(request, back)
    try:
        key = named(known, sent.get("key", "").strip())
        check_service(key, room(request).service)
    except Problem as problem:
        return page(request, "login.html", status=problem.status_code, back=back, refusal=problem.detail)
    told = go(request, back)
    told.set_cookie(
        COOKIE,
        sealed(key, now=time.time()),
        max_age=LASTS_S,
        path=f"{root(request)}{PAGES}",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return told


async def sign_out(request: Request) -> Response:
    """The cookie is gone from this browser."""
    told = go(request, LOGIN)
    told.delete_cookie(COOKIE, path=f"{root(request)}{PAGES}", httponly=True, samesite="strict")
    return told


def _back(wanted: str) -> str:
    """A page of ours, whatever the address said: nobody is sent elsewhere by a sign-in."""
    is_ours = wanted.startswith(f"{PAGES}/") and "\\" not in wanted and wanted.isprintable()
    return wanted if is_ours else f"{PAGES}/"
