"""Our own client as a subject: put together as a service does it, over two upstreams."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from services.faults.judge import Ended, Mode, Observed
from services.faults.script import SCHEMA, Role
from services.faults.stage import Asked, Draw, Session
from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.errors import ErrorType, LLMError
from services.llm.hooks import RequestEvent
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from services.llm.types import (
    Answer,
    ChatRequest,
    Continued,
    End,
    Finish,
    Message,
    Outcome,
    Rescue,
    Restarted,
    Sampling,
    Token,
)
from services.llm.types import Role as Speaker
from services.settings import Limits, Settings

ALIAS = "smollm2-135m"
MAX_TOKENS = 64
CONNECT_S = 0.5
PROBE_EVERY_S = 0.2
GUARD = 10.0
"""A request that has not ended after this many deadlines hangs."""

RESCUES = {Mode.RESCUE: Rescue.RESTART, Mode.CONTINUE: Rescue.CONTINUE}
NOBODY_THERE = frozenset({ErrorType.CONNECT, ErrorType.TIMEOUT_CONNECT})


class Ours:
    """The subject `ours`. Same provider asked again: never."""

    name = "ours"
    retries = 0
    modes = frozenset(Mode)

    @contextlib.asynccontextmanager
    async def open(self, urls: Mapping[Role, str], draw: Draw) -> AsyncIterator[Session]:
        events: list[RequestEvent] = []
        known = models()
        client = assemble(
            (
                OpenAICompat(name=Role.PRIMARY, url=urls[Role.PRIMARY], models=known, connect_s=CONNECT_S),
                Ollama(name=Role.FALLBACK, url=urls[Role.FALLBACK], models=known, connect_s=CONNECT_S),
            ),
            service="faults",
            alias=ALIAS,
            pin=Role.PRIMARY,
            limits=Limits(
                deadline_s=draw.deadline_s,
                connect_s=CONNECT_S,
                first_token_s=draw.first_token_s,
                stall_s=draw.stall_s,
            ),
            hooks=(events.append,),
            probe_every_s=PROBE_EVERY_S,
        )
        async with client:
            yield OurSession(client, events)


def client_of(settings: Settings, alias: str) -> LLMClient:
    """A client over the engines of the settings, vLLM first whatever the rollout file says."""
    key = settings.vllm_api_key.value if settings.vllm_api_key else None
    connect_s, known = settings.limits.connect_s, models(settings.models_file)
    return assemble(
        (
            OpenAICompat(name="vllm", url=settings.vllm_url, models=known, connect_s=connect_s, api_key=key),
            Ollama(name="ollama", url=settings.ollama_url, models=known, connect_s=connect_s),
        ),
        service="faults",
        alias=alias,
        pin="vllm",
        limits=settings.limits,
    )


class OurSession:
    """One client; `events` are what it told its hooks."""

    def __init__(self, client: LLMClient, events: list[RequestEvent]) -> None:
        self.client = client
        self._events = events

    def counted(self) -> Mapping[str, int]:
        return Counter(
            attempt.provider
            for event in self._events
            for attempt in event.attempts
            if attempt.error is None or attempt.error.type not in NOBODY_THERE
        )

    async def ask(self, asked: Asked) -> Observed:
        request = _request(asked)
        began = time.monotonic()
        try:
            async with asyncio.timeout(asked.deadline_s * GUARD):
                told = await (self._chat(request) if asked.mode is Mode.CHAT else self._stream(request))
        except TimeoutError:
            told = Observed(ended=Ended.HANGS, took_s=0.0, detail=f"no end within {GUARD:g} deadlines")
        except LLMError as exc:
            told = Observed(
                ended=Ended.ERROR, took_s=0.0, kind=str(exc.kind), detail=str(exc), retry_after_s=exc.retry_after_s
            )
        except Exception as exc:  # noqa: BLE001 - what the client must never let out is a finding, not our own failure
            told = Observed(ended=Ended.CRASHED, took_s=0.0, detail=repr(exc))
        return self._completed(told, request, time.monotonic() - began)

    async def _chat(self, request: ChatRequest) -> Observed:
        answer = await self.client.chat(request)
        return _answered(answer, answer.text)

    async def _stream(self, request: ChatRequest) -> Observed:
        """As a reader sees it: tokens, thrown away where it is told that they are void."""
        shown: list[str] = []
        continued = False
        async with contextlib.aclosing(self.client.stream(request)) as events:
            async for event in events:
                match event:
                    case Token(text=text):
                        shown.append(text)
                    case Restarted():
                        shown.clear()
                    case Continued():
                        continued = True
                    case End(outcome=outcome, answer=answer, error=error):
                        told = _ended(outcome, answer, error, "".join(shown))
                        return replace(told, continued=continued)
        return Observed(ended=Ended.CRASHED, took_s=0.0, detail="a stream without an `End`")

    def _completed(self, told: Observed, request: ChatRequest, took_s: float) -> Observed:
        attempts = Counter(a.provider for e in self._events if e.request_id == request.request_id for a in e.attempts)
        return replace(told, took_s=took_s, attempts=attempts)


def _ended(outcome: Outcome, answer: Answer, error: LLMError | None, shown: str) -> Observed:
    if shown != answer.text:
        detail = f"shown {shown!r}, but the answer says {answer.text!r}"
        return Observed(ended=Ended.CRASHED, took_s=0.0, detail=detail)
    if outcome is Outcome.PARTIAL:
        kind = str(error.kind) if error else ""
        return Observed(ended=Ended.PARTIAL, took_s=0.0, text=shown, kind=kind, detail=str(error))
    return _answered(answer, shown)


def _answered(answer: Answer, text: str) -> Observed:
    ended = Ended.FILTERED if answer.finish is Finish.FILTERED else Ended.ANSWER
    return Observed(ended=ended, took_s=0.0, text=text, provider=answer.provenance.provider)


def _request(asked: Asked) -> ChatRequest:
    return ChatRequest(
        service="faults",
        alias=ALIAS,
        messages=(Message(role=Speaker.USER, content=asked.prompt),),
        sampling=Sampling(max_tokens=MAX_TOKENS),
        deadline_s=asked.deadline_s,
        schema=SCHEMA if asked.schema else None,
        rescue=RESCUES.get(asked.mode, Rescue.NONE),
        request_id=uuid.uuid4().hex,
    )
