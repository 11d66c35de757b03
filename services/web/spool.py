"""A request's body put by, so that it can be looked at whole before the app reads it; a large one lies in a file."""

from __future__ import annotations

import hashlib
import re
import tempfile
from types import TracebackType

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

IN_MEMORY_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
_BOUNDARY = re.compile(r'multipart/.*;\s*boundary="?([^";]{1,70})"?', re.IGNORECASE)


class Spool:
    """Use as `with`. Filled once, read once."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    async def fill(self, receive: Receive) -> None:
        """Take in the whole body. Raises `ClientDisconnect`, and what `receive` raises for one that is too large."""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._file.write(message.get("body", b""))
            more = message.get("more_body", False)

    def fingerprint(self, scope: Scope) -> str:
        """Equal for requests that ask the same. A form's boundary, which clients draw anew, is left out."""
        kind = Headers(scope=scope).get("content-type", "")
        found = _BOUNDARY.match(kind)
        boundary = found[1].encode("latin-1") if found else b""
        seen = hashlib.sha256()
        for part in (scope["path"].encode(), scope["query_string"], b"form" if found else kind.encode("latin-1")):
            seen.update(part + b"\0")
        self._file.seek(0)
        rest = b""
        while chunk := self._file.read(CHUNK_BYTES):
            rest += chunk
            if boundary:
                rest = rest.replace(boundary, b"")
            whole = len(rest) - max(0, len(boundary) - 1)
            seen.update(rest[: max(0, whole)])
            rest = rest[max(0, whole) :]
        seen.update(rest)
        self._file.seek(0)
        return seen.hexdigest()

    def then(self, receive: Receive) -> Receive:
        """What the app receives: the body, and then whatever comes, as that the caller left."""
        is_over = False

        async def received() -> Message:
            nonlocal is_over
            if is_over:
                return await receive()
            chunk = self._file.read(CHUNK_BYTES)
            is_over = len(chunk) < CHUNK_BYTES
            return {"type": "http.request", "body": chunk, "more_body": not is_over}

        return received
