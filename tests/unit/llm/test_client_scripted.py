"""The client over scripted providers: what no engine on a wire can be made to do at the right moment."""

from __future__ import annotations

import asyncio

import pytest

from services.llm.hooks import RequestEvent
from services.llm.types import ChatRequest, Chunk, Completion, Finish
from tests.unit.llm.conftest import ask, end, read, shown
from tests.unit.llm.scripted import STOP, Scripted, over, refusal, refused


async def test_no_time_is_kept_for_one_that_will_not_be_asked() -> None:
    """With Ollama known to be down vLLM may use the whole deadline; else both would have failed a slow request."""

    async def slow(_: ChatRequest) -> Completion:
        await asyncio.sleep(2.0)
        return Completion(text="late", finish=Finish.STOP)

    vllm = Scripted("vllm", 0.4, Chunk(text="late"), STOP, whole=slow)
    async with over(vllm, Scripted("ollama", whole=refused), first_token_s=0.3) as client:
        client.links["ollama"].breaker.failed(refusal())
        answer = await client.chat(ask(deadline_s=3.0))
        events = await read(client, ask(deadline_s=5.0))

    assert (answer.text, shown(events)) == ("late", "late")


async def test_asking_whether_a_model_is_loaded_takes_no_time_from_the_next_provider() -> None:
    """An engine that hangs hangs there too; the try as a whole stays within its share."""

    class Hung(Scripted):
        async def is_loaded(self, alias: str) -> bool:
            await asyncio.Event().wait()
            return True

    async def silent(_: ChatRequest) -> Completion:
        await asyncio.Event().wait()
        raise AssertionError

    async with over(Hung("vllm", whole=silent), Scripted("ollama")) as client:
        answer = await client.chat(ask(deadline_s=3.0))

    assert answer.provenance.provider == "ollama"


async def test_a_bug_is_raised_and_told_with_its_attempt() -> None:
    """The engine was asked; a count without that attempt would be wrong. The slot is free again."""

    async def bug(_: ChatRequest) -> Completion:
        raise RuntimeError("a bug")

    events: list[RequestEvent] = []
    vllm = Scripted("vllm", Chunk(text="a"), RuntimeError("a bug"), whole=bug)
    async with over(vllm, Scripted("ollama"), hooks=(events.append,)) as client:
        with pytest.raises(RuntimeError):
            await client.chat(ask())
        with pytest.raises(RuntimeError):
            await read(client, ask())
        in_flight = client.links["vllm"].limit.in_flight

    assert in_flight == 0
    assert [[str(a.error) for a in e.attempts] for e in events] == [["vllm: RuntimeError: a bug"]] * 2


async def test_a_hook_that_fails_takes_no_answer_away() -> None:
    """Nor does it keep the event from the hooks behind it."""

    def broken(_: RequestEvent) -> None:
        raise RuntimeError("a full disk")

    events: list[RequestEvent] = []
    vllm = Scripted("vllm", Chunk(text="a"), STOP)
    async with over(vllm, Scripted("ollama"), hooks=(broken, events.append)) as client:
        answer = await client.chat(ask())
        streamed = await read(client, ask())

    assert (answer.text, end(streamed).answer.text) == ("vllm", "a")
    assert len(events) == 2
