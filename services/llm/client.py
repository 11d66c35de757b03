"""The client wrapper that every service trusts: a chain of providers behind one deadline. (Skeleton of the face.)"""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.llm.types import Answer, ChatRequest, StreamEvent


class LLMClient:
    """Use as `async with`. One per process. `chat` and `stream` raise `LLMError`s, see `services.llm.errors`."""

    async def __aenter__(self) -> LLMClient:
        raise NotImplementedError

    async def __aexit__(self, *exc: object) -> None:
        raise NotImplementedError

    async def chat(self, request: ChatRequest) -> Answer:
        """The whole answer, from the first provider of the chain that can give it."""
        raise NotImplementedError

    def stream(self, request: ChatRequest) -> AsyncIterator[StreamEvent]:
        """Tokens, at most one `Restarted` per rescue, and always an `End` last. Raises before the first token only.

        Close it (`contextlib.aclosing`): leaving it early cancels the engine's work at once.
        """
        raise NotImplementedError

    async def ready(self) -> str | None:
        """None when a provider of the chain generates, else why none does."""
        raise NotImplementedError
