"""A stream through the chain: held until its first content token, then complete, rescued or partial, and said so."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace

from services.llm.chain import Chain
from services.llm.documents import check_completion
from services.llm.errors import DeadError, ErrorType, LLMError, PartialError
from services.llm.limits import Slot
from services.llm.link import Link
from services.llm.patience import size_of
from services.llm.run import Run, Try
from services.llm.types import (
    ChatRequest,
    Chunk,
    Completion,
    Continued,
    End,
    Finish,
    Outcome,
    Rescue,
    Restarted,
    StreamEvent,
    Token,
    ToolCall,
    Usage,
)
from services.llm.watchdog import Watchdog

LOST = frozenset({ErrorType.CUT, ErrorType.TIMEOUT_FIRST_TOKEN, ErrorType.TIMEOUT_STALL, ErrorType.TIMEOUT_TOTAL})
"""How the rest of a stream gets lost, without a word from the engine that something is wrong."""


@dataclass(slots=True)
class Collected:
    """What one provider's stream has said so far. The last usage counts; it is never summed."""

    provider: str
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    usage: Usage = field(default_factory=Usage)

    def take(self, chunk: Chunk) -> None:
        if chunk.text:
            self.texts.append(chunk.text)
        if chunk.thinking:
            self.thoughts.append(chunk.thinking)
        self.tool_calls = chunk.tool_calls or self.tool_calls
        self.finish = chunk.finish or self.finish
        self.usage = chunk.usage or self.usage

    @contextlib.contextmanager
    def once_finished(self) -> Iterator[None]:
        """Behind the word for why it ended nothing is missing but counts: silence or a cut there breaks no answer."""
        try:
            yield
        except DeadError as exc:
            if self.finish is None or exc.type not in LOST:
                raise

    def completion(self, before: str = "") -> Completion:
        """The whole answer behind `before`. Raises `DeadError` where the stream ended without saying why."""
        if self.finish is None:
            raise DeadError("the stream ended without a finish reason", provider=self.provider, type=ErrorType.CUT)
        return Completion(
            text=before + "".join(self.texts),
            finish=self.finish,
            usage=self.usage,
            tool_calls=self.tool_calls,
            thinking="".join(self.thoughts),
        )


