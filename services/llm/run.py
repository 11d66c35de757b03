"""The life of one request inside the client: its clock, its attempts, and the event that tells of it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from services.llm.errors import (
    AllProvidersFailed,
    CallerError,
    DeadError,
    DeadlineExceeded,
    ErrorType,
    LLMError,
)
from services.llm.hooks import RequestEvent
from services.llm.link import Link
from services.llm.routing import Route
from services.llm.types import Answer, Attempt, ChatRequest, Completion, Finish, Outcome, Provenance, Skip, Usage


@dataclass(slots=True)
class Try:
    """The attempt that is under way."""

    link: Link
    started: float
    first_token: float | None = None
    last_token: float | None = None
    error: LLMError | None = None


@dataclass(slots=True)
class Run:
    """Everything that one request has gone through so far. `clock` in seconds, monotonic."""

    request: ChatRequest
    route: Route
    stream: bool
    clock: Callable[[], float]
    started: float
    request_id: str
    attempts: list[Attempt] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    causes: list[LLMError] = field(default_factory=list)
    first_token: float | None = None
    text: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, request: ChatRequest, route: Route, *, stream: bool, clock: Callable[[], float]) -> Run:
        request_id = request.request_id or uuid.uuid4().hex
        return cls(request, route, stream, clock, clock(), request_id)

    def remaining(self) -> float:
        """Seconds left of the one deadline. Raises `DeadlineExceeded` when none are."""
        left = self.started + self.request.deadline_s - self.clock()
        if left <= 0:
            raise self.out_of_time()
        return left

    def out_of_time(self, provider: str = "") -> DeadlineExceeded:
        tried = ", ".join(a.provider for a in self.attempts) or "nobody"
        return DeadlineExceeded(f"{self.request.deadline_s:g} s are up; tried: {tried}", provider=provider)

    def skip(self, link: Link, cause: LLMError) -> None:
        """Note a provider that was not tried."""
        self.skipped.append(Skip(provider=link.name, reason=str(cause.type)))
        self.causes.append(cause)

    @contextlib.asynccontextmanager
    async def attempt(self, link: Link) -> AsyncIterator[Try]:
        """Record how one attempt ended. An error after which the next provider may try is kept, others pass."""
        current = Try(link, self.clock())
        try:
            yield current
        except LLMError as exc:
            self._ended(current, exc)
            if isinstance(exc, DeadError):
                link.breaker.failed(exc)
            self.causes.append(exc)
            if isinstance(exc, (CallerError, DeadlineExceeded)):
                raise
        except (asyncio.CancelledError, GeneratorExit):
            self._ended(current, LLMError("the caller left", provider=link.name, type=ErrorType.CANCELLED))
            raise
        else:
            link.answered()
            self._ended(current, None)

    def token(self, current: Try, text: str) -> None:
        """Some content has come."""
        now = self.clock()
        current.last_token = now
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
        )

    def broken_answer(self, link: Link) -> Answer:
        """What a reader has seen of a stream that broke."""
        return self.answer(link, Completion(text="".join(self.text), finish=Finish.CUT))

    def provenance(self, link: Link) -> Provenance:
        return Provenance(
            request_id=self.request_id,
            provider=link.name,
            engine=link.provider.engine,
            model=link.provider.model(self.request.alias),
            attempts=tuple(self.attempts),
            skipped=tuple(self.skipped),
            fallback_reason=None if link.name == self.route.chain[0] else self._why_not_the_first(),
        )

    def event(self, *, answer: Answer | None, outcome: Outcome | None, error: BaseException | None) -> RequestEvent:
        """The one event of this request, made when it has ended."""
        return RequestEvent(
            request_id=self.request_id,
            service=self.request.service,
            alias=self.request.alias,
            stream=self.stream,
            route=self.route.reason,
            chain=self.route.chain,
            result=_result(outcome, error),
            provider=answer.provenance.provider if answer else (self.attempts[-1].provider if self.attempts else ""),
            fallback_reason=answer.provenance.fallback_reason if answer else None,
            outcome=outcome,
            error_type=_error_type(error),
            attempts=tuple(self.attempts),
            skipped=tuple(self.skipped),
            usage=answer.usage if answer else Usage(),
            duration_s=self.clock() - self.started,
            first_token_s=self.first_token - self.started if self.first_token is not None else None,
        )

    def _ended(self, current: Try, error: LLMError | None) -> None:
        current.error = error
        self.attempts.append(
            Attempt(
                provider=current.link.name,
                model=current.link.provider.model(self.request.alias),
                error=error,
                duration_s=self.clock() - current.started,
                first_token_s=current.first_token - current.started if current.first_token is not None else None,
            )
        )

    def _why_not_the_first(self) -> str:
        first = self.route.chain[0]
        for skip in self.skipped:
            if skip.provider == first:
                return skip.reason
        for attempt in self.attempts:
            if attempt.provider == first and attempt.error is not None:
                return str(attempt.error.type)
        return str(ErrorType.OTHER)


def _result(outcome: Outcome | None, error: BaseException | None) -> str:
    match error:
        case None:
            return "ok"
        case asyncio.CancelledError() | GeneratorExit():
            return "cancelled"
        case LLMError() if outcome is Outcome.PARTIAL:
            return "partial"
        case LLMError(type=ErrorType.SHED):
            return "shed"
        case _:
            return "error"


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
