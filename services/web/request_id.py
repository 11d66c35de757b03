"""The request id: the caller's where it is sane, else a new one; echoed on every response. Bounds the body as well."""

from __future__ import annotations

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.logs import REQUEST_ID

HEADER = "X-Request-Id"
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def request_id(request: Request) -> str:
    """The id of `request`, as the middleware chose it."""
    return str(request.scope["state"]["request_id"])


class RequestId:
    """Outermost middleware. Plain ASGI, because the framework's convenience class breaks disconnect detection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = _choose(Headers(scope=scope).get(HEADER, ""))
        scope.setdefault("state", {})["request_id"] = chosen

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = chosen
            await send(message)

        before = REQUEST_ID.set(chosen)
        await self._app(scope, receive, send_with_id)
        REQUEST_ID.reset(before)  # not after an error: the server logs that next, in this same task


def _choose(offered: str) -> str:
    return offered if _SANE.fullmatch(offered) else uuid.uuid4().hex
