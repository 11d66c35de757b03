"""The client wrapper that every service trusts: a chain of providers behind one deadline.

A request asks the providers of its chain in order. Until the first content token anything may still fall back;
after it a stream is `complete`, `rescued` (the service opted in) or `partial`, and the reader is told which.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.llm.chain import Chain
from services.llm.documents import check_completion
from services.llm.errors import DeadError, ErrorType
from services.llm.hooks import Hook
from services.llm.link import Link
from services.llm.mapping import check
from services.llm.rollout import RolloutWatch
from services.llm.routing import Route, route
from services.llm.run import Run
from services.llm.stream import Relay
from services.llm.types import Answer, ChatRequest, Completion, End, Outcome, StreamEvent
from services.settings import Limits

FALLBACK_WINDOW_S = 300.0


class LLMClient:
    """One per process and service; use as `async with`. Everything it raises is an `LLMError`."""

    def __init__(
        self,
        *,
        service: str,
        chain: Chain,
        rollout: RolloutWatch,
        pin: str,
        limits: Limits,
        hooks: Sequence[Hook] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._chain = chain
        self._rollout = rollout
        self._pin = pin
        self._limits = limits
        self._hooks = hooks
        self._clock = clock
        self._fallbacks: deque[float] = deque(maxlen=10_000)

    @property
    def links(self) -> Mapping[str, Link]:
        """The guarded providers by name."""
        return self._chain.links

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for link in self._chain.links.values():
            await link.aclose()

    async def chat(self, request: ChatRequest) -> Answer:
        """The whole answer, from the first provider of the chain that can give it. Raises `LLMError`."""
        run = self._begin(request, stream=False)
        try:
            check(run.request)
            answer = await self._chat(run)
        except BaseException as exc:
            self._tell(run, error=exc)
            raise
        self._tell(run, answer=answer, outcome=Outcome.COMPLETE)
        return answer

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Tokens, a `Restarted` where a rescue began anew, and always an `End` last.

        Raises `LLMError` before the first token only. Close it (`contextlib.aclosing`): leaving early cancels the
        engine's work at once.
        """
        run = self._begin(request, stream=True)
        end: End | None = None
        try:
            check(run.request)
            async with contextlib.aclosing(Relay(run, self._chain, self._limits).events()) as events:
                async for event in events:
                    if isinstance(event, End):
                        end = event
                    yield event
        except BaseException as exc:
            if end is None:
                self._tell(run, error=exc)
            raise
        finally:
            if end is not None:
                self._tell(run, answer=end.answer, outcome=end.outcome, error=end.error)

    async def ready(self) -> str | None:
        """None when a provider of the service's chain generates, else why none does. Probes at most one at a time."""
        reasons = []
        for link in self._chain.named(self._route("", first=None).chain):
            if link.has_generated_lately():
                return None
            reason = await link.probe()
            if reason is None:
                return None
            reasons.append(reason)
        return "; ".join(reasons)

    def status(self) -> Mapping[str, Any]:
        """For people and `cutover status`: where the service stands and how its providers are."""
        standing = self._rollout.current().standing(self._service)
        oldest = self._clock() - FALLBACK_WINDOW_S
        return {
            "pin": self._pin,
            "stage": str(standing.stage),
            "share": standing.share,
            "rollout_problem": self._rollout.problem,
            "fallbacks_5m": sum(at >= oldest for at in self._fallbacks),
            "providers": {name: dict(link.status()) for name, link in self._chain.links.items()},
        }

    def _begin(self, request: ChatRequest, *, stream: bool) -> Run:
        run = Run.begin(request, self._route(request.key, first=request.first), stream=stream, clock=self._clock)
        run.request = replace(request, request_id=run.request_id, service=self._service)
        return run

    def _route(self, key: str, *, first: str | None) -> Route:
        standing = self._rollout.current().standing(self._service)
        return route(self._service, key, pin=self._pin, standing=standing, first=first)

    def _tell(
        self,
        run: Run,
        *,
        answer: Answer | None = None,
        outcome: Outcome | None = None,
        error: BaseException | None = None,
    ) -> None:
        event = run.event(answer=answer, outcome=outcome, error=error)
        if event.fallback_reason is not None:
            self._fallbacks.append(self._clock())
        for hook in self._hooks:
            hook(event)

    async def _chat(self, run: Run) -> Answer:
        chain = self._chain
        for link, followed in chain.usable(run, await chain.eligible(run)):
            async with chain.permit(run, link, followed=followed) as permitted:
                if not permitted:
                    continue
                async with run.attempt(link):
                    completion = await self._complete(run, link, followed=followed)
                    check_completion(run.request, completion, provider=link.name)
                if run.attempts[-1].error is None:
                    return run.answer(link, completion)
        raise run.failed()

    async def _complete(self, run: Run, link: Link, *, followed: bool) -> Completion:
        limit_s = self._chain.share_of_time(run, followed=followed)
        try:
            async with asyncio.timeout(limit_s):
                return await link.provider.chat(run.request)
        except TimeoutError as exc:
            run.remaining()
            detail = f"no answer within {limit_s:.1f} s"
            raise DeadError(detail, provider=link.name, type=ErrorType.TIMEOUT_FIRST_TOKEN) from exc
