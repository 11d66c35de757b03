"""Who may ask: the API key of each /v1 request, the workspace that it opens, and how fast its holder may ask.

Pages, under /ui, are opened by the cookie of a browser that signed in with a key, and by nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web.key_file import KeyFile
from services.web.keys import Key, KeysError, holder
from services.web.limits import Buckets, Taken
from services.web.page_paths import is_open_page, is_page
from services.web.problems import Problem, told_by
from services.web.route_path import route_path
from services.web.sessions import COOKIE, opened

REALM = {"WWW-Authenticate": 'Bearer realm="cutover"'}
MOST_KEY_CHARS = 512


class Access:
    """Middleware. `keys` says who may ask; where none are set up everybody may, and works in the same workspace.

    What a supervisor and a load balancer ask, and the documentation, are outside of /v1 and open.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        keys: KeyFile,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._service = service
        self._keys = keys
        self._buckets = Buckets(clock)
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_guarded(route_path(scope)):
            await self._app(scope, receive, send)
            return
        try:
            taken = self._admitted(scope)
        except Problem as problem:
            await told_by(scope, problem)(scope, receive, send)
            return
        await self._app(scope, receive, send if taken is None else _telling(send, taken))

    def _admitted(self, scope: Scope) -> Taken | None:
        """The state of the request's limit; its key and workspace are in the scope then. Raises `Problem`."""
        known = known_keys(self._keys)
        if known is None:
            return None
        headers = Headers(scope=scope)
        if is_page(route_path(scope)):
            key = self._signed_in(known, headers.get("cookie", ""))
        else:
            key = bearer(known, headers.get("authorization", ""))
        check_service(key, self._service)
        scope["state"].update(key=key.name, workspace=key.workspace)
        taken = self._buckets.take(key)
        if taken is not None and not taken.may_go_on:
            detail = f"the key {key.name!r} may ask {key.requests_per_s:g} times a second; wait and ask again"
            raise Problem(429, "too-many-requests", detail, headers=taken.headers())
        return taken

    def _signed_in(self, known: Sequence[Key], cookies: str) -> Key:
        """The key of a browser that signed in. Raises `Problem`."""
        key = opened(known, cookie_parser(cookies).get(COOKIE, ""), now=self._now())
        if key is None:
            raise Problem(401, "not-signed-in", "this page needs an API key; sign in with one", headers=REALM)
        return key


def known_keys(file: KeyFile) -> Sequence[Key] | None:
    """The keys that a service takes; None where none are set up. Raises `Problem` where nobody can say."""
    try:
        return file.keys()
    except KeysError as exc:
        detail = "this service cannot tell who may ask; its log says why"
        raise Problem(503, "keys-unusable", detail, headers={"Retry-After": "5"}) from exc


def bearer(known: Sequence[Key], authorization: str) -> Key:
    """The key of an `Authorization` header. Raises `Problem`."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise Problem(401, "key-missing", "needs `Authorization: Bearer` with an API key", headers=REALM)
    return named(known, given.strip())


def named(known: Sequence[Key], given: str) -> Key:
    """The key that `given` is. Raises `Problem`."""
    key = holder(known, given) if len(given) <= MOST_KEY_CHARS else None
    if key is None:
        headers = {"WWW-Authenticate": f'{REALM["WWW-Authenticate"]}, error="invalid_token"'}
        raise Problem(401, "key-refused", "this API key is not known, or not any more", headers=headers)
    return key


def check_service(key: Key, service: str) -> None:
    """Raises `Problem` for a key of other services."""
    if not key.opens(service):
        theirs = ", ".join(key.services)
        raise Problem(403, "key-of-another-service", f"this API key is for {theirs}, not for {service}")


def is_guarded(path: str) -> bool:
    """Whether `path` needs a key once there are any."""
    return path == "/v1" or path.startswith("/v1/") or (is_page(path) and not is_open_page(path))


def _telling(send: Send, taken: Taken) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(taken.headers())
        await send(message)

    return told
