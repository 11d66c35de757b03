"""What both adapters promise, on the fakes always and on the real engines: one suite, so a fake cannot drift."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx2
import pytest

from services.llm.embedding import Embedder
from services.llm.errors import ConfigError, ContextTooLong, DeadError
from services.llm.identity import Identified, sound
from services.llm.link import Provider
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import Model, models
from services.llm.spaces import EmbedRequest, check_vectors
from services.llm.types import ChatRequest, Chunk, Finish, Message, Role, Sampling
from services.settings import Settings
from tests.fakes.engine import FakeEngine, Fault, free_port, serving

ALIAS, EMBED = "smollm2-135m", "smollm2-135m-embed"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["mauve", "teal"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


@dataclass
class Subject:
    """A provider under test; `fake` is None on a real engine."""

    provider: Provider
    fake: FakeEngine | None
    url: str

    def script(self, *words: str, fault: Fault = Fault.OK) -> None:
        """Tell the fake what a real engine would do by itself."""
        if self.fake is not None:
            self.fake.words = words or self.fake.words
            self.fake.default = fault


def adapter(engine: str, url: str, known: dict[str, Model]) -> Provider:
    if engine == "vllm":
        return OpenAICompat(name="vllm", url=url, models=known, connect_s=2.0)
    return Ollama(name="ollama", url=url, models=known, connect_s=2.0)


@pytest.fixture(params=["vllm", "ollama"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engines)])
async def subject(request: pytest.FixtureRequest, engine: str) -> AsyncIterator[Subject]:
    """Each adapter on its fake, then on the real engine."""
    known = dict(models())
    async with contextlib.AsyncExitStack() as stack:
        fake = None
        if request.param == "fake":
            fake = FakeEngine()
            url = await stack.enter_async_context(serving(fake.app()))
        else:
            settings: Settings = request.getfixturevalue("engines")
            url = settings.vllm_url if engine == "vllm" else settings.ollama_url
        provider = adapter(engine, url, known)
        stack.push_async_callback(provider.aclose)
        yield Subject(provider, fake, url)


def ask(text: str = "Say hello.", **changes: object) -> ChatRequest:
    fields: dict[str, object] = {
        "service": "notes",
        "alias": ALIAS,
        "messages": (Message(role=Role.SYSTEM, content="You answer briefly."), Message(role=Role.USER, content=text)),
        "sampling": Sampling(max_tokens=8),
        "deadline_s": 60.0,
    }
    return ChatRequest(**{**fields, **changes})  # type: ignore[arg-type]


async def collect(provider: Provider, request: ChatRequest) -> list[Chunk]:
    async with asyncio.timeout(request.deadline_s), contextlib.aclosing(provider.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


async def test_chat_answers_with_usage(subject: Subject) -> None:
    """A whole answer has text, a finish and both token counts."""
    completion = await subject.provider.chat(ask())

    assert completion.text
    assert completion.usage.prompt_tokens
    assert completion.usage.completion_tokens


async def test_the_weights_have_an_identity(subject: Subject) -> None:
    """Each engine tells something of the weights behind the model's name, the same at each time of asking."""
    assert isinstance(subject.provider, Identified)
    told = await subject.provider.weights(ALIAS)

    assert sound(told) == told != ""
    assert await subject.provider.weights(ALIAS) == told


async def test_stream_ends_with_finish_and_usage(subject: Subject) -> None:
    """Frames carry content first; finish and usage come once, and the text is not empty."""
    chunks = await collect(subject.provider, ask())

    assert "".join(c.text for c in chunks)
    assert sum(c.finish is not None for c in chunks) == 1
    assert [c.usage for c in chunks if c.usage and c.usage.completion_tokens]


async def test_limit_is_honoured_and_said(subject: Subject) -> None:
    """`max_tokens` cuts, and the finish says `length`."""
    subject.script("One", " two", " three", fault=Fault.LENGTH)
    sampling = Sampling(max_tokens=3)
    completion = await subject.provider.chat(ask("Count from one to fifty in words.", sampling=sampling))

    assert completion.finish is Finish.LENGTH
    if subject.fake is None:
        assert completion.usage.completion_tokens == 3


async def test_schema_holds(subject: Subject) -> None:
    """The document fits the schema, with an enum that no model would choose by itself."""
    subject.script('{"colour"', ': "teal"}')
    request = ask("Which colour is the sky?", schema=SCHEMA, sampling=Sampling(max_tokens=48))
    completion = await subject.provider.chat(request)

    assert json.loads(completion.text)["colour"] in ("mauve", "teal")


async def test_stop_string_ends_and_is_removed(subject: Subject) -> None:
    """The answer ends before the stop string."""
    subject.script("1, 2, ")
    sampling = Sampling(max_tokens=40, stop=("3",))
    completion = await subject.provider.chat(ask("Count: 1, 2, 3, 4, 5, 6, 7, 8", sampling=sampling))

    assert "3" not in completion.text


async def test_unknown_model_is_a_set_up_error(subject: Subject) -> None:
    """A model that the engine does not have is neither the caller's fault nor the engine's illness."""
    subject.script(fault=Fault.MODEL_404)
    wrong = replace(models()[ALIAS], names={"vllm": "no-such-model", "ollama": "no-such-model:latest"})
    provider = adapter(subject.provider.engine, subject.url, {ALIAS: wrong})
    try:
        with pytest.raises(ConfigError):
            await provider.chat(ask())
        with pytest.raises(ConfigError):
            await collect(provider, ask())
    finally:
        await provider.aclose()


