"""Ollama by its own SDK and native API, because its OpenAI-compatible API cannot be told the context window."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx
import ollama

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
from services.llm.mapping import finish_of, name_of, ollama_arguments, refusal
from services.llm.providers.keepalive_httpx import Replaying
from services.llm.registry import Model
from services.llm.spaces import EmbedRequest, Vectors
from services.llm.types import ChatRequest, Chunk, Completion, Finish, ToolCall, Usage

CALLERS = ("invalid JSON schema in format", "invalid format:", "invalid option provided", 'option "')
"""How Ollama begins what it says, with 500 or inside a stream, to a request that it cannot use: not its illness."""

TOO_LONG = ("exceeds maximum context length", "exceeds the context length", "exceeds the available context size")
"""What Ollama says, with 400 or 500, to a text that it was told not to cut."""

BY_ITSELF = {"Connection": "close"}
"""For what is asked beside the requests: no connection is left that a request would take for one of its own kind."""

KEPT_FOR_S = 60.0
"""Seconds that an idle connection is kept; Ollama itself does not close them."""

FOREIGN = (
    ollama.ResponseError,
    ollama.RequestError,
    ConnectionError,
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    ValueError,
    AttributeError,  # the SDK asks any JSON for `.get`
    TypeError,
    LookupError,
    RecursionError,
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
        pool = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_FOR_S)
        inner = transport or httpx.AsyncHTTPTransport(limits=pool, trust_env=False)
        self._transport = Replaying(inner)
        self._sdk = ollama.AsyncClient(
            host=url,
            follow_redirects=False,  # a prompt goes where the settings say, and nowhere else
            timeout=timeout,
            trust_env=False,
            transport=self._transport,
            event_hooks={"response": [_read_by_line_feeds]},
        )

    @property
    def replays(self) -> int:
        """Requests sent a second time, because a kept connection was gone."""
        return self._transport.replays

    def model(self, alias: str) -> str:
        return name_of(self._models[alias], engine=self.engine)

    def window(self, alias: str) -> int:
        return self._models[alias].context

    def refusal(self, request: ChatRequest) -> str | None:
        """Why this request cannot be honoured here; None when it can."""
        return refusal(request, self._models[request.alias], engine=self.engine)

    def dropped(self, _request: ChatRequest) -> tuple[str, ...]:
        """Ollama has a word for every parameter; what it would ignore is refused."""
        return ()

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
            calls = _calls(answer)
            return Completion(
                text=answer.message.content or "",
                finish=Finish.TOOLS if calls else finish,
                usage=_usage(answer),
                tool_calls=calls,
                thinking=answer.message.thinking or "",
            )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames, the last one with finish and usage. Close it to cancel. Raises `LLMError`."""
        with self._translated():
            frames = await self._sdk.chat(**self._arguments(request), stream=True)
            calls: list[ToolCall] = []
            async with contextlib.aclosing(frames):  # type: ignore[type-var]  # a generator, typed as an iterator
                async for frame in frames:
                    calls += _calls(frame, after=len(calls))
                    yield self._chunk(frame, calls)

    def embeds(self, alias: str) -> bool:
        """Whether the alias names a model here that embeds."""
        model = self._models[alias]
        return model.space is not None and self.engine in model.names

    async def embed(self, request: EmbedRequest) -> Vectors:
        """One vector per text, by `/api/embed`: the older `/api/embeddings` does not normalise. Raises `LLMError`."""
        window = self._models[request.alias].context
        with self._translated():
            answer = await self._sdk.embed(
                model=self.model(request.alias),
                input=list(request.texts),
                truncate=False,
                options={"num_ctx": window},
                keep_alive=-1,
            )
            usage = Usage(prompt_tokens=answer.prompt_eval_count)
            return Vectors(rows=tuple(tuple(row) for row in answer.embeddings), usage=usage)

    async def is_loaded(self, alias: str) -> bool:
        """Whether the model is in memory, by `/api/ps`: a first request would pay for loading it. Raises `LLMError`."""
        with self._translated():
            running = await self._sdk.ps()
            return any(self.model(alias) in (m.model, m.name) for m in running.models)

    async def weights(self, alias: str) -> str:
        """The digest of the model's manifest, by `/api/tags`; empty where it is not there. Raises `LLMError`."""
        with self._translated():
            name = self.model(alias)
            answer = await self._sdk._client.get("/api/tags", headers=BY_ITSELF)  # the SDK's own call takes no headers
            answer.raise_for_status()
            listed = ollama.ListResponse(**answer.json()).models
            return next((m.digest or "" for m in listed if m.model in (name, f"{name}:latest")), "")

    async def aclose(self) -> None:
        await self._sdk._client.aclose()  # the SDK has no public close (0.6.3)

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        return ollama_arguments(request, self._models[request.alias])

    def _chunk(self, frame: ollama.ChatResponse, calls: Sequence[ToolCall]) -> Chunk:
        text, thinking = frame.message.content or "", frame.message.thinking or ""
        if not frame.done:
            return Chunk(text=text, thinking=thinking, at_work=bool(thinking or frame.message.tool_calls))
        finish = finish_of(frame.done_reason, provider=self.name)
        if calls and finish is Finish.STOP:
            finish = Finish.TOOLS
        return Chunk(text=text, thinking=thinking, finish=finish, usage=_usage(frame), tool_calls=tuple(calls))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Foreign exceptions out, ours in. `tests/unit/llm/test_errors.py` fails on one that is not mapped."""
        try:
            yield
        except FOREIGN as exc:
            raise translate(exc, provider=self.name) from exc


async def _read_by_line_feeds(response: httpx.Response) -> None:
    """Cut frames where Ollama ends them. The library also cuts at U+0085, which Go leaves as it is inside a text."""
    response.aiter_lines = functools.partial(_lines, response)  # type: ignore[method-assign]


async def _lines(response: httpx.Response) -> AsyncIterator[str]:
    rest = ""
    async for some in response.aiter_text():
        *lines, rest = (rest + some).split("\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def translate(exc: Exception, *, provider: str) -> LLMError:
    """The one table from the ollama SDK's and its HTTP library's exceptions to ours."""
    match exc:
        case ollama.ResponseError():
            return _said_no(exc, provider)
        case ConnectionError() | httpx.ConnectError():
            return DeadError(f"cannot connect: {exc}", provider=provider, type=ErrorType.CONNECT)
        case httpx.TimeoutException():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.TIMEOUT_CONNECT)
        case httpx.TransportError() | httpx.StreamError():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.CUT)
        case httpx.InvalidURL() | httpx.HTTPError():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.BAD_RESPONSE)
        case ValueError() | AttributeError() | TypeError() | LookupError() | RecursionError():
            return DeadError(f"{type(exc).__name__}: {exc}", provider=provider, type=ErrorType.BAD_RESPONSE)
        case ollama.RequestError():
            return CallerError(f"refused by the SDK: {exc}", provider=provider)
        case _:
            return CallerError(f"{type(exc).__name__}: {exc}", provider=provider)


def _said_no(exc: ollama.ResponseError, provider: str) -> LLMError:
    """What an error says comes before its status: inside a stream that began with 200 it has none (-1)."""
    said, status = str(exc.error), exc.status_code if exc.status_code > 0 else None
    if any(words in said for words in TOO_LONG):
        return ContextTooLong(said, provider=provider, status=status)
    if status in (None, 500) and said.startswith(CALLERS):
        return CallerError(said, provider=provider, status=status, type=ErrorType.HTTP_4XX)
    if status is None:
        return DeadError(said, provider=provider, type=ErrorType.HTTP_5XX)
    if status == 404 and "model" not in said:  # the web framework's: a path, not a model
        return ConfigError(f"no such path: {said}", provider=provider, status=status, type=ErrorType.HTTP_4XX)
    return from_status(status, said, provider=provider, retry_after_s=_retry_after(exc))


def _retry_after(exc: ollama.ResponseError) -> float | None:
    """Seconds. The SDK keeps the answer's headers only in what it was handling when it raised."""
    cause = exc.__context__
    text = cause.response.headers.get("retry-after", "") if isinstance(cause, httpx.HTTPStatusError) else ""
    return seconds_of(text)


def _usage(frame: ollama.ChatResponse) -> Usage:
    return Usage(prompt_tokens=frame.prompt_eval_count, completion_tokens=frame.eval_count)


def _calls(frame: ollama.ChatResponse, *, after: int = 0) -> tuple[ToolCall, ...]:
    """Tool calls come whole and without an id; their number is one."""
    calls = [call.function for call in frame.message.tool_calls or ()]
    return tuple(
        ToolCall(id=f"call_{number}", name=call.name, arguments=call.arguments)
        for number, call in enumerate(calls, start=after)
    )
