"""One immediate replay of a request that met a kept connection just as its server closed it.

HTTP/1.1 allows it (RFC 9112, section 9.3.1) only because not one byte of an answer had come. A new connection that
breaks is never replayed: then the server has died, and that is for the chain to handle.
"""

from __future__ import annotations

from typing import Any

import httpx2

NEW_CONNECTION = "connection.connect_tcp.started"
"""httpcore's trace event that only a request on a new connection sees."""

HEADERS_BEGIN = "receive_response_headers.complete"


class Trace:
    """Whether the request went out on a kept connection, and whether an answer had begun."""

    def __init__(self) -> None:
        self.is_new = False
        self.answered = False

    async def __call__(self, name: str, _info: dict[str, Any]) -> None:
        self.is_new = self.is_new or name == NEW_CONNECTION
        self.answered = self.answered or name.endswith(HEADERS_BEGIN)

    @property
    def was_stale(self) -> bool:
        return not self.is_new and not self.answered


class Replaying(httpx2.AsyncBaseTransport):
    """A transport of the openai and anthropic SDKs' HTTP library."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.replays = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """As the transport inside; tried once more where a kept connection was gone."""
        trace = request.extensions["trace"] = Trace()
        try:
            return await self._inner.handle_async_request(request)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            if not trace.was_stale:
                raise
            self.replays += 1
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
