"""`Idempotency-Key`: a POST that creates, sent again with its key, gets its first answer and creates nothing more.

Answers are kept in the service's own database, in the workspace of the caller, and go with what they are about when it
is deleted. Only successes that did something are kept: after a refusal or a failure the same key may be tried again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, MutableSequence, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import Request, Response
from sqlalchemy import Connection
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.store.clock import Clock, utc_now
from services.store.database import Database
from services.store.errors import StoreError
from services.store.replies import IN_FLIGHT_S, Replies, Reply, Standing
from services.web.problems import Problem, of_http, of_store
from services.web.request_id import HEADER as REQUEST_ID
from services.web.route_path import route_path
from services.web.spool import Spool
from services.web.workspace import workspace

log = logging.getLogger("cutover.web")

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

PURGE_EVERY_S = 3600.0
"""How long an answer may outstay its day, in seconds."""

_NOTHING_DONE = "nothing_done"
_NOT_KEPT = {REQUEST_ID.lower(), "content-length", "date", "server", "ratelimit", "ratelimit-policy"}
"""Headers of one exchange, which the next one has of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where a service keeps its replies."""

    database: Database
    replies: Replies
    now: Clock = utc_now


class Idempotency:
    """Middleware. `creating` are the paths whose POST creates something, each a whole one as the router matches it.

    Elsewhere the header means nothing.
    """

    def __init__(self, app: ASGIApp, *, memory: Memory, creating: Sequence[re.Pattern[str]]) -> None:
        self._app = app
        self._memory = memory
        self._creating = tuple(creating)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        if is_http and scope["method"] == "DELETE":
            await self._deleting(scope, receive, send)
        elif is_http and scope["method"] == "POST" and HEADER in Headers(scope=scope) and self._creates(scope):
            await self._creating_once(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _creates(self, scope: Scope) -> bool:
        path = route_path(scope)
        return any(pattern.match(path) for pattern in self._creating)

    async def _creating_once(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        key, own = request.headers[HEADER], workspace(request)
        with Spool() as body:
            try:
                if not _KEY.fullmatch(key):
                    raise Problem(400, "idempotency-key-invalid", f"{HEADER} is 1 to 255 printable ASCII characters")
                await body.fill(receive)
                kept = await self._claimed(own, key, body.fingerprint(scope))
            except ClientDisconnect:
                return  # nobody is left to answer, and nothing was claimed
            except HTTPException as problem:
                await of_http(problem).response(scope["state"]["request_id"])(scope, receive, send)
                return
            except StoreError as error:
                await of_store(error).response(scope["state"]["request_id"])(scope, receive, send)
                return
            if kept is not None:
                await _again(kept)(scope, receive, send)
                return
            await self._answer(own, key, scope, body.then(receive), send)

    async def _claimed(self, own: str, key: str, fingerprint: str) -> Reply | None:
        """The answer of before; None where the request may go on. Raises `Problem`."""
        memory = self._memory
        standing, reply = await memory.database.write(
            lambda c: memory.replies.claim(c, own, key, fingerprint, at=memory.now())
        )
        match standing:
            case Standing.OTHER:
                raise Problem(
                    422, "idempotency-key-reused", f"this {HEADER} was used for another request; make a new one"
                )
            case Standing.IN_FLIGHT:
                detail = f"the first request with this {HEADER} is still at work; ask again"
                raise Problem(409, "idempotency-in-flight", detail, headers={"Retry-After": "1"})
            case Standing.UNKNOWN:
                detail = (
                    f"the service ended while it worked on this {HEADER}, over {IN_FLIGHT_S / 60:g} minutes ago; look "
                    "whether the thing is there, and use a new key where it is not"
                )
                raise Problem(409, "idempotency-outcome-unknown", detail)
            case Standing.NEW | Standing.ANSWERED:
                return reply

    async def _answer(self, own: str, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the app answer, and keep that before the caller sees it. An app that raises leaves the claim open.

        So does a store that fails now: the thing is made and the caller is told, and a retry is not worked on again.
        """
        memory, answer = self._memory, _Answer()
        await self._app(scope, receive, answer.take)
        is_kept = 200 <= answer.status < 300 and not scope["state"].get(_NOTHING_DONE, False)
        try:
            await memory.database.write(lambda c: answer.settle(c, memory.replies, own, key, is_kept=is_kept))
        except StoreError as error:
            log.error("idempotency.not_kept status=%d reason=%s", answer.status, error)
        for message in answer.held:
            await send(message)

    async def _deleting(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What was deleted must not live on in an answer about it.

        Where the store fails now, the thing is gone and the caller is told so: the answer lives on for its day.
        """
        memory, own = self._memory, workspace(Request(scope))

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
                path = route_path(scope)
                try:
                    if await memory.database.write(lambda c: memory.replies.forget(c, own, path)):
                        await memory.database.forget()
                except StoreError as error:
                    log.error("idempotency.not_forgotten reason=%s", error)
            await send(message)

        await self._app(scope, receive, told)


@dataclass(slots=True)
class _Answer:
    """An answer that is held back, whole, until it is kept. What creates answers with one thing, not with a stream."""

    held: MutableSequence[Message] = field(default_factory=list)
    status: int = 0

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.held.append(message)

    def settle(self, c: Connection, replies: Replies, own: str, key: str, *, is_kept: bool) -> None:
        """Keep the answer, or let its key be tried again."""
        if not is_kept:
            replies.release(c, own, key)
            return
        headers = Headers(raw=self.held[0]["headers"])
        kept = {k: v for k, v in headers.items() if k not in _NOT_KEPT}
        body = b"".join(message.get("body", b"") for message in self.held)
        reply = Reply(status=self.status, headers=kept, body=body)
        replies.keep(c, own, key, reply, location=headers.get("location"))


@asynccontextmanager
async def purged(memory: Memory | None, every_s: float = PURGE_EVERY_S) -> AsyncIterator[None]:
    """While the service runs answers go when their day is over, whether anybody sends another key or not."""
    if memory is None:
        yield
        return
    task = asyncio.create_task(_keep_purging(memory, every_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_purging(memory: Memory, every_s: float) -> None:
    while True:
        try:
            if await memory.database.write(lambda c: memory.replies.purge(c, at=memory.now())):
                await memory.database.forget()
        except StoreError as error:
            log.error("idempotency.not_purged reason=%s", error)
        await asyncio.sleep(every_s)


def nothing_done(request: Request) -> None:
    """This request does nothing, though its path creates things: its answer is not kept, and its key stays free."""
    request.scope["state"][_NOTHING_DONE] = True


def _again(reply: Reply) -> Response:
    return Response(reply.body, reply.status, {**reply.headers, REPLAYED: "true"})
