"""Hands the bodies of one endpoint's requests to the recorder, while somebody asked for that, and only then."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.recording.recorder import Recorder
from services.recording.session import Taken
from services.settings import Settings
from services.web.route_path import route_path

MEASURED = "X-LLM-First"
"""A request with this header was sent by the gate or the doctor. It is no request of a user."""


def recorder_for(settings: Settings, service: str, path: str, registry: CollectorRegistry) -> Recorder:
    """The recorder of a service, whose requests to `path` a recipe replays."""
    return Recorder(
        service=service,
        path=path,
        state_dir=settings.state_dir,
        may_record=settings.may_record[service],
        registry=registry,
    )


class Recording:
    """Innermost middleware. Looks at bodies only: never at headers but the measuring one, never at answers."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        traffic = self._recorder.traffic()
        if traffic is None or not self._is_asked(scope):
            await self._app(scope, receive, send)
            return
        kept = _Kept(self._recorder.body_bytes())

        async def heard() -> Message:
            message = await receive()
            kept.add(message.get("body", b""))
            return message

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start" and not 400 <= message["status"] < 500:
                self._offer(kept)
            await send(message)

        traffic.came(time.monotonic())
        try:
            await self._app(scope, heard, answered)
        finally:
            traffic.went(time.monotonic())

    def _is_asked(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "POST" or route_path(scope) != self._recorder.path:
            return False
        return MEASURED not in Headers(scope=scope)

    def _offer(self, kept: _Kept) -> None:
        if kept.most == 0:
            return
        if kept.is_too_large:
            self._recorder.leave_out(Taken.TOO_LARGE)
        else:
            self._recorder.offer(bytes(kept.body))


class _Kept:
    """A body as far as it may be recorded; `most` bytes, none of it beyond."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.body = bytearray()
        self.is_too_large = False

    def add(self, part: bytes) -> None:
        if len(self.body) + len(part) <= self.most and not self.is_too_large:
            self.body += part
        elif part:
            self.is_too_large = True
            self.body.clear()
