"""The adapter to Anthropic's Messages API over a real connection to a fake of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from services.llm.providers.anthropic import Anthropic
from services.llm.types import (
    ChatRequest,
    Chunk,
    Tool,
    ToolCall,
)
from tests.fakes.engine import serving
from tests.fakes.messages import ALIAS, ENTRY, FakeMessages
from tests.unit.llm.conftest import ask

WEATHER = Tool(name="weather", description="of a town", parameters={"type": "object", "properties": {}})
CALL = ToolCall(id="toolu_1", name="weather", arguments={"town": "Reims"})


class Desk:
    """The adapter and the fake behind it."""

    def __init__(self, provider: Anthropic, fake: FakeMessages) -> None:
        self.provider = provider
        self.fake = fake

    async def sent(self, request: ChatRequest) -> dict[str, Any]:
        """The body that the request becomes."""
        assert self.provider.refusal(request) is None
        await self.provider.chat(request)
        return self.fake.bodies[-1]

    async def chunks(self, request: ChatRequest) -> list[Chunk]:
        async with asyncio.timeout(30), contextlib.aclosing(self.provider.stream(request)) as chunks:
            return [chunk async for chunk in chunks]


def at(url: str, **changes: Any) -> Anthropic:
    known = {ALIAS: replace(ENTRY, **changes)}
    return Anthropic(name="anthropic", url=url, models=known, connect_s=1.0, api_key="hunter2")


@contextlib.asynccontextmanager
async def desk_of_a_fake() -> AsyncIterator[Desk]:
    fake = FakeMessages()
    async with serving(fake.app()) as url:
        provider = at(url)
        yield Desk(provider, fake)
        await provider.aclose()


def asked(**changes: Any) -> ChatRequest:
    return ask(alias=ALIAS, **changes)
