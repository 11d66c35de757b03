"""A client of the LLM port that answers from a script, and what tests need to serve an app with it in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI

from services.llm.errors import ErrorType, LLMError, PartialError
from services.llm.types import (
    Answer,
    Attempt,
    ChatRequest,
    End,
    Finish,
    Outcome,
    Provenance,
    StreamEvent,
    Token,
    Usage,
)
from services.ner.grounding import Mention
from services.ner.spacy_names import Names

TOKEN = "an-admin-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Hang:
    """In a script: stay silent until somebody closes or cancels."""


class Notice:
    """In a script: let whoever watches `hanging` know, and go on."""


Step = StreamEvent | Exception | Hang | Notice


class ScriptedClient:
    """Gives `answers` in order, the last one again and again, and `steps` to whoever streams."""

    def __init__(self) -> None:
        self.answers: list[Answer | Exception | Hang] = [answer("An answer.")]
        self.steps: Sequence[Step] = ended(answer("An answer."))
        self.requests: list[ChatRequest] = []
        self.streams: list[AsyncGenerator[StreamEvent, None]] = []
        self.not_ready: str | None = None
        self.is_open = False
        self.left_early = asyncio.Event()
        self.hanging = asyncio.Event()

    async def __aenter__(self) -> ScriptedClient:
        self.is_open = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_open = False

    async def chat(self, request: ChatRequest) -> Answer:
        self.requests.append(request)
        step = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(step, Hang):
            await self._hang()
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, Answer)
        return step

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Kept here as well, so that only an explicit close ends it, never the garbage collector."""
        self.requests.append(request)
        self.streams.append(self._stream())
        return self.streams[-1]

    async def _stream(self) -> AsyncGenerator[StreamEvent, None]:
        try:
            for step in self.steps:
                if isinstance(step, Hang):
                    await self._hang()
                elif isinstance(step, Notice):
                    self.hanging.set()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        except GeneratorExit:
            self.left_early.set()
            raise

    async def ready(self) -> str | None:
        return self.not_ready

    def status(self) -> Mapping[str, Any]:
        return {"pin": "auto", "stage": "ollama", "share": 0.0, "providers": {"ollama": {"breaker": "closed"}}}

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left_early.set()
            raise


def answer(
    text: str,
    *,
    provider: str = "vllm",
    finish: Finish = Finish.STOP,
    error: LLMError | None = None,
    model: str = "tiny",
    digest: str = "",
) -> Answer:
    """What `provider` answered, after an attempt elsewhere that ended in `error`."""
    attempts = [Attempt(provider=provider, model=model, error=None, duration_s=0.5, first_token_s=0.1)]
    if error is not None:
        attempts.insert(0, Attempt(provider="vllm", model="tiny", error=error, duration_s=0.2))
    return Answer(
        text=text,
        finish=finish,
        usage=Usage(prompt_tokens=20, completion_tokens=3),
        provenance=Provenance(
            request_id="req-1",
            provider=provider,
            engine=provider,
            model=model,
            digest=digest,
            attempts=tuple(attempts),
            fallback_reason=str(error.type) if error else None,
        ),
        duration_s=0.7,
        first_token_s=0.3,
    )


def ended(final: Answer, *, outcome: Outcome = Outcome.COMPLETE, error: LLMError | None = None) -> list[Step]:
    """The script of a stream that says `final` word by word."""
    tokens = [Token(text=word) for word in final.text.split(" ")]
    return [*tokens, End(outcome=outcome, answer=final, error=error)]


def cut(text: str) -> PartialError:
    """The error of a stream that broke after `text`."""
    return PartialError("connection reset", text=text, provider="vllm", type=ErrorType.CUT)


def seeing_names(find: Callable[[str], tuple[Mention, ...]]) -> Names:
    """Who sees in a text what `find` says, in the place of spaCy."""
    return Names(find=find, program="spacy", program_version="9.9", model="small", model_version="1.2.3")


def first_places(*names: tuple[str, str]) -> Callable[[str], tuple[Mention, ...]]:
    """Of each name and its type the first place in a text that has it."""

    def find(text: str) -> tuple[Mention, ...]:
        there = [(name, kind, text.index(name)) for name, kind in names if name in text]
        return tuple(Mention(text=name, type=kind, start=at, end=at + len(name)) for name, kind, at in there)

    return find


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A served app: `http` to ask it, `llm` to script what its model says."""

    app: FastAPI
    http: httpx2.AsyncClient
    llm: ScriptedClient


@asynccontextmanager
async def served(app: FastAPI, llm: ScriptedClient) -> AsyncIterator[Desk]:
    """`app` with its lifespan around it. Unexpected errors come back as the 500 that a caller would see."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield Desk(app=app, http=http, llm=llm)


def events(body: str) -> list[tuple[str, Any]]:
    """The name and the data of each server-sent event of `body`."""
    found = []
    for frame in body.strip().split("\n\n"):
        name, data = frame.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def leaving(app: FastAPI, path: str, body: Mapping[str, Any], *, when: asyncio.Event) -> list[dict[str, Any]]:
    """What `app` sent to a caller who posts `body` and leaves at `when`."""
    sent: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}
        await when.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))
        await asyncio.sleep(0)  # a server's send lets others run as well

    headers = [(b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("service", 80),
    }
    await app(scope, receive, send)
    return sent
