"""Bounds the request body, counted as it comes in, so that nobody fills the memory by lying about its length."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.problems import Problem, told_by
from services.web.route_path import route_path

MAX_BODY_BYTES = 1024 * 1024


class BodyLimit:
    """Middleware that answers 413 for a body above `max_bytes`, or above what `larger` has for the request's path."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._larger.get(route_path(scope), self._max_bytes)
        if self._announced(scope) > most:
            await told_by(scope, self._too_large(most))(scope, receive, send)
            return
        await self._app(scope, self._counting(receive, most), send)

    def _counting(self, receive: Receive, most: int) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise self._too_large(most)
            return message

        return counted

    def _too_large(self, most: int) -> Problem:
        return Problem(413, "body-too-large", f"the body is larger than {most} bytes")

    def _announced(self, scope: Scope) -> int:
        length = Headers(scope=scope).get("content-length", "0")
        return int(length) if length.isascii() and length.isdigit() else 0
