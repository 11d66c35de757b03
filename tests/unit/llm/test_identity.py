"""Which weights answered: told beside the requests, kept for a while, forgotten when the engine falls ill."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import httpx2
import pytest

from services.llm.errors import DeadError, ErrorType, LLMError
from services.llm.identity import AGAIN_AFTER_S, KNOWN_FOR_S, MOST_CHARS, Identity, folder_digest, of_root
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from tests.unit.llm.conftest import ALIAS, MakeRig, ask
from tests.unit.llm.scripted import Scripted, over, refusal

TAGS = {
    "models": [
        {"name": "other:latest", "model": "other:latest", "digest": "9a"},
        {"name": f"{ALIAS}:latest", "model": f"{ALIAS}:latest", "size": 98, "digest": "8b7a" * 16, "details": {}},
    ]
}
"""As Ollama 0.9.3 answers `/api/tags`, other fields left out."""

MODELS = {
    "object": "list",
    "data": [
        {"id": "adapter", "object": "model", "created": 1, "owned_by": "vllm", "root": "/adapters/a", "parent": ALIAS},
        {"id": ALIAS, "object": "model", "created": 1, "owned_by": "vllm", "root": "org/name", "max_model_len": 8192},
    ],
}
"""As vLLM 0.32 answers `/v1/models`, permissions left out."""


class Told:
    """What a provider tells, one step after another, and how often it was asked."""

    def __init__(self, *steps: str | LLMError) -> None:
        self.steps = list(steps)
        self.asked = 0
        self.now = 0.0

    async def read(self) -> str:
        self.asked += 1
        step = self.steps.pop(0)
        if isinstance(step, LLMError):
            raise step
        return step

    def identity(self) -> Identity:
        return Identity(self.read, clock=lambda: self.now)


async def looked(identity: Identity) -> str:
    """What is told when all that a look began has ended."""
    identity.look()
    for _ in range(10):
        await asyncio.sleep(0)
    return identity.told


def ollama(answer: object) -> Ollama:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=json.dumps(answer)))
    return Ollama(name="ollama", url="http://ollama", models=models(), connect_s=1.0, transport=transport)


def vllm(answer: object, status: int = 200) -> OpenAICompat:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=json.dumps(answer)))
    return OpenAICompat(name="vllm", url="http://vllm", models=models(), connect_s=1.0, transport=transport)


async def test_it_is_read_once_and_again_when_it_is_old() -> None:
    """Many requests cost one question; an engine that was started anew without anybody noticing is found out."""
    told = Told("one", "two")
    identity = told.identity()

    assert [await looked(identity) for _ in range(3)] == ["one"] * 3
    assert told.asked == 1
    told.now += KNOWN_FOR_S
    assert await looked(identity) == "two"


async def test_a_look_does_not_wait() -> None:
    """The request that began it goes on without it."""
    identity = Told("one").identity()
    identity.look()

    assert identity.told == ""


async def test_nothing_is_said_after_a_reading_that_failed() -> None:
    """The old word might be about weights that are served no more. It is asked again, but not at each request."""
    dead = DeadError("gone", provider="vllm", type=ErrorType.CONNECT)
    told = Told("one", dead, "two")
    identity = told.identity()
    await looked(identity)
    told.now += KNOWN_FOR_S

    assert [await looked(identity), await looked(identity)] == ["", ""]
    assert told.asked == 2
    told.now += AGAIN_AFTER_S
    assert await looked(identity) == "two"


async def test_what_was_told_before_an_illness_is_forgotten_even_while_it_is_told() -> None:
    """The process that is asked may be another one than the process that answers next."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "old"

    identity = Identity(slow)
    identity.look()
    await begun.wait()
    identity.forget()
    go_on.set()
    for _ in range(10):
        await asyncio.sleep(0)

    assert identity.told == ""


@pytest.mark.parametrize("told", ["two\nlines", "nul\0", "half\ud800"])
async def test_what_no_store_could_keep_is_nothing(told: str) -> None:
    """An engine's word ends up in rows; one that is no line must not keep a row from being written."""
    assert await looked(Told(told).identity()) == ""


