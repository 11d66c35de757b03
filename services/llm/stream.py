"""A stream through the chain: held until its first content token, then complete, rescued or partial, and said so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from services.llm.chain import Chain
from services.llm.documents import check_completion
from services.llm.errors import DeadError, ErrorType, LLMError, PartialError
from services.llm.link import Link
from services.llm.run import Run, Try
from services.llm.types import Chunk, Completion, End, Finish, Outcome, Rescue, Restarted, StreamEvent, Token, Usage
from services.settings import Limits


@dataclass(slots=True)
class Collected:
    """What one provider's stream has said so far. The last usage counts; it is never summed."""

    provider: str
    texts: list[str] = field(default_factory=list)
    finish: Finish | None = None
    usage: Usage = field(default_factory=Usage)

    def take(self, chunk: Chunk) -> None:
        self.texts.append(chunk.text)
        self.finish = chunk.finish or self.finish
        self.usage = chunk.usage or self.usage

    def completion(self) -> Completion:
        """The whole answer. Raises `DeadError` where the stream ended without saying why: it was cut."""
        if self.finish is None:
            raise DeadError("the stream ended without a finish reason", provider=self.provider, type=ErrorType.CUT)
        return Completion(text="".join(self.texts), finish=self.finish, usage=self.usage)


class Relay:
    """One stream's way through the chain. `seen` is the link whose tokens the reader has."""

    def __init__(self, run: Run, chain: Chain, limits: Limits) -> None:
        self._run = run
        self._chain = chain
        self._limits = limits
        self._seen: Link | None = None
        self._restarted = False

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
            yield self._partial(self._seen, exc)

    async def _tries(self) -> AsyncGenerator[StreamEvent, None]:
        run = self._run
        for link, followed in self._chain.usable(run, await self._chain.eligible(run)):
            async with self._chain.permit(run, link, followed=followed) as permitted:
                if not permitted:
                    continue
                collected = Collected(link.name)
                async with run.attempt(link) as current:
                    async with contextlib.aclosing(self._tokens(link, current, collected, followed)) as events:
                        async for event in events:
                            yield event
                    check_completion(run.request, collected.completion(), provider=link.name)
                if current.error is None:
                    outcome = Outcome.RESCUED if self._restarted else Outcome.COMPLETE
                    yield End(outcome=outcome, answer=run.answer(link, collected.completion()))
                    return
                if current.first_token is not None and run.request.rescue is not Rescue.RESTART:
                    yield self._partial(link, current.error)
                    return

    async def _tokens(
        self, link: Link, current: Try, collected: Collected, followed: bool
    ) -> AsyncGenerator[StreamEvent, None]:
        """One provider's content as events; the first token of a later provider voids what came before."""
        async with contextlib.aclosing(link.provider.stream(self._run.request)) as chunks:
            while (chunk := await self._next(chunks, link, current, followed)) is not None:
                collected.take(chunk)
                if not chunk.text:
                    continue
                if self._seen is not None and self._seen is not link:
                    self._restarted = True
                    self._run.text.clear()
                    yield Restarted(provider=link.name, reason=str(self._run.causes[-1].type))
                self._seen = link
                self._run.token(current, chunk.text)
                yield Token(text=chunk.text)

    async def _next(
        self, chunks: AsyncGenerator[Chunk, None], link: Link, current: Try, followed: bool
    ) -> Chunk | None:
        """The next frame, or None at the end. Frames without content do not extend the time to the next token."""
        until, type = self._patience(current, followed)
        try:
            async with asyncio.timeout(until - self._run.clock()):
                return await anext(chunks, None)
        except TimeoutError as exc:
            self._run.remaining()
            raise DeadError("silent for too long", provider=link.name, type=type) from exc

    def _patience(self, current: Try, followed: bool) -> tuple[float, ErrorType]:
        """When to give up on the next token: the request's end, or sooner while somebody stands behind."""
        run = self._run
        end = run.clock() + run.remaining()
        if current.last_token is not None:
            return min(end, current.last_token + self._limits.stall_s), ErrorType.TIMEOUT_STALL
        if not followed:
            return end, ErrorType.TIMEOUT_FIRST_TOKEN
        share = current.started + self._chain.share_of_time(run, followed=True)
        return min(end, current.started + self._limits.first_token_s, share), ErrorType.TIMEOUT_FIRST_TOKEN

    def _partial(self, link: Link, error: LLMError) -> End:
        partial = PartialError(error.detail, text="".join(self._run.text), provider=link.name, type=error.type)
        return End(outcome=Outcome.PARTIAL, answer=self._run.broken_answer(link), error=partial)
