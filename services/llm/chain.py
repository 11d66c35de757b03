"""The providers of one service: which of them a request may ask, in which order, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from services.llm.errors import BusyError, ConfigError, ContextTooLong, DeadError, ErrorType, LLMError
from services.llm.limits import Slot
from services.llm.link import Link
from services.llm.mapping import prompt_bound
from services.llm.run import Run
from services.llm.types import ChatRequest, Message

KEPT_FOR_FALLBACK = 0.4
"""Part of the remaining time that a provider may not use up while another one stands behind it."""

WORTH_A_TRY_S = 0.05
"""With less time left than this nobody else is asked: a connection alone may take as long."""

COUNT_LIMIT_S = 1.0
REOPEN_AFTER_S = 5.0


@runtime_checkable
class TokenCounter(Protocol):
    """A provider that can count the tokens of a prompt without generating."""

    async def count_tokens(self, alias: str, messages: tuple[Message, ...]) -> int: ...


class Chain:
    """The providers of one model alias: `links` by provider name, shared by all requests of the process.

    `queue_wait_s` is the most that a request may wait for its turn at one provider, in seconds.
    """

    def __init__(self, links: Mapping[str, Link], *, queue_wait_s: float) -> None:
        self.links = links
        self._queue_wait_s = queue_wait_s

    def named(self, names: Sequence[str]) -> list[Link]:
        """The links of a route, in its order. Raises `ConfigError` for a provider that is not set up."""
        missing = [name for name in names if name not in self.links]
        if missing:
            raise ConfigError(f"no provider {missing[0]!r} is set up; there are: {', '.join(self.links)}")
        return [self.links[name] for name in names]

    async def eligible(self, run: Run, request: ChatRequest) -> list[Link]:
        """The providers that can honour the request and surely hold it; the others are noted in `run.skipped`."""
        links = []
        for link in self.named(run.route.chain):
            refusal = await self.refusal(run, request, link)
            if refusal:
                run.skip(link, refusal)
            else:
                links.append(link)
        return links

    def usable(self, run: Run, eligible: Sequence[Link]) -> Iterator[tuple[Link, bool]]:
        """The providers to try, each with whether another one stands behind it that may still be asked.

        One whose breaker is open is passed over, unless it is the last and nobody has been asked yet: then trying
        costs nothing. It is nobody to keep time for either: that would be taken from the one who can answer.
        Raises `DeadlineExceeded` between two tries.
        """
        for index, link in enumerate(eligible):
            behind = eligible[index + 1 :]
            if link.breaker.is_open and (behind or run.attempts):
                detail = f"breaker open after: {link.breaker.last_error}"
                error = DeadError(detail, provider=link.name, type=ErrorType.BREAKER_OPEN, retry_after_s=REOPEN_AFTER_S)
                run.skip(link, error)
                continue
            if run.remaining() < WORTH_A_TRY_S and run.attempts:
                raise run.out_of_time()
            yield link, any(not other.breaker.is_open for other in behind)

    @contextlib.asynccontextmanager
    async def permit(self, run: Run, link: Link, *, followed: bool) -> AsyncIterator[Slot | None]:
        """Hold one slot of the provider; None where it has no room, which is noted."""
        left_s = self.share_of_time(run, followed=followed)
        async with contextlib.AsyncExitStack() as held:
            try:
                slot = await held.enter_async_context(
                    link.limit.permit(min(self._queue_wait_s, left_s), run.priority, left_s=left_s)
                )
            except BusyError as exc:
                run.skip(link, exc)
                yield None
                return
            run.queued_s += slot.waited_s
            yield slot

    @staticmethod
    def share_of_time(run: Run, *, followed: bool) -> float:
        """Seconds that a try may take. Raises `DeadlineExceeded` when none are left."""
        return run.remaining() * (1 - KEPT_FOR_FALLBACK) if followed else run.remaining()

    async def refusal(self, run: Run, request: ChatRequest, link: Link) -> LLMError | None:
        """Why `link` must not get this request: it cannot honour it, or would cut a prompt and say nothing."""
        provider = link.provider
        if reason := provider.refusal(request):
            return ConfigError(f"not asked: {reason}", provider=provider.name, type=ErrorType.CAPABILITY)
        if provider.refuses_long_prompts:
            return None
        room = provider.window(request.alias) - request.sampling.max_tokens
        if prompt_bound(request.messages, request.tools) + len(request.prefill.encode()) <= room:
            return None
        tokens = await self._count(run, request)
        if tokens is not None and tokens <= room:
            return None
        said = f"the prompt has {tokens} tokens" if tokens is not None else "the prompt may not fit"
        detail = (
            f"{said}; the window of {provider.window(request.alias)} minus max_tokens={request.sampling.max_tokens} "
            f"leaves {room}, and {provider.engine} would cut the rest in silence; send less text"
        )
        return ContextTooLong(detail, provider=provider.name)

    async def _count(self, run: Run, request: ChatRequest) -> int | None:
        """Tokens of the prompt by an engine that can count; None where none can, or answers in time."""
        if request.tools or request.prefill or any(m.images for m in request.messages):
            return None
        for link in self.links.values():
            if not isinstance(link.provider, TokenCounter) or link.breaker.is_open:
                continue
            with contextlib.suppress(LLMError, TimeoutError):
                async with asyncio.timeout(min(COUNT_LIMIT_S, self.share_of_time(run, followed=True))):
                    return await link.provider.count_tokens(request.alias, request.messages)
        return None