class Relay:
    """One stream's way through the chain.

    `seen` is the link whose tokens the reader has, `broke` what ended them: that is told, not how a rescue failed.
    """

    def __init__(self, run: Run, request: ChatRequest, chain: Chain, *, stall_s: float) -> None:
        self._run = run
        self._request = request
        self._chain = chain
        self._stall_s = stall_s
        self._seen: Link | None = None
        self._kept = ""
        self._rescued = False
        self._broke: LLMError | None = None
        self._watchdog = Watchdog()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Tokens and always an `End`; raises `LLMError` only while the reader has seen nothing."""
        try:
            async with contextlib.aclosing(self._tries()) as events:
                async for event in events:
                    yield event
                    if isinstance(event, End):
                        return
            raise self._run.failed()
        except LLMError as exc:
            if self._seen is None:
                raise
            yield self._partial(self._seen, self._broke or exc)
        finally:
            self._watchdog.close()

    async def _tries(self) -> AsyncGenerator[StreamEvent, None]:
        run, chain = self._run, self._chain
        for link, followed in chain.usable(run, await chain.eligible(run, self._request)):
            request = await self._request_for(link)
            if request is None:
                continue
            async with chain.permit(run, link, followed=followed) as slot:
                if slot is None:
                    continue
                collected = Collected(link.name)
                async with run.attempt(link, slot, dropped=link.provider.dropped(request)) as current:
                    async with contextlib.aclosing(self._tokens(link, current, collected, request, followed)) as events:
                        async for event in events:
                            yield event
                    completion = collected.completion(before=self._kept)
                    current.usage, current.finish = completion.usage, completion.finish
                    check_completion(self._request, completion, provider=link.name)
                if current.error is None:
                    self._learn(link, current, request, slot)
            # from here on without the slot: a reader who keeps the last event must not keep the engine's place
            if current.error is None:
                if self._seen not in (None, link):  # it took over and had nothing to add to the text
                    yield self._rescue(link)
                outcome = Outcome.RESCUED if self._rescued else Outcome.COMPLETE
                yield End(outcome=outcome, answer=run.answer(link, completion))
                return
            if self._seen is link:
                self._broke = self._broke or current.error
            if self._seen is not None and self._request.rescue is Rescue.NONE:
                yield self._partial(link, current.error)
                return

    async def _request_for(self, link: Link) -> ChatRequest | None:
        """What to ask `link`: the request, or its continuation where the reader has a beginning; None: not this one."""
        if self._seen is None or self._request.rescue is not Rescue.CONTINUE:
            return self._request
        if self._rescued:
            return None  # one continuation, no more
        run, request = self._run, self._request
        left = max(1, request.sampling.max_tokens - len(run.text))
        continuation = replace(
            request,
            prefill=request.prefill + "".join(run.text),
            sampling=replace(request.sampling, max_tokens=left),
        )
        refusal = await self._chain.refusal(run, continuation, link)
        if refusal is not None:
            run.skip(link, refusal)
            return None
        self._kept = "".join(run.text)
        return continuation

    async def _tokens(
        self, link: Link, current: Try, collected: Collected, request: ChatRequest, followed: bool
    ) -> AsyncGenerator[StreamEvent, None]:
        """One provider's content as events; what a later provider's first token does to the earlier ones is said."""
        limit_s = await self._first_token_limit_s(link, request, followed)
        async with contextlib.aclosing(link.provider.stream(current.traced(request))) as chunks:
            with collected.once_finished():
                while (chunk := await self._next(chunks, link, current, limit_s, request)) is not None:
                    collected.take(chunk)
                    if not chunk.text:
                        if chunk.at_work:
                            current.token(self._run.clock())
                        continue
                    if self._seen is not link:
                        if self._seen is not None:
                            yield self._rescue(link)
                        self._seen = link
                    self._run.token(current, chunk.text)
                    yield Token(text=chunk.text)
                    current.listens(self._run.clock())

    def _rescue(self, link: Link) -> StreamEvent:
        self._rescued = True
        reason = str(self._broke.type if self._broke else ErrorType.OTHER)
        if self._request.rescue is Rescue.CONTINUE:
            return Continued(provider=link.name, reason=reason)
        self._run.text.clear()
        return Restarted(provider=link.name, reason=reason)

    async def _first_token_limit_s(self, link: Link, request: ChatRequest, followed: bool) -> float | None:
        """Seconds; None where nobody stands behind, so that only the request's own deadline counts."""
        if not followed:
            return None
        room_s = self._chain.share_of_time(self._run, followed=True)
        return await link.first_token_limit_s(size_of(request, stream=True), room_s=room_s)

    async def _next(
        self,
        chunks: AsyncGenerator[Chunk, None],
        link: Link,
        current: Try,
        limit_s: float | None,
        request: ChatRequest,
    ) -> Chunk | None:
        """The next frame, or None at the end. Frames without content do not extend the time to the next token."""
        run = self._run
        left_s = run.remaining()
        if current.last_token is not None:
            wait_s = current.last_token + self._stall_s - run.clock()
        elif limit_s is not None:
            wait_s = current.started + limit_s - run.clock()
        else:
            wait_s = left_s
        try:
            return await self._watchdog.wait(anext(chunks, None), min(wait_s, left_s))
        except TimeoutError as exc:
            if left_s <= wait_s:
                raise run.out_of_time(link.name) from exc
            if current.last_token is not None:
                raise DeadError("silent for too long", provider=link.name, type=ErrorType.TIMEOUT_STALL) from exc
            raise link.silent(size_of(request, stream=True), run.clock() - current.started) from exc

    def _learn(self, link: Link, current: Try, request: ChatRequest, slot: Slot) -> None:
        if current.first_token is not None:
            size = size_of(request, stream=True)
            seconds = current.first_token - current.started
            link.patience.took(size, seconds)
            slot.answered(("first token", size), seconds)

    def _partial(self, link: Link, error: LLMError) -> End:
        partial = PartialError(error.detail, text="".join(self._run.text), provider=link.name, type=error.type)
        return End(outcome=Outcome.PARTIAL, answer=self._run.broken_answer(link), error=partial)
