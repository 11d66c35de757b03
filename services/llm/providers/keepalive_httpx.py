"""The replay of `keepalive` for the ollama SDK's HTTP library, apart from it because that library is slow to import."""

from __future__ import annotations

import httpx

from services.llm.providers.keepalive import Trace


class Replaying(httpx.AsyncBaseTransport):
    """A transport of the ollama SDK's HTTP library."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.replays = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As the transport inside; tried once more where a kept connection was gone."""
        trace = request.extensions["trace"] = Trace()
        try:
            return await self._inner.handle_async_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not trace.was_stale:
                raise
            self.replays += 1
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
