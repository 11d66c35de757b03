"""A provider without a wire, for what no engine does on cue, and a client over two or three of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.errors import DeadError, ErrorType
from services.llm.hooks import Hook
from services.llm.types import ChatRequest, Chunk, Completion, Finish
from services.settings import Limits
from tests.unit.llm.conftest import ALIAS

Script = Chunk | float | Exception
"""A frame, a pause in seconds, or what is raised."""

STOP = Chunk(finish=Finish.STOP)


class Scripted:
    """Streams `script`; `whole` makes its whole answers."""

    refuses_long_prompts = True

    def __init__(
        self, name: str, *script: Script, whole: Callable[[ChatRequest], Awaitable[Completion]] | None = None
    ) -> None:
        self.name = self.engine = name
        self.script = script
        self.whole = whole
        self.is_closed = False

    def model(self, alias: str) -> str:
        return alias

    def window(self, alias: str) -> int:
        return 8192

    def refusal(self, request: ChatRequest) -> str | None:
        return None

    def dropped(self, request: ChatRequest) -> tuple[str, ...]:
        return ()

    async def chat(self, request: ChatRequest) -> Completion:
        return await self.whole(request) if self.whole else Completion(text=self.name, finish=Finish.STOP)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        for step in self.script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step

    async def aclose(self) -> None:
        self.is_closed = True


def over(
    *providers: Scripted, hooks: Sequence[Hook] = (), last_resort: tuple[str, ...] = (), **limits: float
) -> LLMClient:
    """A client pinned to `vllm` first."""
    return assemble(
        providers,
        service="notes",
        alias=ALIAS,
        pin="vllm",
        limits=Limits(**{"first_token_s": 1.0, "stall_s": 1.0, **limits}),  # type: ignore[arg-type]
        hooks=hooks,
        last_resort=last_resort,
        probe_every_s=0.02,
    )


async def refused(_: ChatRequest) -> Completion:
    """Nobody listens there."""
    raise refusal()


def refusal() -> DeadError:
    return DeadError("refused", type=ErrorType.CONNECT)


def cut() -> DeadError:
    return DeadError("cut", provider="vllm", type=ErrorType.CUT)