async def test_a_long_word_is_cut() -> None:
    """A path may be as long as it likes, a row's column not."""
    assert await looked(Told("x" * 5000).identity()) == "x" * MOST_CHARS


async def test_a_reading_ends_by_itself() -> None:
    """A hung engine costs one task for a while; then it is asked again."""
    asked = 0

    async def hung() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(3600)
        return "late"

    now = iter(range(0, 10_000, 10))
    identity = Identity(hung, limit_s=0.01, clock=lambda: float(next(now)))
    async with asyncio.timeout(30):
        while asked < 2:
            identity.look()
            await asyncio.sleep(0.005)
    await identity.aclose()

    assert identity.told == ""


async def test_closing_ends_a_reading() -> None:
    """No task of the client outlives it, and none is begun after it."""
    identity = Identity(lambda: asyncio.sleep(3600, "late"))
    identity.look()
    await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    await identity.aclose()

    assert len(asyncio.all_tasks()) == before - 1
    identity.look()
    assert len(asyncio.all_tasks()) == before - 1


async def test_ollama_tells_the_digest_of_the_model() -> None:
    """Of the very model that is asked; nothing where it is not there."""
    assert await ollama(TAGS).weights(ALIAS) == "8b7a" * 16
    assert await ollama({"models": []}).weights(ALIAS) == ""


async def test_vllm_tells_what_it_loaded() -> None:
    """It has no digest to tell; a name of the hub, or a folder that is not on this machine, is better than nothing."""
    assert await vllm(MODELS).weights(ALIAS) == "root:org/name"
    assert await vllm({"object": "list", "data": [{"id": ALIAS}]}).weights(ALIAS) == ""


@pytest.mark.parametrize("answer", [[], {"data": 1}, {"data": ["x"]}, {"error": "no"}, "text"])
async def test_a_page_out_of_shape_is_an_error_of_ours(answer: object) -> None:
    """Whatever stands at the address: a `LLMError`, which leaves the row's digest empty."""
    with pytest.raises(LLMError):
        await vllm(answer).weights(ALIAS)


def test_a_folder_on_this_machine_is_told_by_its_files(tmp_path: Path) -> None:
    """As the gate's verdict tells it, so that a row can be tied to the verdict that moved its service."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = of_root(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"other weights")

    assert len(before) == 64
    assert before != of_root(str(tmp_path))
    assert of_root("") == folder_digest("/no/such/folder") == folder_digest("org/name") == ""


async def test_answers_say_it(make_rig: MakeRig) -> None:
    """From whichever engine; the first answers may come before it is told, never later than the engine told it."""
    async with make_rig(pin="auto") as rig:
        rig.vllm.weights, rig.ollama.weights = "org/a", "0f" * 32
        found = {}
        for name in ("vllm", "ollama"):
            async with asyncio.timeout(30):
                while not (answer := await rig.client.chat(ask(first=name))).provenance.digest:
                    await asyncio.sleep(0.01)
            found[name] = answer.provenance.digest

        assert found == {"vllm": "root:org/a", "ollama": "0f" * 32}
        assert rig.vllm.looks == rig.ollama.looks == 1


async def test_an_engine_that_comes_back_is_asked_again() -> None:
    """Its breaker closes when it generates; from then on the new process tells."""

    class Telling(Scripted):
        told = "before"

        async def weights(self, alias: str) -> str:
            return self.told

    engine = Telling("vllm")
    async with over(engine, Scripted("ollama")) as client, asyncio.timeout(30):
        link = client.links["vllm"]
        await client.chat(ask())
        while not link.identity.told:
            await asyncio.sleep(0.005)
        assert (await client.chat(ask())).provenance.digest == "before"
        engine.told = "after"
        link.breaker.failed(refusal())
        assert link.identity.told == ""
        while link.breaker.is_open:
            await asyncio.sleep(0.005)
        await client.chat(ask())
        while not link.identity.told:
            await asyncio.sleep(0.005)
        assert (await client.chat(ask())).provenance.digest == "after"
