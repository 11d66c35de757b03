"""One provider of a chain with its guards: breaker, limit, and the memory of when it last generated."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from services.llm.breaker import Breaker, State
from services.llm.errors import BusyError, DeadError, ErrorType, LLMError
from services.llm.identity import identity_of
from services.llm.limits import AimdLimit
from services.llm.patience import Patience, Size
from services.llm.spaces import EmbedRequest, Vectors
from services.llm.types import ChatRequest, Chunk, Completion, Message, Role, Sampling

LOG = logging.getLogger("cutover.llm.link")
PROBE_EVERY_S = 1.0
PROBE_LIMITS_S = (2.0, 4.0, 8.0, 15.0)
LOADED_LIMIT_S = 0.5
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
    def refusal(self, request: ChatRequest) -> str | None: ...
    def dropped(self, request: ChatRequest) -> tuple[str, ...]: ...
    @property
    def refuses_long_prompts(self) -> bool: ...
    async def chat(self, request: ChatRequest) -> Completion: ...
    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]: ...
    async def aclose(self) -> None: ...


@runtime_checkable
class Embedder(Protocol):
    """A provider that can embed."""

    name: str

    def embeds(self, alias: str) -> bool: ...
    async def embed(self, request: EmbedRequest) -> Vectors: ...


@runtime_checkable
class Loader(Protocol):
    """A provider that takes a model into memory when first asked, and can say whether it has."""

    async def is_loaded(self, alias: str) -> bool: ...


class Link:
    """The client's view of one provider and model. While its breaker is open, one task asks for a token each second.

    `limit` may be shared with other models of the provider. `first_token_s` is the most that an attempt may take to
    its first content token.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        alias: str,
        limit: AimdLimit,
        first_token_s: float,
        on_state: Callable[[str, State], None] = lambda _provider, _state: None,
        probe_every_s: float = PROBE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.limit = limit
        self.patience = Patience(first_token_s)
        self.breaker = Breaker(on_change=self._changed)
        self.identity = identity_of(provider, alias, clock=clock)
        self.generated_at = float("-inf")
        self.alias = alias
        self._on_state = on_state
        self._probe_every_s = probe_every_s
        self._clock = clock
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self._probe_lock = asyncio.Lock()

    @property
    def name(self) -> str:
        return self.provider.name

    def answered(self) -> None:
        """It generated."""
        self.generated_at = self._clock()
        self.breaker.answered()
        self.identity.look()

    def has_generated_lately(self) -> bool:
        """Whether no probe is needed: it answered just now, or works on attempts and answered not long ago."""
        age_s = self._clock() - self.generated_at
        return age_s < (AT_WORK_FOR_S if self.limit.in_flight else READY_FOR_S)

    async def first_token_limit_s(self, size: Size, *, room_s: float) -> float:
        """Seconds that an attempt may take to its first token while another provider stands behind it.

        `room_s` is all that the request can spare; a model that is only being loaded, or a remote that has to start,
        gets as much of it as loading takes.
        """
        limit_s = self.patience.limit_s(size)
        if self.has_generated_lately():
            return min(room_s, limit_s)
        cold_start_s = float(getattr(self.provider, "cold_start_s", 0.0))
        if await self._is_loading():
            return room_s
        return min(room_s, max(limit_s, cold_start_s))

    def silent(self, size: Size, seconds: float) -> DeadError:
        """What to raise for an attempt given up after `seconds` without a token, which is remembered."""
        detail = f"no token within {seconds:.1f} s"
        error = DeadError(detail, provider=self.name, type=ErrorType.TIMEOUT_FIRST_TOKEN)
        error.is_illness = self.patience.speaks_against_it(size, seconds)
        self.patience.took(size, seconds)
        return error

    async def _is_loading(self) -> bool:
        if not isinstance(self.provider, Loader):
            return False
        with contextlib.suppress(LLMError, TimeoutError):
            async with asyncio.timeout(LOADED_LIMIT_S):
                return not await self.provider.is_loaded(self.alias)
        return False

    async def probe(self, limit_s: float = PROBE_LIMITS_S[-1]) -> str | None:
        """Ask for one token; None when it came within `limit_s`, else why not. One probe at a time."""
        async with self._probe_lock:
            try:
                async with asyncio.timeout(limit_s):
                    await self._ask_for_one_token()
            except BusyError:
                return None  # full of work is alive
            except TimeoutError:
                if self.limit.in_flight:
                    return f"{self.name}: no token within {limit_s:g} s, behind {self.limit.in_flight} attempts"
                return self._ill(DeadError("no token", provider=self.name, type=ErrorType.TIMEOUT_FIRST_TOKEN))
            except DeadError as exc:
                return self._ill(exc)
            except LLMError as exc:
                self.breaker.last_error = str(exc)
                return str(exc)
        self.answered()
        return None

    async def _ask_for_one_token(self) -> None:
        if isinstance(self.provider, Embedder) and self.provider.embeds(self.alias):
            text = EmbedRequest(service="probe", alias=self.alias, texts=("Hi",), deadline_s=PROBE_LIMITS_S[-1])
            await self.provider.embed(text)
        else:
            await self.provider.chat(_one_token(self.alias))

    def status(self) -> Mapping[str, Any]:
        """For people: breaker, limit, in flight, queued, last error."""
        return {
            "breaker": str(self.breaker.state),
            "limit": int(self.limit.limit),
            "in_flight": self.limit.in_flight,
            "queued": self.limit.queued,
            "last_error": self.breaker.last_error,
        }

    async def aclose(self) -> None:
        """Nothing probes any more, whatever a late attempt still reports."""
        self._closed = True
        if self._probing:
            self._probing.cancel()
            await asyncio.wait([self._probing])
        await self.identity.aclose()
        await self.provider.aclose()

    def _ill(self, error: DeadError) -> str:
        self.breaker.failed(error)
        return str(error)

    def _changed(self, state: State) -> None:
        self._on_state(self.name, state)
        if state is State.OPEN:
            self.identity.forget()
        if state is State.OPEN and not self._closed and (self._probing is None or self._probing.done()):
            self._probing = asyncio.get_running_loop().create_task(self._until_it_generates())

    async def _until_it_generates(self) -> None:
        """Each try waits longer than the one before: a hung engine must not hold the probe when it is back.

        A bug in an adapter ends one try, not all of them: the breaker would stay open for ever.
        """
        limits_s = itertools.chain(PROBE_LIMITS_S, itertools.repeat(PROBE_LIMITS_S[-1]))
        while self.breaker.is_open:
            await asyncio.sleep(self._probe_every_s)
            try:
                await self.probe(next(limits_s))
            except Exception as exc:  # logged, and asked again
                self.breaker.last_error = f"{self.name}: {type(exc).__name__}: {exc}"
                LOG.exception("link.probe_failed %s", self.name)


def _one_token(alias: str) -> ChatRequest:
    return ChatRequest(
        service="probe",
        alias=alias,
        messages=(Message(role=Role.SYSTEM, content="Answer."), Message(role=Role.USER, content="Hi")),
        sampling=Sampling(max_tokens=1),
        deadline_s=PROBE_LIMITS_S[-1],
    )
