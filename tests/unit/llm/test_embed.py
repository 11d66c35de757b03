"""Vectors of one named space: checked here, and never from a provider of another space, whoever may be down."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.errors import CallerError, ConfigError, DeadError
from services.llm.hooks import Operation, RequestEvent
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import model, models
from services.llm.spaces import EmbeddingSpace, EmbedRequest
from tests.fakes.engine import FakeEngine, Fault, serving
from tests.unit.llm.conftest import ALIAS, ask

EMBEDS = "smollm2-135m-embed"


@dataclass
class Desk:
    """A client that chats with one alias and embeds with another."""

    client: LLMClient
    vllm: FakeEngine
    ollama: FakeEngine
    events: list[RequestEvent]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    vllm, ollama = FakeEngine(), FakeEngine()
    events: list[RequestEvent] = []
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving(vllm.app()))
        second = await stack.enter_async_context(serving(ollama.app()))
        client = assemble(
            (
                OpenAICompat(name="vllm", url=first, models=models(), connect_s=1),
                Ollama(name="ollama", url=second, models=models(), connect_s=1),
            ),
            service="rag",
            alias=ALIAS,
            embed_alias=EMBEDS,
            pin="vllm",
            hooks=(events.append,),
        )
        await stack.enter_async_context(client)
        yield Desk(client, vllm, ollama, events)


def texts(*words: str, **changes: object) -> EmbedRequest:
    asked = EmbedRequest(service="rag", alias=EMBEDS, texts=words or ("a ferry", "a fan"), deadline_s=5)
    return replace(asked, **changes)  # type: ignore[arg-type]


async def test_one_vector_per_text_of_the_named_space(desk: Desk) -> None:
    """Ollama embeds although the service chats with vLLM: the two move apart from each other."""
    found = await desk.client.embed(texts())

    assert [len(v) for v in found.vectors] == [found.space.dimension] * 2
    assert found.space == model(EMBEDS).space
    assert found.provenance.provider == "ollama"
    assert desk.vllm.bodies == []
    assert [(e.operation, e.result) for e in desk.events] == [(Operation.EMBEDDINGS, "ok")]


async def test_another_space_than_the_index_holds_is_refused_before_any_work(desk: Desk) -> None:
    """The message names both."""
    held = EmbeddingSpace(model="minilm", revision="v2", dimension=384, normalised=True)
    with pytest.raises(ConfigError, match=r"minilm@v2:384:unit.*smollm2-135m-embed@q4_1:576:unit"):
        await desk.client.embed(texts(space=held))

    assert desk.ollama.bodies == []


async def test_there_is_no_fallback_to_an_engine_of_another_space(desk: Desk) -> None:
    """vLLM stands ready and is not asked."""
    desk.ollama.default = Fault.BROKEN_500
    with pytest.raises(DeadError):
        await desk.client.embed(texts())

    assert desk.vllm.bodies == []


@pytest.mark.parametrize("words", [("",), ("good", "  ")])
async def test_nothing_is_not_embedded(desk: Desk, words: tuple[str, ...]) -> None:
    with pytest.raises(CallerError, match="nothing to embed"):
        await desk.client.embed(texts(*words))


async def test_an_alias_that_only_chats_does_not_embed(desk: Desk) -> None:
    """Ollama would answer with the vectors of a chat model, and an index of nonsense would be the result."""
    with pytest.raises(ConfigError, match="embeds into no space"):
        await desk.client.embed(texts(alias=ALIAS))

    assert desk.ollama.bodies == []


async def test_chat_and_embeddings_share_the_engines_limit(desk: Desk) -> None:
    """One engine works for both."""
    await desk.client.chat(ask())
    await desk.client.embed(texts())
    chains = desk.client._chains

    assert chains[ALIAS].links["ollama"].limit is chains[EMBEDS].links["ollama"].limit
    assert chains[ALIAS].links["ollama"].breaker is not chains[EMBEDS].links["ollama"].breaker


async def test_a_link_that_embeds_is_probed_by_embedding(desk: Desk) -> None:
    """An embedding model would refuse a chat, and never come back."""
    link = desk.client._chains[EMBEDS].links["ollama"]

    assert await link.probe() is None
    assert "input" in desk.ollama.bodies[-1]
