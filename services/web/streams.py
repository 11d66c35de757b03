"""Work that ends when its reader leaves: server-sent events with one terminal event, and plain answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from services.llm.errors import LLMError
from services.store.errors import StoreError
from services.web.problems import Problem, of_llm, of_store, unexpected

T = TypeVar("T")
log = logging.getLogger("cutover.web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One server-sent event. `terminal` ones end the stream; each stream has exactly one."""

    name: str
    data: Any
    terminal: bool = False

    def encoded(self) -> bytes:
        """The frame. JSON has no bare line breaks, so one `data` line always holds it."""
        return f"event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()


class EventStream(Response):
    """Sends `events`, an `error` event when they fail, and closes them at once when the reader leaves."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Event, None], *, request_id: str) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._request_id = request_id

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await _while_read(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with contextlib.aclosing(_terminated(self._events, self._request_id)) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event.encoded(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def while_read(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the caller of `request` leaves. The body must have been read."""
    return await _while_read(request.receive, work)


async def _while_read(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _terminated(events: AsyncGenerator[Event, None], request_id: str) -> AsyncGenerator[Event, None]:
    """`events` up to the terminal one; a failure before it becomes an `error` event."""
    async with contextlib.aclosing(events):
        try:
            async for event in events:
                yield event
                if event.terminal:
                    return
            raise RuntimeError("the stream ended without a terminal event")
        except LLMError as exc:
            problem = of_llm(exc)
        except StoreError as exc:
            problem = of_store(exc)
        except Problem as exc:
            problem = exc
        except Exception:  # the process edge: after a 200 only this event can tell the reader
            log.exception("stream_failed request_id=%s", request_id)
            problem = unexpected()
    yield Event(name="error", data=problem.document(request_id), terminal=True)
