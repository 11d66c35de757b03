"""Any OpenAI-compatible server, by the openai SDK: vLLM here, a remote one with another URL and key.

The SDK sends, authenticates and raises; the answers are read by `openai_wire`, because building its typed objects costs
several times the rest of a call (`cutover overhead`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2
import openai

from services.llm.errors import CallerError, ConfigError, DeadError, ErrorType, LLMError, seconds_of
from services.llm.mapping import headers_of, name_of, openai_arguments, refusal
from services.llm.providers.keepalive import Replaying
from services.llm.providers.openai_wire import DONE, FrameReader, completion_of, error_of, vectors_of
from services.llm.providers.sse import data_of
from services.llm.registry import Model
from services.llm.spaces import EmbedRequest, Vectors
from services.llm.types import ChatRequest, Chunk, Completion, Message

FOREIGN = (
    openai.OpenAIError,
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

BY_ITSELF = {"Connection": "close"}
"""For what is asked beside the requests: no connection is left that a request would take for one of its own kind."""

NO_LIST = (404, 405, 501)
"""Statuses of a server that does not list its models."""

KEPT_FOR_S = 4.0
"""Seconds that an idle connection is kept; uvicorn, under vLLM, closes it after 5."""


END_S = 0.2
"""Seconds that the end of a body may take behind its last event; it comes in the same packet from vLLM."""


class _Stream(openai.AsyncStream[Any]):
    """Only its `response` is used."""


class OpenAICompat:
    """`models` maps aliases to registry entries; `connect_s` in seconds; no other time limit is set here.

    `cold_start_s` is what its first token may take where the server may have to be started first; 0 for one that runs.
    """

    engine = "vllm"

    def __init__(
        self,
        *,
        name: str,
        url: str,
        models: Mapping[str, Model],
        connect_s: float,
        api_key: str | None = None,
        cold_start_s: float = 0.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.cold_start_s = cold_start_s
        self._models = models
        self._url = url
        timeout = httpx2.Timeout(None, connect=connect_s)
        pool = httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=KEPT_FOR_S)
        inner = transport or httpx2.AsyncHTTPTransport(limits=pool, trust_env=False)
        self._transport = Replaying(inner)
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=False, transport=self._transport)
        self._sdk = openai.AsyncOpenAI(
            base_url=f"{url}/v1",
            api_key=api_key or "none",
            max_retries=0,
            timeout=timeout,
            http_client=self._http,
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
        """vLLM has a word for every parameter."""
        return ()

    @property
    def refuses_long_prompts(self) -> bool:
        """vLLM answers 400 to a prompt that does not fit, so it needs no guard in front."""
        return True

    async def chat(self, request: ChatRequest) -> Completion:
        """One whole answer. Raises `LLMError`."""
        with self._translated():
            body, options = self._call(request)
            answer = await self._sdk.post("/chat/completions", cast_to=httpx2.Response, body=body, options=options)
            return completion_of(answer.content, provider=self.name)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """The answer in frames, the last ones with finish and usage. Close it to cancel. Raises `LLMError`."""
        with self._translated():
            body, options = self._call(request)
            body.update(stream=True, stream_options={"include_usage": True})
            opened = await self._sdk.post(
                "/chat/completions", cast_to=object, body=body, options=options, stream=True, stream_cls=_Stream
            )
            frames = FrameReader(self.name)
            events = data_of(opened.response.aiter_bytes())
            async with contextlib.aclosing(opened.response):
                async for data in events:
                    if data == DONE:
                        await _to_the_end(events)
                        return
                    yield frames.chunk(data)

    def embeds(self, alias: str) -> bool:
        """Whether the alias names a model here that embeds."""
        model = self._models[alias]
        return model.space is not None and self.engine in model.names

    async def embed(self, request: EmbedRequest) -> Vectors:
        """One vector per text. Raises `LLMError`."""
        body = {"model": self.model(request.alias), "input": list(request.texts), "encoding_format": "float"}
        with self._translated():
            told: Any = {"headers": headers_of(request)}
            answer = await self._sdk.post("/embeddings", cast_to=httpx2.Response, body=body, options=told)
            return vectors_of(answer.content, provider=self.name)

    async def count_tokens(self, alias: str, messages: tuple[Message, ...]) -> int:
        """Tokens of the rendered prompt, by vLLM's own `/tokenize`. Raises `LLMError`."""
        body = {
            "model": self.model(alias),
            "messages": [{"role": str(m.role), "content": m.content} for m in messages],
        }
        with self._translated():
            answer = await self._http.post(f"{self._url}/tokenize", json=body, headers=self._sdk.auth_headers)
            if answer.status_code != 200:
                said = answer.json()
                raise error_of(answer.status_code, said.get("error", said), provider=self.name)
            return int(answer.json()["count"])

    async def reachable(self, alias: str) -> None:
        """Returns where the server answers, takes the key and lists the model; no prompt is sent. Raises `LLMError`.

        One that answers and has no such list, as a proxy may, counts as there: the next request will tell.
        """
        try:
            with self._translated():
                answer = await self._sdk.get("/models", cast_to=httpx2.Response, options={"headers": BY_ITSELF})
                served = [entry["id"] for entry in answer.json()["data"]]
        except ConfigError as exc:
            if exc.status in NO_LIST:
                return
            raise
        if self.model(alias) not in served:
            detail = f"no model {self.model(alias)!r} there; it serves: {', '.join(map(str, served))}"
            raise ConfigError(detail, provider=self.name, type=ErrorType.MODEL_NOT_FOUND)

    async def weights(self, alias: str) -> str:
        """What the server says that it loaded (`root` of `/v1/models`); empty where it does not. Raises `LLMError`."""
        with self._translated():
            answer = await self._sdk.get("/models", cast_to=httpx2.Response, options={"headers": BY_ITSELF})
            name = self.model(alias)
            roots = [entry.get("root") for entry in answer.json()["data"] if entry.get("id") == name]
        return f"root:{roots[0]}" if roots and isinstance(roots[0], str) and roots[0] else ""

    async def aclose(self) -> None:
        await self._sdk.close()

    def _call(self, request: ChatRequest) -> tuple[dict[str, Any], Any]:
        """Body and options of one POST: what the SDK's `create` would make of the same arguments."""
        arguments = openai_arguments(request, self._models[request.alias])
        headers, extra = arguments.pop("extra_headers"), arguments.pop("extra_body")
        return {**arguments, **extra}, {"headers": headers}

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Foreign exceptions out, ours in. `tests/unit/llm/test_errors.py` fails on one that is not mapped."""
        try:
            yield
        except FOREIGN as exc:
            raise translate(exc, provider=self.name) from exc


async def _to_the_end(events: AsyncIterator[bytes]) -> None:
    """Read what is left behind [DONE], the body's own end: only then is its connection kept for the next request."""
    with contextlib.suppress(TimeoutError, httpx2.HTTPError, ValueError):
        async with asyncio.timeout(END_S):
            async for _ in events:
                pass


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
        case httpx2.InvalidURL() | httpx2.HTTPError():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.BAD_RESPONSE)
        case ValueError() | LookupError() | TypeError() | AttributeError() | RecursionError():
            return DeadError(_cause(exc), provider=provider, type=ErrorType.BAD_RESPONSE)
        case _:
            return CallerError(f"{type(exc).__name__}: {exc}", provider=provider)


def _status_error(exc: openai.APIStatusError, provider: str) -> LLMError:
    return error_of(
        exc.status_code, exc.body, provider=provider, detail=exc.message, retry_after_s=_retry_after(exc.response)
    )


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds; None where there is no such header or it holds a date."""
    text = response.headers.get("retry-after", "")
    return seconds_of(text)


def _connection_type(exc: Exception) -> ErrorType:
    """Refused before a byte went out, or cut on the way."""
    cause = exc.__cause__ if isinstance(exc, openai.APIConnectionError) else exc
    return ErrorType.CONNECT if isinstance(cause, httpx2.ConnectError) else ErrorType.CUT


def _cause(exc: Exception) -> str:
    inner = exc.__cause__ or exc
    return f"{type(inner).__name__}: {inner}"
