"""What protects pages in a browser: headers on everything under /ui, and forms from this very origin only."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.page_paths import STATIC, is_page
from services.web.problems import Problem
from services.web.route_path import route_path

POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SAFE = ("GET", "HEAD", "OPTIONS")


class PageHeaders:
    """Outermost middleware. Pages are stored nowhere; what they are made with is asked for again each time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_page(route_path(scope)):
            await self._app(scope, receive, send)
            return
        kept = "no-cache" if route_path(scope).startswith(f"{STATIC}/") else "no-store"

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["Cache-Control"] = kept
            await send(message)

        await self._app(scope, receive, guarded)


def same_origin(request: Request) -> None:
    """Dependency of every page: what changes something must come from a page of this origin. Raises `Problem` 403.

    Another port of this host is the same site, so neither the cookie's SameSite nor `same-site` is enough.
    """
    if request.method in SAFE:
        return
    said = request.headers.get("Sec-Fetch-Site")
    origin = urlsplit(request.headers.get("Origin", ""))
    is_ours = said == "same-origin" if said else bool(origin.netloc) and origin.netloc == request.headers.get("Host")
    if not is_ours:
        raise Problem(403, "other-origin", "this form did not come from a page of this service; open the page again")
