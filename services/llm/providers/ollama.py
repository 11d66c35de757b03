"""Ollama by its own SDK and native API, because its OpenAI-compatible API cannot be told the context window."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import httpx
import ollama

from services.llm.errors import CallerError, DeadError, ErrorType, LLMError, from_status
from services.llm.mapping import finish_of, ollama_arguments
from services.llm.registry import Model
from services.llm.types import ChatRequest, Chunk, Completion, Usage

BAD_SCHEMA = "invalid JSON schema in format"
"""Ollama answers 500 with these words to a schema that it cannot use: the caller's mistake, not its illness."""

FOREIGN = (
    ollama.ResponseError,
    ollama.RequestError,
    ConnectionError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    ValueError,
)
"""What the SDK and its HTTP library raise; `translate` has a row for each."""


class Ollama:
    """`models` maps aliases to registry entries; `connect_s` in seconds; no other time limit is set here."""

    engine = "ollama"

    def __init__(
        self,
        *,
        name: str,
        url: str,
        models: Mapping[str, Model],
        connect_s: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._models = models
        timeout = httpx.Timeout(None, connect=connect_s)
        self._sdk = ollama.AsyncClient(host=url, timeout=timeout, trust_env=False, transport=transport)

    def model(self, alias: str) -> str:
        return self._models[alias].names["ollama"]

    def window(self, alias: str) -> int:
        return self._models[alias].context

    @property
    def refuses_long_prompts(self) -> bool:
        """Ollama cuts them and answers 200, so nothing that might not fit is sent."""
        return False

    async def chat(self, request: ChatRequest) -> Completion:
        """One whole answer. Raises `LLMError`."""
        with self._translated():
            answer = await self._sdk.chat(**self._arguments(request), stream=False)
            finish = finish_of(answer.done_reason, provider=self.name)
            if not answer.done or finish is None:
                raise DeadError("an answer that is not done", provider=self.name, type=ErrorType.BAD_RESPONSE)
            return Completion(text=answer.message.content or "", finish=finish, usage=_usage(answer))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames, the last one with finish and usage. Close it to cancel. Raises `LLMError`."""
        with self._translated():
            frames = await self._sdk.chat(**self._arguments(request), stream=True)
            async with contextlib.aclosing(frames):  # type: ignore[type-var]  # a generator, typed as an iterator
                async for frame in frames:
                    yield self._chunk(frame)

    async def aclose(self) -> None:
        await self._sdk._client.aclose()  # the SDK has no public close (0.6.3)

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        return ollama_arguments(request, self.model(request.alias), num_ctx=self.window(request.alias))

    def _chunk(self, frame: ollama.ChatResponse) -> Chunk:
        text = frame.message.content or ""
        if not frame.done:
            return Chunk(text=text)
        return Chunk(text=text, finish=finish_of(frame.done_reason, provider=self.name), usage=_usage(frame))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Foreign exceptions out, ours in. `tests/unit/llm/test_errors.py` fails on one that is not mapped."""
        try:
            yield
        except FOREIGN as exc:
            raise translate(exc, provider=self.name) from exc


def translate(exc: Exception, *, provider: str) -> LLMError:
    """The one table from the ollama SDK's and its HTTP library's exceptions to ours."""
    match exc:
        case ollama.ResponseError(status_code=-1):  # an `error` line inside a stream that began with 200
            return DeadError(exc.error, provider=provider, type=ErrorType.HTTP_5XX)
        case ollama.ResponseError(status_code=500) if BAD_SCHEMA in exc.error:
            return CallerError(exc.error, provider=provider, status=500, type=ErrorType.HTTP_4XX)
        case ollama.ResponseError():
            return from_status(exc.status_code, exc.error, provider=provider)
        case ConnectionError() | httpx.ConnectError():
            return DeadError(f"cannot connect: {exc}", provider=provider, type=ErrorType.CONNECT)
        case httpx.TimeoutException():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.TIMEOUT_CONNECT)
        case httpx.TransportError() | httpx.StreamError():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.CUT)
        case httpx.InvalidURL() | httpx.HTTPError() | ValueError():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.BAD_RESPONSE)
        case _:
            return CallerError(f"{type(exc).__name__}: {exc}", provider=provider)


def _usage(frame: ollama.ChatResponse) -> Usage:
    return Usage(prompt_tokens=frame.prompt_eval_count, completion_tokens=frame.eval_count)