async def test_nobody_listening_is_dead(engine: str) -> None:
    """A closed port is an engine that is gone."""
    provider = adapter(engine, f"http://127.0.0.1:{free_port()}", dict(models()))
    with pytest.raises(DeadError):
        await provider.chat(ask())
    with pytest.raises(DeadError):
        await collect(provider, ask())
    await provider.aclose()


async def test_too_long_prompt_is_the_callers_error(subject: Subject) -> None:
    """vLLM refuses a prompt beyond its window; Ollama cannot, which the adapter declares."""
    if not subject.provider.refuses_long_prompts:
        assert subject.provider.engine == "ollama"
        return
    subject.script(fault=Fault.TOO_LONG_400)
    with pytest.raises(ContextTooLong):
        await subject.provider.chat(ask("word " * 6000))


ANSWER_BEGUN = (
    Message(role=Role.SYSTEM, content="Be terse."),
    Message(role=Role.USER, content="Count from one to ten in words."),
)
BEGUN: dict[str, tuple[str, int]] = {
    "in the middle": ("One, two,", 30),
    "with a space behind": ("One, two, ", 31),
    "with spaces around": (" leading and trailing ", 30),
    "a piece of the template's own mark": ("im", 27),
    "the template's own mark": ("<|im_end|>", 27),
    "line ends around": ("\n\nx\n", 29),
    "other scripts": ("é🙂 ", 30),
}
"""How an answer begins, and the tokens of its prompt: one number for both engines."""


@pytest.mark.parametrize("how", BEGUN)
async def test_a_begun_answer_is_the_same_prompt_to_both(subject: Subject, how: str) -> None:
    """The turn stays open on both, token by token."""
    prefill, tokens = BEGUN[how]
    completion = await subject.provider.chat(
        ask(messages=ANSWER_BEGUN, prefill=prefill, sampling=Sampling(max_tokens=2))
    )

    if subject.fake is None:
        assert completion.usage.prompt_tokens == tokens
    else:
        assert subject.fake.bodies[0]["messages"][-1] == {"role": "assistant", "content": prefill}


async def test_a_begun_answer_is_continued(subject: Subject) -> None:
    """Not begun anew: the next number comes, and what was given is not said again. Whole and streamed."""
    subject.script(" three,", " four,")
    request = ask(messages=ANSWER_BEGUN, prefill="One, two,", sampling=Sampling(max_tokens=12))
    completion = await subject.provider.chat(request)
    chunks = await collect(subject.provider, request)

    assert completion.text.startswith(" three, four,")
    assert "".join(c.text for c in chunks) == completion.text


async def test_a_second_answer_begun_joins_the_first(subject: Subject) -> None:
    """Two turns of one role are one with an empty line between, as Ollama joins them."""
    messages = (*ANSWER_BEGUN, Message(role=Role.ASSISTANT, content="Two."))
    request = ask(messages=messages, prefill="And three,", sampling=Sampling(max_tokens=2))
    completion = await subject.provider.chat(request)

    assert subject.fake is not None or completion.usage.prompt_tokens == 33


def embedding(*texts: str) -> EmbedRequest:
    return EmbedRequest(service="rag", alias=EMBED, texts=texts, deadline_s=60.0)


async def test_vectors_are_of_the_registrys_space(subject: Subject) -> None:
    """One a text, in their order, of its dimension and length; the same again for the same text."""
    space = models()[EMBED].space
    assert isinstance(subject.provider, Embedder)
    assert space is not None
    if subject.provider.engine == "vllm":  # a server that generates does not embed, and the registry names none
        assert not subject.provider.embeds(EMBED)
        with pytest.raises(ConfigError):
            await subject.provider.embed(embedding("a wall"))
        return
    assert subject.provider.embeds(EMBED)
    assert not subject.provider.embeds(ALIAS)
    request = embedding("a wall", "a house by the sea", "a wall")
    vectors = await subject.provider.embed(request)

    check_vectors(vectors, request, space, provider="ollama")
    first, other, again = vectors.rows
    assert math.dist(first, again) < 1e-3
    assert math.dist(first, other) > 1e-3
    assert vectors.usage.prompt_tokens


async def test_a_text_too_long_to_embed_is_refused(subject: Subject) -> None:
    """Ollama cuts it and says nothing, unless it is told not to."""
    if subject.provider.engine == "vllm":
        return
    assert isinstance(subject.provider, Embedder)
    subject.script(fault=Fault.TOO_LONG_400)
    async with asyncio.timeout(60):
        with pytest.raises(ContextTooLong):
            await subject.provider.embed(embedding("word " * 6000))


async def test_leaving_frees_the_engine(subject: Subject) -> None:
    """Closing a stream after its first content ends the engine's work."""
    subject.script("a", "b", "c", "d", fault=Fault.STALL_MIDDLE)
    request = ask("Tell a very long story.", sampling=Sampling(max_tokens=400))
    async with contextlib.aclosing(subject.provider.stream(request)) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    async with asyncio.timeout(120):
        while await _running(subject):
            await asyncio.sleep(0.05)


async def _running(subject: Subject) -> float:
    if subject.fake is not None:
        return subject.fake.running
    if subject.provider.engine == "ollama":  # no gauge: an idle engine answers one token
        await subject.provider.chat(ask(sampling=Sampling(max_tokens=1)))
        return 0
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        lines = (await http.get(f"{subject.url}/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("vllm:num_requests_running{"))
