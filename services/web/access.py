"""Who may ask: the API key of each /v1 request, the workspace that it opens, and how fast its holder may ask."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.key_file import KeyFile
from services.web.keys import Key, KeysError, holder
from services.web.limits import Buckets, Taken
from services.web.problems import Problem
from services.web.route_path import route_path

REALM = {"WWW-Authenticate": 'Bearer realm="cutover"'}
MOST_KEY_CHARS = 512


class Access:
    """Middleware. `keys` says who may ask; where none are set up everybody may, and works in the same workspace.

    What a supervisor and a load balancer ask, and the documentation, are outside of /v1 and open.
    """

    def __init__(
        self, app: ASGIApp, *, service: str, keys: KeyFile, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._service = service
        self._keys = keys
        self._buckets = Buckets(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_guarded(route_path(scope)):
            await self._app(scope, receive, send)
            return
        try:
            taken = self._admitted(scope)
        except Problem as problem:
            await problem.response(scope["state"]["request_id"])(scope, receive, send)
            return
        await self._app(scope, receive, send if taken is None else _telling(send, taken))

    def _admitted(self, scope: Scope) -> Taken | None:
        """The state of the request's limit; its workspace is in the scope then. Raises `Problem`."""
        key = self._key(Headers(scope=scope).get("authorization", ""))
        if key is None:
            return None
        scope["state"]["workspace"] = key.workspace
        taken = self._buckets.take(key)
        if taken is not None and not taken.may_go_on:
            detail = f"the key {key.name!r} may ask {key.requests_per_s:g} times a second; wait and ask again"
            raise Problem(429, "too-many-requests", detail, headers=taken.headers())
        return taken

    def _key(self, authorization: str) -> Key | None:
        """The key of a request; None where no keys are set up. Raises `Problem`."""
        try:
            known = self._keys.keys()
        except KeysError as exc:
            detail = "this service cannot tell who may ask; its log says why"
            raise Problem(503, "keys-unusable", detail, headers={"Retry-After": "5"}) from exc
        if known is None:
            return None
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Problem(401, "key-missing", "needs `Authorization: Bearer` with an API key", headers=REALM)
        key = holder(known, given.strip()) if len(given) <= MOST_KEY_CHARS else None
        if key is None:
            headers = {"WWW-Authenticate": f'{REALM["WWW-Authenticate"]}, error="invalid_token"'}
            raise Problem(401, "key-refused", "this API key is not known, or not any more", headers=headers)
        if not key.opens(self._service):
            theirs = ", ".join(key.services)
            raise Problem(403, "key-of-another-service", f"this API key is for {theirs}, not for {self._service}")
        return key


def is_guarded(path: str) -> bool:
    """Whether `path` needs a key once there are any."""
    return path == "/v1" or path.startswith("/v1/")


def _telling(send: Send, taken: Taken) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(taken.headers())
        await send(message)

    return told
