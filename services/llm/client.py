"""The client wrapper that every service trusts: a chain of providers behind one deadline.

A request asks the providers of its chain in order. Until the first content token anything may still fall back;
after it a stream is `complete`, `rescued` (the service opted in) or `partial`, and the reader is told which.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.llm.chain import Chain
from services.llm.embedding import Cut, Embedding
from services.llm.errors import ConfigError
from services.llm.extract import Extracted, T, asking_for, extracted, validator
from services.llm.hooks import Hook, Words
from services.llm.link import Link
from services.llm.mapping import check
from services.llm.rollout import RolloutWatch
from services.llm.routing import Route, route
from services.llm.run import Run
from services.llm.spaces import Embeddings, EmbeddingSpace, EmbedRequest
from services.llm.stream import Relay
from services.llm.tracing import Sampling, begin
from services.llm.types import Answer, ChatRequest, End, Outcome, Provenance, StreamEvent, Usage
from services.llm.whole import Validate, Whole
from services.settings import Limits

LOG = logging.getLogger("cutover.llm.client")
FALLBACK_WINDOW_S = 300.0


class LLMClient:
    """One per process and service; use as `async with`. Everything it raises is an `LLMError`."""

    def __init__(
        self,
        *,
        service: str,
        chains: Mapping[str, Chain],
        rollout: RolloutWatch,
        pin: str,
        limits: Limits,
        last_resort: tuple[str, ...] = (),
        spaces: Mapping[str, EmbeddingSpace] | None = None,
        cuts: Mapping[str, Cut] | None = None,
        hooks: Sequence[Hook] = (),
        sampling: Sampling | None = None,
        keeps_words: bool = False,
        on_close: Sequence[Callable[[], Awaitable[None]]] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._chains = chains
        self._rollout = rollout
        self._pin = pin
        self._limits = limits
        self._last_resort = last_resort
        self._spaces = spaces or {}
        self._cuts = cuts or {}
        self._hooks = hooks
        self._sampling = sampling
        self._keeps_words = keeps_words
        self._on_close = on_close
        self._clock = clock
        self._fallbacks: deque[float] = deque(maxlen=10_000)

    @property
    def links(self) -> Mapping[str, Link]:
        """The guarded providers of the service's chat model, by name."""
        return next(iter(self._chains.values())).links

    async def __aenter__(self) -> LLMClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with contextlib.AsyncExitStack() as closing:  # every one of them, whatever another one raises
            for close in self._on_close:
                closing.push_async_callback(close)
            for chain in self._chains.values():
                for link in chain.links.values():
                    closing.push_async_callback(link.aclose)

    async def chat(self, request: ChatRequest) -> Answer:
        """The whole answer, from the first provider of the chain that can give it. Raises `LLMError`."""
        return await self._whole(request, validate=None)

    async def extract(self, model: type[T], request: ChatRequest, *, repairs: int = 1) -> Extracted[T]:
        """A `model` out of an answer. Raises `LLMError` where no provider gives one that fits.

        The engine gets the schema; the document is validated here. One that does not fit is asked for again at the
        same provider, `repairs` times at most, then at the next. A document that was cut is a failure.
        """
        asked = asking_for(model, request, repairs=repairs)
        answer = await self._whole(asked, validate=validator(model))
        return extracted(model, answer)

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """One vector per text, all of the alias's one space. Raises `LLMError`; never asks a provider of another."""
        run = self._begin(request, stream=False)
        try:
            chain = self._chain(request.alias)
            space, cut = self._spaces.get(request.alias), self._cuts.get(request.alias)
            embedding = Embedding(run, request, chain, space, cut=cut)
            embeddings = await embedding.vectors()
        except BaseException as exc:
            self._tell(run, error=exc)
            raise
        usage = run.attempts[-1].usage
        self._tell(run, provenance=embeddings.provenance, usage=usage, outcome=Outcome.COMPLETE)
        return embeddings

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Tokens, a `Restarted` or `Continued` where a rescue began, and always an `End` last.

        Raises `LLMError` before the first token only. Close it (`contextlib.aclosing`): leaving early cancels the
        engine's work at once.
        """
        run = self._begin(request, stream=True)
        asked = self._named(request, run)
        end: End | None = None
        try:
            check(asked)
            relay = Relay(run, asked, self._chain(request.alias), stall_s=self._limits.stall_s)
            async with contextlib.aclosing(relay.events()) as events:
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
                provenance, usage = end.answer.provenance, end.answer.usage
                text = end.answer.text
                self._tell(run, provenance=provenance, usage=usage, outcome=end.outcome, error=end.error, text=text)

    async def ready(self) -> str | None:
        """None when a provider of the service's chain generates, else why none does. Probes at most one at a time.

        One whose breaker is open is left to its own probing: a second prober would only keep that waiting.
        """
        reasons = []
        for link in next(iter(self._chains.values())).named(self._route("", first=None).chain):
            if link.breaker.is_open:
                reasons.append(f"{link.name}: breaker open after: {link.breaker.last_error}")
                continue
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
            "providers": {name: dict(link.status()) for name, link in self.links.items()},
        }

    async def _whole(self, request: ChatRequest, *, validate: Validate | None) -> Answer:
        run = self._begin(request, stream=False)
        asked = self._named(request, run)
        try:
            check(asked)
            answer = await Whole(run, asked, self._chain(request.alias), validate=validate).answer()
        except BaseException as exc:
            self._tell(run, error=exc)
            raise
        usage = answer.usage
        self._tell(run, provenance=answer.provenance, usage=usage, outcome=Outcome.COMPLETE, text=answer.text)
        return answer

    def _chain(self, alias: str) -> Chain:
        if alias not in self._chains:
            raise ConfigError(f"{self._service} has no model {alias!r}; it has: {', '.join(self._chains)}")
        return self._chains[alias]

    def _begin(self, request: ChatRequest | EmbedRequest, *, stream: bool) -> Run:
        key, first = (request.key, request.first) if isinstance(request, ChatRequest) else ("", None)
        route = self._route(key, first=first)
        run = Run.begin(request, self._service, route, stream=stream, clock=self._clock)
        if self._sampling is not None:
            run.trace = begin(request.traceparent, self._sampling)
        if self._keeps_words:
            run.words = _words(request)
        return run

    def _named(self, request: ChatRequest, run: Run) -> ChatRequest:
        return replace(request, request_id=run.request_id, service=self._service)

    def _route(self, key: str, *, first: str | None) -> Route:
        standing = self._rollout.current().standing(self._service)
        found = route(self._service, key, pin=self._pin, standing=standing, first=first)
        if first is not None:
            return found  # a measurement never leaves this host
        return replace(found, chain=(*found.chain, *self._last_resort))

    def _tell(
        self,
        run: Run,
        *,
        provenance: Provenance | None = None,
        usage: Usage | None = None,
        outcome: Outcome | None = None,
        error: BaseException | None = None,
        text: str = "",
    ) -> None:
        if run.words is not None:
            run.words = replace(run.words, answer=text or "".join(run.text))
        event = run.event(provenance=provenance, usage=usage, outcome=outcome, error=error)
        if event.fallback_reason is not None:
            self._fallbacks.append(self._clock())
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:  # who only listens takes no answer from a caller, and hides no error
                LOG.exception("client.hook_failed %s", event.request_id)


def _words(request: ChatRequest | EmbedRequest) -> Words:
    if isinstance(request, ChatRequest):
        return Words(prompt=tuple((str(m.role), m.content) for m in request.messages))
    return Words(prompt=tuple(("text", text) for text in request.texts))
