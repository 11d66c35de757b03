"""The life of one request inside the client: its clock, its attempts, and the event that tells of it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from services.llm.errors import (
    AllProvidersFailed,
    BusyError,
    CallerError,
    DeadError,
    DeadlineExceeded,
    ErrorType,
    LLMError,
)
from services.llm.hooks import Operation, RequestEvent, Result, Words
from services.llm.limits import Slot
from services.llm.link import Link
from services.llm.routing import Route
from services.llm.spaces import EmbedRequest
from services.llm.tracing import Context
from services.llm.types import (
    Answer,
    Attempt,
    ChatRequest,
    Completion,
    Finish,
    Outcome,
    Priority,
    Provenance,
    Skip,
    Usage,
)

Asked = TypeVar("Asked", ChatRequest, EmbedRequest)


@dataclass(slots=True)
class Try:
    """The attempt that is under way. Clock readings in seconds."""

    link: Link
    started: float
    repair: bool = False
    dropped: tuple[str, ...] = ()
    first_token: float | None = None
    last_token: float | None = None
    longest_gap_s: float | None = None
    usage: Usage | None = None
    finish: Finish | None = None
    error: LLMError | None = None
    trace: Context | None = None

    def traced(self, request: Asked) -> Asked:
        """`request` as the engine gets it: what it does is done for this attempt."""
        return replace(request, traceparent=self.trace.traceparent) if self.trace else request

    def token(self, now: float) -> None:
        """Something was generated."""
        if self.last_token is not None:
            self.longest_gap_s = max(self.longest_gap_s or 0.0, now - self.last_token)
        self.last_token = now

    def listens(self, now: float) -> None:
        """The reader is back for more: silence counts from here, not from before it went away with the last token."""
        self.last_token = now

    def attempt(self, model: str, error: LLMError | None, now: float, *, began: float) -> Attempt:
        """What stays of it when it has ended. `began` is when its request did."""
        return Attempt(
            provider=self.link.name,
            model=model,
            error=error,
            duration_s=now - self.started,
            first_token_s=self.first_token - self.started if self.first_token is not None else None,
            longest_gap_s=self.longest_gap_s,
            usage=self.usage,
            repair=self.repair,
            dropped=self.dropped,
            started_s=self.started - began,
            finish=self.finish,
            span_id=self.trace.span_id if self.trace else "",
        )


@dataclass(slots=True)
class Run:
    """Everything that one request has gone through so far. `clock` in seconds, monotonic."""

    service: str
    alias: str
    operation: Operation
    deadline_s: float
    priority: Priority
    route: Route
    stream: bool
    clock: Callable[[], float]
    started: float
    request_id: str
    trace: Context | None = None
    words: Words | None = None
    attempts: list[Attempt] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    causes: list[LLMError] = field(default_factory=list)
    queued_s: float = 0.0
    first_token: float | None = None
    text: list[str] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        request: ChatRequest | EmbedRequest,
        service: str,
        route: Route,
        *,
        stream: bool,
        clock: Callable[[], float],
    ) -> Run:
        operation = Operation.CHAT if isinstance(request, ChatRequest) else Operation.EMBEDDINGS
        return cls(
            service=service,
            alias=request.alias,
            operation=operation,
            deadline_s=request.deadline_s,
            priority=request.priority,
            route=route,
            stream=stream,
            clock=clock,
            started=clock(),
            request_id=request.request_id or uuid.uuid4().hex,
        )

    def remaining(self) -> float:
        """Seconds left of the one deadline. Raises `DeadlineExceeded` when none are."""
        left = self.started + self.deadline_s - self.clock()
        if left <= 0:
            raise self.out_of_time()
        return left

    def out_of_time(self, provider: str = "") -> DeadlineExceeded:
        tried = ", ".join(a.provider for a in self.attempts) or "nobody"
        return DeadlineExceeded(f"{self.deadline_s:g} s are up; tried: {tried}", provider=provider)

    def skip(self, link: Link, cause: LLMError) -> None:
        """Note a provider that was not tried."""
        self.skipped.append(Skip(provider=link.name, reason=str(cause.type)))
        self.causes.append(cause)

    @contextlib.asynccontextmanager
    async def attempt(
        self, link: Link, slot: Slot, *, dropped: tuple[str, ...] = (), repair: bool = False
    ) -> AsyncIterator[Try]:
        """Record how one attempt ended. An error after which the next provider may try is kept, others pass."""
        current = Try(link, self.clock(), repair, dropped, trace=self.trace.child() if self.trace else None)
        link.identity.look()
        try:
            yield current
        except LLMError as exc:
            self._ended(current, exc)
            _blame(link, slot, exc)
            self.causes.append(exc)
            if isinstance(exc, (CallerError, DeadlineExceeded)):
                raise
        except (asyncio.CancelledError, GeneratorExit):
            self._ended(current, LLMError("the caller left", provider=link.name, type=ErrorType.CANCELLED))
            raise
        except BaseException as exc:  # a bug of ours; the provider was asked all the same
            self._ended(current, LLMError(f"{type(exc).__name__}: {exc}", provider=link.name))
            raise
        else:
            link.answered()
            self._ended(current, None)

    def token(self, current: Try, text: str) -> None:
        """Some content has come."""
        now = self.clock()
        current.token(now)
        if current.first_token is None:
            current.first_token = now
        if self.first_token is None:
            self.first_token = now
        self.text.append(text)

    def failed(self) -> LLMError:
        """What to raise when the chain is at its end: the only cause itself, or all of them."""
        return self.causes[0] if len(self.causes) == 1 else AllProvidersFailed(tuple(self.causes))

    def answer(self, link: Link, completion: Completion) -> Answer:
        return Answer(
            text=completion.text,
            finish=completion.finish,
            usage=completion.usage,
            provenance=self.provenance(link),
            duration_s=self.clock() - self.started,
            first_token_s=self.first_token - self.started if self.first_token is not None else None,
            tool_calls=completion.tool_calls,
            thinking=completion.thinking,
        )

    def broken_answer(self, link: Link) -> Answer:
        """What a reader has seen of a stream that broke."""
        return self.answer(link, Completion(text="".join(self.text), finish=Finish.CUT))

    def provenance(self, link: Link) -> Provenance:
        return Provenance(
            request_id=self.request_id,
            provider=link.name,
            engine=link.provider.engine,
            model=link.provider.model(self.alias),
            digest=link.identity.told,
            attempts=tuple(self.attempts),
            skipped=tuple(self.skipped),
            fallback_reason=None if link.name == self.route.chain[0] else self._why_not_the_first(),
        )

    def event(
        self,
        *,
        provenance: Provenance | None,
        usage: Usage | None,
        outcome: Outcome | None,
        error: BaseException | None,
    ) -> RequestEvent:
        """The one event of this request, made when it has ended."""
        return RequestEvent(
            request_id=self.request_id,
            service=self.service,
            alias=self.alias,
            operation=self.operation,
            stream=self.stream,
            route=self.route.reason,
            chain=self.route.chain,
            result=_result(outcome, error),
            provider=provenance.provider if provenance else (self.attempts[-1].provider if self.attempts else ""),
            fallback_reason=provenance.fallback_reason if provenance else None,
            outcome=outcome,
            error_type=_error_type(error),
            attempts=tuple(self.attempts),
            skipped=tuple(self.skipped),
            usage=usage or Usage(),
            queued_s=self.queued_s,
            duration_s=self.clock() - self.started,
            first_token_s=self.first_token - self.started if self.first_token is not None else None,
            trace=self.trace,
            words=self.words,
        )

    def _ended(self, current: Try, error: LLMError | None) -> None:
        current.error = error
        model, now = current.link.provider.model(self.alias), self.clock()
        self.attempts.append(current.attempt(model, error, now, began=self.started))

    def _why_not_the_first(self) -> str:
        first = self.route.chain[0]
        for skip in self.skipped:
            if skip.provider == first:
                return skip.reason
        for attempt in self.attempts:
            if attempt.provider == first and attempt.error is not None:
                return str(attempt.error.type)
        return str(ErrorType.OTHER)


def _blame(link: Link, slot: Slot, error: LLMError) -> None:
    """Tell the guards: the breaker of illness, the limit of having asked too much."""
    if isinstance(error, DeadError):
        link.breaker.failed(error)
    if isinstance(error, BusyError) or error.type is ErrorType.TIMEOUT_FIRST_TOKEN:
        slot.dropped()


def _result(outcome: Outcome | None, error: BaseException | None) -> Result:
    match error:
        case None:
            return Result.OK
        case asyncio.CancelledError() | GeneratorExit():
            return Result.CANCELLED
        case LLMError() if outcome is Outcome.PARTIAL:
            return Result.PARTIAL
        case LLMError(type=ErrorType.SHED):
            return Result.SHED
        case _:
            return Result.ERROR


def _error_type(error: BaseException | None) -> str:
    match error:
        case None:
            return str(ErrorType.NONE)
        case asyncio.CancelledError() | GeneratorExit():
            return str(ErrorType.CANCELLED)
        case LLMError():
            return str(error.type)
        case _:
            return str(ErrorType.OTHER)
