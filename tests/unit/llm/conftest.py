"""A client over two fake engines: `rig.vllm`, `rig.ollama`, `rig.client`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.hooks import RequestEvent
from services.llm.link import Link
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from services.llm.rollout import RolloutWatch
from services.llm.types import ChatRequest, End, Message, Restarted, Role, Sampling, StreamEvent, Token
from services.settings import Limits
from tests.fakes.engine import FakeEngine, serving

ALIAS = "smollm2-135m"


@dataclass
class Rig:
    """Both fakes, the client between them and what its hooks heard."""

    vllm: FakeEngine
    ollama: FakeEngine
    client: LLMClient
    links: dict[str, Link]
    registry: CollectorRegistry
    events: list[RequestEvent] = field(default_factory=list)


MakeRig = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]


def ask(**changes: object) -> ChatRequest:
    """A plain question; `changes` replace fields."""
    fields: dict[str, object] = {
        "service": "notes",
        "alias": ALIAS,
        "messages": (Message(role=Role.SYSTEM, content="Be brief."), Message(role=Role.USER, content="Hi")),
        "sampling": Sampling(max_tokens=8),
        "deadline_s": 5.0,
    }
    return ChatRequest(**{**fields, **changes})  # type: ignore[arg-type]


async def read(client: LLMClient, request: ChatRequest) -> list[StreamEvent]:
    """The whole stream."""
    return [event async for event in client.stream(request)]


def shown(events: list[StreamEvent]) -> str:
    """What a reader has in the end: a restart voids what came before."""
    text = ""
    for event in events:
        match event:
            case Token(text=more):
                text += more
            case Restarted():
                text = ""
    return text


def end(events: list[StreamEvent]) -> End:
    assert isinstance(events[-1], End)
    return events[-1]


@contextlib.asynccontextmanager
async def rig_between(
    vllm_url: str, ollama_url: str, vllm: FakeEngine, ollama: FakeEngine, *, folder: Path, pin: str, **limits: float
) -> AsyncIterator[Rig]:
    known, registry = models(), CollectorRegistry()
    providers = (
        OpenAICompat(name="vllm", url=vllm_url, models=known, connect_s=5.0),
        Ollama(name="ollama", url=ollama_url, models=known, connect_s=5.0),
    )
    events: list[RequestEvent] = []
    client = assemble(
        providers,
        service="notes",
        alias=ALIAS,
        pin=pin,
        limits=Limits(**{"first_token_s": 1.5, "stall_s": 1.5, **limits}),  # type: ignore[arg-type]
        rollout=RolloutWatch(folder / "rollout.json", every_s=0.0),
        registry=registry,
        hooks=(events.append,),
        probe_every_s=0.02,
    )
    async with client:
        yield Rig(vllm, ollama, client, dict(client.links), registry, events)


@pytest.fixture
def make_rig(tmp_path: Path) -> MakeRig:
    """Start both fakes and a client pinned to `pin` (default vllm first, Ollama behind)."""

    @contextlib.asynccontextmanager
    async def make(*, pin: str = "vllm", vllm_port: int | None = None, **limits: float) -> AsyncIterator[Rig]:
        vllm, ollama = FakeEngine(), FakeEngine(words=("Salut", " d'", "Ollama"))
        async with contextlib.AsyncExitStack() as stack:
            if vllm_port is None:
                vllm_url = await stack.enter_async_context(serving(vllm.app()))
            else:
                vllm_url = f"http://127.0.0.1:{vllm_port}"
            ollama_url = await stack.enter_async_context(serving(ollama.app()))
            rig = rig_between(vllm_url, ollama_url, vllm, ollama, folder=tmp_path, pin=pin, **limits)
            yield await stack.enter_async_context(rig)

    return make
