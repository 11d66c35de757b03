"""Vectors of one named space: checked here, and never from a provider of another space, whoever may be down."""

from __future__ import annotations

import asyncio
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
from services.llm.spaces import EmbeddingSpace, EmbedRequest, Vectors
from tests.fakes.engine import FakeEngine, Fault, serving
from tests.unit.llm.conftest import ALIAS, ask
from tests.unit.llm.scripted import Scripted

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


class Embedding(Scripted):
    """Takes `work_s` for its vectors, which are all the same one."""

    work_s = 0.0

    def embeds(self, alias: str) -> bool:
        return alias == EMBEDS

    async def embed(self, request: EmbedRequest) -> Vectors:
        await asyncio.sleep(self.work_s)
        return Vectors(rows=((1.0, *(0.0,) * 575),) * len(request.texts))


def between(*providers: Embedding) -> LLMClient:
    return assemble(providers, service="rag", alias=ALIAS, embed_alias=EMBEDS, pin="vllm")


async def test_a_limit_that_has_shrunk_grows_again_by_vectors_alone() -> None:
    """A job that only embeds would else go on one text at a time for ever, after a busy minute long ago."""
    provider = Embedding("ollama")
    provider.work_s = 0.002
    async with between(provider) as client:
        limit = client.links["ollama"].limit
        async with limit.permit(1) as slot:
            limit.limit = 2.0
            slot.dropped()
        shrunk = limit.limit
        for _ in range(10):
            await asyncio.gather(*(client.embed(texts()) for _ in range(4)))

    assert limit.limit > shrunk
    assert (limit.in_flight, limit.queued) == (0, 0)


async def test_a_callers_hurry_for_vectors_opens_no_breaker() -> None:
    """As for chat: the next provider answers, and the first keeps its good name."""
    slow = Embedding("vllm")
    slow.work_s = 10.0
    async with between(slow, Embedding("ollama")) as client:
        for _ in range(3):
            found = await client.embed(texts(deadline_s=1.0))
            assert found.provenance.provider == "ollama"

        assert not client._chains[EMBEDS].links["vllm"].breaker.is_open
