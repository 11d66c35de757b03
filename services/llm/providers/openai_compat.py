"""Any OpenAI-compatible server, by the openai SDK: vLLM here, a remote one with another URL and key."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from openai.types.completion_usage import CompletionUsage

from services.llm.errors import CallerError, ContextTooLong, DeadError, ErrorType, LLMError, from_status
from services.llm.mapping import finish_of, openai_arguments
from services.llm.registry import Model
from services.llm.types import ChatRequest, Chunk, Completion, Message, Usage

PROMPT_TOO_LONG_PARAM = "input_tokens"
"""vLLM's `error.param` when the prompt does not fit (recorded from 0.32)."""

FOREIGN = (openai.OpenAIError, httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, ValueError, KeyError)
"""What the SDK and its HTTP library raise; `translate` has a row for each."""


class OpenAICompat:
    """`models` maps aliases to registry entries; `connect_s` in seconds; no other time limit is set here."""

    engine = "vllm"

    def __init__(
        self,
        *,
        name: str,
        url: str,
        models: Mapping[str, Model],
        connect_s: float,
        api_key: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._models = models
        self._url = url
        timeout = httpx2.Timeout(None, connect=connect_s)
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False, transport=transport)
        self._sdk = openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=api_key or "none",
            max_retries=0,
            timeout=timeout,
            http_client=self._http,
        )

    def model(self, alias: str) -> str:
        return self._models[alias].names["vllm"]

    def window(self, alias: str) -> int:
        return self._models[alias].context

    @property
    def refuses_long_prompts(self) -> bool:
        """vLLM answers 400 to a prompt that does not fit, so it needs no guard in front."""
        return True

    async def chat(self, request: ChatRequest) -> Completion:
        """One whole answer. Raises `LLMError`."""
        with self._translated():
            answer = await self._sdk.chat.completions.create(**openai_arguments(request, self.model(request.alias)))
            if not answer.choices:
                raise self._nonsense("an answer without choices")
            choice = answer.choices[0]
            finish = finish_of(choice.finish_reason, provider=self.name)
            if finish is None:
                raise self._nonsense("an answer without finish_reason")
            return Completion(text=choice.message.content or "", finish=finish, usage=_usage(answer.usage))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames, the last ones with finish and usage. Close it to cancel. Raises `LLMError`."""
        arguments = openai_arguments(request, self.model(request.alias))
        with self._translated():
            frames = await self._sdk.chat.completions.create(
                **arguments, stream=True, stream_options={"include_usage": True}
            )
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    yield self._chunk(frame)

    async def count_tokens(self, alias: str, messages: tuple[Message, ...]) -> int:
        """Tokens of the rendered prompt, by vLLM's own `/tokenize`. Raises `LLMError`."""
        body = {
            "model": self.model(alias),
            "messages": [{"role": str(m.role), "content": m.content} for m in messages],
        }
        with self._translated():
            answer = await self._http.post(f"{self._url}/tokenize", json=body)
            if answer.status_code != 200:
                raise from_status(answer.status_code, answer.text[:200], provider=self.name)
            return int(answer.json()["count"])

    async def aclose(self) -> None:
        await self._sdk.close()

    def _chunk(self, frame: ChatCompletionChunk) -> Chunk:
        if not frame.choices:
            return Chunk(usage=_usage(frame.usage) if frame.usage else None)
        choice = frame.choices[0]
        return Chunk(
            text=choice.delta.content or "",
            finish=finish_of(choice.finish_reason, provider=self.name),
            usage=_usage(frame.usage) if frame.usage else None,
        )

    def _nonsense(self, detail: str) -> DeadError:
        return DeadError(detail, provider=self.name, type=ErrorType.BAD_RESPONSE)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Foreign exceptions out, ours in. `tests/unit/llm/test_errors.py` fails on one that is not mapped."""
        try:
            yield
        except FOREIGN as exc:
            raise translate(exc, provider=self.name) from exc


def translate(exc: Exception, *, provider: str) -> LLMError:
    """The one table from the openai SDK's and its HTTP library's exceptions to ours."""
    match exc:
        case openai.APIStatusError():
            return _status_error(exc, provider)
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.TIMEOUT_CONNECT)
        case openai.APIConnectionError() | httpx2.ConnectError():
            return DeadError(_cause(exc), provider=provider, type=_connection_type(exc))
        case openai.APIResponseValidationError():
            return DeadError(str(exc), provider=provider, type=ErrorType.BAD_RESPONSE)
        case openai.APIError():  # an `error` event inside a stream that began with 200
            return DeadError(exc.message, provider=provider, type=ErrorType.HTTP_5XX)
        case httpx2.TransportError() | httpx2.StreamError():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.CUT)
        case httpx2.InvalidURL() | httpx2.HTTPError() | ValueError() | KeyError():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.BAD_RESPONSE)
        case _:
            return CallerError(f"{type(exc).__name__}: {exc}", provider=provider)


def _status_error(exc: openai.APIStatusError, provider: str) -> LLMError:
    body: Any = exc.body if isinstance(exc.body, dict) else {}
    if exc.status_code == 400 and body.get("param") == PROMPT_TOO_LONG_PARAM:
        return ContextTooLong(str(body.get("message", exc.message)), provider=provider, status=400)
    detail = str(body.get("message") or exc.message)
    return from_status(exc.status_code, detail, provider=provider, retry_after_s=_retry_after(exc))


def _retry_after(exc: openai.APIStatusError) -> float | None:
    text = exc.response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _connection_type(exc: Exception) -> ErrorType:
    """Refused before a byte went out, or cut on the way."""
    cause = exc.__cause__ if isinstance(exc, openai.APIConnectionError) else exc
    return ErrorType.CONNECT if isinstance(cause, httpx2.ConnectError) else ErrorType.CUT


def _cause(exc: Exception) -> str:
    inner = exc.__cause__ or exc
    return f"{type(inner).__name__}: {inner}"


def _usage(usage: CompletionUsage | None) -> Usage:
    if usage is None:
        return Usage()
    return Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
