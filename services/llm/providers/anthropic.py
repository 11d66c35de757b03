"""Anthropic's Messages API by its own SDK: a last resort, imported only where a service is set up for it.

The SDK sends, authenticates and raises; the answers are read by `anthropic_wire`, as those of the other adapters are.
Redirects are not followed and no proxy is asked: prompts go to the configured host or nowhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import anthropic
import httpx2

from services.llm.errors import (
    CallerError,
    ConfigError,
    ContextTooLong,
    DeadError,
    ErrorType,
    LLMError,
    from_status,
    seconds_of,
)
from services.llm.providers import anthropic_request
from services.llm.providers.anthropic_wire import EventReader, completion_of
from services.llm.providers.keepalive import Replaying
from services.llm.providers.sse import data_of
from services.llm.registry import Model
from services.llm.types import ChatRequest, Chunk, Completion

TOO_LONG = ("prompt is too long", "exceed context limit", "maximum context length")
"""What the API (the first two) and vLLM's copy of it say, with 400, to a prompt that does not fit. No code tells it."""

FOREIGN = (
    anthropic.AnthropicError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What the SDK and its HTTP library raise; `translate` has a row for each."""

KEPT_FOR_S = 4.0
"""Seconds that an idle connection is kept, as for any server of which nothing is known."""


class _Stream(anthropic.AsyncStream[Any]):
    """Only its `response` is used."""


class Anthropic:
    """`models` maps aliases to registry entries; `connect_s` in seconds; no other time limit is set here."""

    engine = anthropic_request.ENGINE
    cold_start_s = 0.0

    def __init__(
        self,
        *,
        name: str,
        url: str,
        models: Mapping[str, Model],
        connect_s: float,
        api_key: str,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._models = models
        timeout = httpx2.Timeout(None, connect=connect_s)
        pool = httpx2.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=KEPT_FOR_S)
        inner = transport or httpx2.AsyncHTTPTransport(limits=pool, trust_env=False)
        self._sdk = anthropic.AsyncAnthropic(
            base_url=url,
            api_key=api_key,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,
            http_client=httpx2.AsyncClient(timeout=timeout, trust_env=False, transport=Replaying(inner)),
        )

    def model(self, alias: str) -> str:
        return self._models[alias].names[self.engine]

    def window(self, alias: str) -> int:
        return self._models[alias].context

    def refusal(self, request: ChatRequest) -> str | None:
        """Why this request cannot be honoured here; None when it can."""
        return anthropic_request.refusal(request, self._models[request.alias])

    def dropped(self, request: ChatRequest) -> tuple[str, ...]:
        """The sampling parameters that the API cannot be told, by name."""
        return anthropic_request.dropped(request)

    @property
    def refuses_long_prompts(self) -> bool:
        """The API answers 400 to a prompt that does not fit, so it needs no guard in front."""
        return True

    async def chat(self, request: ChatRequest) -> Completion:
        """One whole answer. Raises `LLMError`."""
        with self._translated():
            body = anthropic_request.arguments(request, self._models[request.alias])
            answer = await self._sdk.post("/v1/messages", cast_to=httpx2.Response, body=body)
            return completion_of(answer.content, provider=self.name)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames, the last one with finish and usage. Close it to cancel. Raises `LLMError`."""
        with self._translated():
            body = {**anthropic_request.arguments(request, self._models[request.alias]), "stream": True}
            opened = await self._sdk.post("/v1/messages", cast_to=object, body=body, stream=True, stream_cls=_Stream)
            events = EventReader(self.name)
            async with contextlib.aclosing(opened.response):
                async for data in data_of(opened.response.aiter_bytes()):
                    if (chunk := events.chunk(data)) is not None:
                        yield chunk
                    if events.ended:
                        return

    async def reachable(self, alias: str) -> None:
        """Returns where the API answers, takes the key and has the model; costs nothing. Raises `LLMError`."""
        body = {"model": self.model(alias), "messages": [{"role": "user", "content": "Hi"}]}
        with self._translated():
            await self._sdk.post("/v1/messages/count_tokens", cast_to=httpx2.Response, body=body)

    async def aclose(self) -> None:
        await self._sdk.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Foreign exceptions out, ours in. `test_errors_anthropic.py` fails on one that is not mapped."""
        try:
            yield
        except FOREIGN as exc:
            raise translate(exc, provider=self.name) from exc


def translate(exc: Exception, *, provider: str) -> LLMError:
    """The one table from the anthropic SDK's and its HTTP library's exceptions to ours."""
    match exc:
        case anthropic.APIStatusError():
            return _status_error(exc, provider)
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.TIMEOUT_CONNECT)
        case anthropic.APIConnectionError() | httpx2.ConnectError():
            return DeadError(_cause(exc), provider=provider, type=_connection_type(exc))
        case anthropic.APIError():
            return DeadError(str(exc), provider=provider, type=ErrorType.BAD_RESPONSE)
        case anthropic.CredentialsError() | anthropic.WorkloadIdentityError():
            return ConfigError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.HTTP_4XX)
        case httpx2.TransportError() | httpx2.StreamError():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.CUT)
        case anthropic.AnthropicError():
            return CallerError(f"{type(exc).__name__}: {exc}", provider=provider)
        case _:  # its address is no address, or what it says is not of its own format
            return DeadError(_cause(exc), provider=provider, type=ErrorType.BAD_RESPONSE)


def _status_error(exc: anthropic.APIStatusError, provider: str) -> LLMError:
    detail, status = exc.api_message or exc.message, exc.status_code
    if status == 400 and any(words in detail for words in TOO_LONG):
        return ContextTooLong(detail, provider=provider, status=status)
    return from_status(status, detail, provider=provider, retry_after_s=_retry_after(exc))


def _retry_after(exc: anthropic.APIStatusError) -> float | None:
    text = exc.response.headers.get("retry-after", "")
    return seconds_of(text)


def _connection_type(exc: Exception) -> ErrorType:
    """Refused before a byte went out, or cut on the way."""
    cause = exc.__cause__ if isinstance(exc, anthropic.APIConnectionError) else exc
    return ErrorType.CONNECT if isinstance(cause, httpx2.ConnectError) else ErrorType.CUT


def _cause(exc: Exception) -> str:
    inner = exc.__cause__ or exc
    return f"{type(inner).__name__}: {inner}"
