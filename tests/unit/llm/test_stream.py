"""Streams: held to the first content token, then complete, rescued or partial, and always told."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.llm.errors import ErrorType, LLMError
from services.llm.types import Chunk, End, Outcome, Rescue, Restarted, StreamEvent, Token
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, ask, end, read, shown
from tests.unit.llm.scripted import STOP, Scripted, cut, over

BEFORE_FIRST_TOKEN = [
    Fault.BUSY_503,
    Fault.BROKEN_500,
    Fault.HANG,
    Fault.SILENT_HEADERS,
    Fault.ROLE_ONLY,
    Fault.PING_ONLY,
    Fault.CUT_FIRST,
    Fault.ERROR_FIRST,
    Fault.MALFORMED,
]
AFTER_FIRST_TOKEN = [Fault.CUT_MIDDLE, Fault.STALL_MIDDLE, Fault.ERROR_MIDDLE, Fault.NO_FINISH]


async def test_complete(make_rig: MakeRig) -> None:
    """Tokens, then one end with the usage of the engine."""
    async with make_rig() as rig:
        events = await read(rig.client, ask())

    assert shown(events) == "Bonjour from a fake"
    assert end(events).outcome is Outcome.COMPLETE
    assert end(events).answer.usage.completion_tokens == 4
    assert end(events).answer.text == "Bonjour from a fake"


@pytest.mark.parametrize("fault", BEFORE_FIRST_TOKEN)
async def test_before_the_first_token_everything_falls_back(make_rig: MakeRig, fault: Fault) -> None:
    """The reader sees only the second provider's words; role-only and keep-alive frames are no token."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        events = await read(rig.client, ask())

    assert shown(events) == "Salut d'Ollama"
    assert not any(isinstance(e, Restarted) for e in events)
    assert end(events).outcome is Outcome.COMPLETE
    assert end(events).answer.provenance.provider == "ollama"


@pytest.mark.parametrize("fault", AFTER_FIRST_TOKEN)
async def test_broken_stream_is_partial(make_rig: MakeRig, fault: Fault) -> None:
    """After the first token nothing is spliced: the reader is told that the rest is missing."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        events = await read(rig.client, ask())

    assert end(events).outcome is Outcome.PARTIAL
    assert end(events).error is not None
    assert end(events).answer.text == shown(events)
    assert shown(events).startswith("Bonjour from")
    assert not rig.ollama.bodies
    assert [e.result for e in rig.events] == ["partial"]


@pytest.mark.parametrize("fault", AFTER_FIRST_TOKEN)
async def test_rescue_by_restart(make_rig: MakeRig, fault: Fault) -> None:
    """A service that opted in gets a whole answer; the reader is told that it began anew."""
    async with make_rig() as rig:
        rig.vllm.default = fault
        events = await read(rig.client, ask(rescue=Rescue.RESTART))

    assert shown(events) == "Salut d'Ollama"
    assert sum(isinstance(e, Restarted) for e in events) == 1
    assert end(events).outcome is Outcome.RESCUED
    assert end(events).answer.text == "Salut d'Ollama"


async def test_rescue_that_fails_keeps_what_the_reader_has(make_rig: MakeRig) -> None:
    """When nobody can take over the stream ends partial, with the first provider's words."""
    async with make_rig() as rig:
        rig.vllm.default, rig.ollama.default = Fault.CUT_MIDDLE, Fault.BROKEN_500
        events = await read(rig.client, ask(rescue=Rescue.RESTART))

    assert shown(events) == "Bonjour from"
    assert end(events).outcome is Outcome.PARTIAL
    assert end(events).answer.provenance.provider == "vllm"


async def test_nobody_answers(make_rig: MakeRig) -> None:
    """Before any token the error is raised, as for `chat`."""
    async with make_rig() as rig:
        rig.vllm.default = rig.ollama.default = Fault.BUSY_503
        with pytest.raises(LLMError) as caught:
            await read(rig.client, ask())

    assert caught.value.kind == "busy"


@pytest.mark.parametrize("fault", [Fault.SILENT_HEADERS, Fault.STALL_MIDDLE])
async def test_leaving_early_frees_the_engine(make_rig: MakeRig, fault: Fault) -> None:
    """A reader who leaves before or after the first token ends the engine's work, and nothing new starts."""
    async with make_rig(first_token_s=60, stall_s=60) as rig:
        rig.vllm.default = fault
        task = asyncio.create_task(read(rig.client, ask(deadline_s=120, rescue=Rescue.RESTART)))
        while not rig.vllm.running:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            while rig.vllm.running:
                await asyncio.sleep(0.005)

    assert not rig.ollama.bodies
    assert [e.result for e in rig.events] == ["cancelled"]


async def test_closing_mid_stream_is_told_once(make_rig: MakeRig) -> None:
    """Closing the generator after a token is a cancellation, not an error."""
    async with make_rig() as rig, contextlib.aclosing(rig.client.stream(ask())) as events:
        async for event in events:
            assert isinstance(event, Token)
            break

    assert [e.result for e in rig.events] == ["cancelled"]
    assert rig.events[0].attempts[0].error is not None
    assert rig.events[0].attempts[0].error.type is ErrorType.CANCELLED


async def test_cut_document_in_a_stream_is_partial(make_rig: MakeRig) -> None:
    """A streamed document that is not whole is never a success."""
    async with make_rig(pin="ollama") as rig:
        events = await read(rig.client, ask(schema={"type": "object"}))

    assert end(events).outcome is Outcome.PARTIAL


async def test_a_slow_reader_is_not_the_engines_silence() -> None:
    """Who reads slower than an engine may be silent still gets all of it, and the engine keeps its good name."""
    vllm = Scripted("vllm", Chunk(text="a"), 0.01, Chunk(text="b"), 0.01, STOP)
    got: list[StreamEvent] = []
    async with (
        over(vllm, Scripted("ollama"), stall_s=0.5) as client,
        contextlib.aclosing(client.stream(ask())) as events,
    ):
        async for event in events:
            got.append(event)
            await asyncio.sleep(0.7)

    attempt = end(got).answer.provenance.attempts[0]
    assert shown(got) == "ab"
    assert end(got).outcome is Outcome.COMPLETE
    assert attempt.longest_gap_s is not None
    assert attempt.longest_gap_s < 0.7


async def test_the_slot_is_free_before_the_last_event() -> None:
    """A reader who stops at it and keeps the generator must not keep the engine's place."""
    vllm = Scripted("vllm", Chunk(text="a"), STOP)
    async with over(vllm, Scripted("ollama")) as client, contextlib.aclosing(client.stream(ask())) as events:
        while not isinstance(await anext(events), End):
            pass

        assert client.links["vllm"].limit.in_flight == 0


@pytest.mark.parametrize("lost", [cut(), 10.0])
@pytest.mark.parametrize("limits", [{"stall_s": 0.05}, {"stall_s": 10.0}])
async def test_behind_the_finish_nothing_but_counts_can_be_lost(
    lost: Exception | float, limits: dict[str, float]
) -> None:
    """The text is whole; a connection that is cut or lingers there, to the deadline even, makes it no less so."""
    vllm = Scripted("vllm", Chunk(text="a"), STOP, lost)
    async with over(vllm, Scripted("ollama"), **limits) as client:
        events = await read(client, ask(deadline_s=0.5, rescue=Rescue.RESTART))
        in_flight = client.links["vllm"].limit.in_flight

    assert (shown(events), end(events).answer.text) == ("a", "a")
    assert end(events).outcome is Outcome.COMPLETE
    assert in_flight == 0
