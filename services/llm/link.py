"""One provider of a chain with its guards: breaker, limit, and the memory of when it last generated."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol

from services.llm.breaker import Breaker, State
from services.llm.errors import BusyError, DeadError, ErrorType, LLMError
from services.llm.limits import Limit
from services.llm.types import ChatRequest, Chunk, Completion, Message, Role, Sampling

PROBE_EVERY_S = 1.0
PROBE_LIMIT_S = 15.0
READY_FOR_S = 15.0
"""How long a provider that has generated counts as able to, in seconds."""
AT_WORK_FOR_S = 120.0
"""The same while it works on attempts: a probe behind them would tell of their number, not of its health."""


class Provider(Protocol):
    """What the client needs of an adapter. `engine` is `vllm` or `ollama`; windows in tokens."""

    name: str
    engine: str

    def model(self, alias: str) -> str: ...
    def window(self, alias: str) -> int: ...
    @property
    def refuses_long_prompts(self) -> bool: ...
    async def chat(self, request: ChatRequest) -> Completion: ...
    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]: ...
    async def aclose(self) -> None: ...


class Link:
    """The client's view of one provider. While its breaker is open, one task asks it for a token each second."""

    def __init__(
        self,
        provider: Provider,
        *,
        alias: str,
        max_in_flight: int,
        max_queued: int,
        on_state: Callable[[str, State], None] = lambda _provider, _state: None,
        probe_every_s: float = PROBE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.limit = Limit(provider=provider.name, max_in_flight=max_in_flight, max_queued=max_queued)
        self.breaker = Breaker(on_change=self._changed)
        self.generated_at = float("-inf")
        self._alias = alias
        self._on_state = on_state
        self._probe_every_s = probe_every_s
        self._clock = clock
        self._probing: asyncio.Task[None] | None = None
        self._probe_lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return self.provider.name

    def answered(self) -> None:
        """It generated."""
        self.generated_at = self._clock()
        self.breaker.answered()

    def has_generated_lately(self) -> bool:
        """Whether no probe is needed: it answered just now, or works on attempts and answered not long ago."""
        age_s = self._clock() - self.generated_at
        return age_s < (AT_WORK_FOR_S if self.limit.in_flight else READY_FOR_S)

    async def probe(self) -> str | None:
        """Ask for one token; None when it came, else why not. One probe at a time."""
        async with self._probe_lock:
            try:
                async with asyncio.timeout(PROBE_LIMIT_S):
                    await self.provider.chat(_one_token(self._alias))
            except BusyError:
                return None  # full of work is alive
            except TimeoutError:
                if self.limit.in_flight:
                    return f"{self.name}: no token within {PROBE_LIMIT_S:g} s, behind {self.limit.in_flight} attempts"
                return self._ill(DeadError("no token", provider=self.name, type=ErrorType.TIMEOUT_FIRST_TOKEN))
            except DeadError as exc:
                return self._ill(exc)
            except LLMError as exc:
                self.breaker.last_error = str(exc)
                return str(exc)
        self.answered()
        return None

    def status(self) -> Mapping[str, Any]:
        """For people: breaker, in flight, queued, last error."""
        return {
            "breaker": str(self.breaker.state),
            "in_flight": self.limit.in_flight,
            "queued": self.limit.queued,
            "last_error": self.breaker.last_error,
        }

    async def aclose(self) -> None:
        if self._probing:
            self._probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._probing
        await self.provider.aclose()

    def _ill(self, error: DeadError) -> str:
        self.breaker.failed(error)
        return str(error)

    def _changed(self, state: State) -> None:
        self._on_state(self.name, state)
        if state is State.OPEN and (self._probing is None or self._probing.done()):
            self._probing = asyncio.get_running_loop().create_task(self._until_it_generates())

    async def _until_it_generates(self) -> None:
        while self.breaker.is_open:
            await asyncio.sleep(self._probe_every_s)
            await self.probe()


def _one_token(alias: str) -> ChatRequest:
    return ChatRequest(
        service="probe",
        alias=alias,
        messages=(Message(role=Role.SYSTEM, content="Answer."), Message(role=Role.USER, content="Hi")),
        sampling=Sampling(max_tokens=1),
        deadline_s=PROBE_LIMIT_S,
    )
