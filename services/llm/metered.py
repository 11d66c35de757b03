"""A provider outside, as the chain sees it: every token counted, a budget kept, no prompt sent for anything else.

It can chat and stream. It cannot embed and it does not count tokens: texts would leave this host for a detour.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Protocol

from services.llm.budget import Budget, Reservation
from services.llm.errors import BusyError, CallerError, ConfigError, DeadError, ErrorType, LLMError
from services.llm.link import Provider
from services.llm.mapping import prompt_bound
from services.llm.types import ChatRequest, Chunk, Completion, Finish, Usage

PROBE_SERVICE = "probe"
"""The service that a link names when it asks whether a provider generates."""

PROBE_EVERY_S = 60.0
"""Seconds between two looks at a provider outside. Links ask every second: that would keep a rented machine awake."""

SERVER_SIDE_TOKENS = 1024
"""More than a server adds to a prompt for tools and schemas (346 documented for tools)."""

NEVER_SENT = frozenset({ErrorType.CONNECT, ErrorType.TIMEOUT_CONNECT})


class Outside(Provider, Protocol):
    """What an adapter of a provider outside has besides."""

    cold_start_s: float

    async def reachable(self, alias: str) -> None: ...


class Bill:
    """What one attempt has used, as far as is known. `tokens` is what to count for it."""

    def __init__(self, bound: int, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._begun = False
        self.tokens = bound

    def told(self, usage: Usage, *, ended: bool) -> None:
        """Count as the server does. While an answer has not ended, its whole limit may still be used."""
        self._begun = True
        if usage.prompt_tokens is None:
            return
        if ended and usage.completion_tokens is not None:
            self.tokens = usage.prompt_tokens + usage.completion_tokens
        else:
            self.tokens = usage.prompt_tokens + self._max_tokens

    def failed(self, error: LLMError) -> None:
        """Nothing is counted for a prompt that was never sent, or that the server answered with an error."""
        said_no = error.status is not None or isinstance(error, (CallerError, ConfigError, BusyError))
        if not self._begun and (said_no or error.type in NEVER_SENT):
            self.tokens = 0


class Metered:
    """`provider` behind a meter. `on_spent` gets the tokens of each attempt; without `budget` there is no limit."""

    def __init__(
        self,
        provider: Outside,
        *,
        on_spent: Callable[[int], None],
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = provider.name
        self.engine = provider.engine
        self.cold_start_s = provider.cold_start_s
        self._provider = provider
        self._on_spent = on_spent
        self._budget = budget
        self._clock = clock
        self._looked_at = float("-inf")
        self._ill: LLMError | None = None

    def model(self, alias: str) -> str:
        return self._provider.model(alias)

    def window(self, alias: str) -> int:
        return self._provider.window(alias)

    def refusal(self, request: ChatRequest) -> str | None:
        """Why this request cannot be honoured there; None when it can."""
        return self._provider.refusal(request)

    def dropped(self, request: ChatRequest) -> tuple[str, ...]:
        """The parameters of the request that the provider has no word for."""
        return self._provider.dropped(request)

    @property
    def refuses_long_prompts(self) -> bool:
        return self._provider.refuses_long_prompts

    @property
    def replays(self) -> int:
        """Requests sent a second time, because a kept connection was gone."""
        return int(getattr(self._provider, "replays", 0))

    async def chat(self, request: ChatRequest) -> Completion:
        """One whole answer. Raises `LLMError`; `BudgetError` before anything is sent."""
        if request.service == PROBE_SERVICE:
            await self._look(request.alias)
            return Completion(text="", finish=Finish.STOP)
        with self._billed(request) as bill:
            completion = await self._provider.chat(request)
            bill.told(completion.usage, ended=True)
            return completion

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames. Close it to cancel. Raises `LLMError`; `BudgetError` before anything is sent."""
        with self._billed(request) as bill:
            async with contextlib.aclosing(self._provider.stream(request)) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        bill.told(chunk.usage, ended=chunk.usage.completion_tokens is not None)
                    yield chunk

    async def aclose(self) -> None:
        await self._provider.aclose()

    @contextlib.contextmanager
    def _billed(self, request: ChatRequest) -> Iterator[Bill]:
        """Reserve the most that the request can use, and settle what it did use, however it ends."""
        bill = Bill(bound(request), request.sampling.max_tokens)
        reserved = self._budget.reserve(bill.tokens) if self._budget else None
        try:
            yield bill
        except LLMError as exc:
            bill.failed(exc)
            raise
        finally:
            self._settle(bill, reserved)

    def _settle(self, bill: Bill, reserved: Reservation | None) -> None:
        if self._budget and reserved:
            self._budget.settle(reserved, bill.tokens)
        self._on_spent(bill.tokens)

    async def _look(self, alias: str) -> None:
        """Whether the provider is there, by no prompt; what was seen holds for a while. Raises `LLMError`."""
        if self._clock() - self._looked_at >= PROBE_EVERY_S:
            self._looked_at = self._clock()
            self._ill = DeadError("did not say in time that it is there", provider=self.name, type=ErrorType.CONNECT)
            try:
                await self._provider.reachable(alias)
            except LLMError as exc:
                self._ill = exc
            else:
                self._ill = None
        if self._ill is not None:
            raise self._ill


def bound(request: ChatRequest) -> int:
    """Tokens, in and out, that the request cannot exceed."""
    schema = len(repr(request.schema).encode()) if request.schema is not None else 0
    prompt = prompt_bound(request.messages, request.tools) + len(request.prefill.encode()) + schema
    return prompt + SERVER_SIDE_TOKENS + request.sampling.max_tokens
