"""What comes back from Anthropic's Messages API, whole and in streams, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.llm.errors import BusyError, ConfigError, DeadError, ErrorType
from services.llm.types import (
    Chunk,
    Finish,
    Usage,
)
from tests.fakes.messages import ALIAS, CUT, STALL, call_events, message, text_events
from tests.unit.llm.anthropic_desk import CALL, WEATHER, Desk, asked, desk_of_a_fake


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_of_a_fake() as made:
        yield made


async def test_a_whole_answer(desk: Desk) -> None:
    """Text, thinking, calls, why it ended, and tokens: the prompt's in all three parts."""
    desk.fake.answer = message(
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "Let me"},
        {"type": "text", "text": " look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"town": "Reims"}},
        stop="tool_use",
    )
    completion = await desk.provider.chat(asked(tools=(WEATHER,)))

    assert (completion.text, completion.thinking) == ("Let me look.", "Hm.")
    assert (completion.finish, completion.tool_calls) == (Finish.TOOLS, (CALL,))
    assert completion.usage == Usage(prompt_tokens=25, completion_tokens=4)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("tool_use", Finish.TOOLS),
        ("refusal", Finish.FILTERED),
    ],
)
async def test_every_reason_to_stop_has_our_word(desk: Desk, reason: str, finish: Finish) -> None:
    """Whole and streamed alike."""
    desk.fake.answer = message({"type": "text", "text": "a"}, stop=reason)
    desk.fake.events = text_events("a", stop=reason)

    assert (await desk.provider.chat(asked())).finish is finish
    assert (await desk.chunks(asked()))[-1].finish is finish


@pytest.mark.parametrize(
    "answer",
    [
        "<html>",
        [],
        {},
        message(stop=None),
        message({"type": "text"}),
        message(stop="pause_turn"),
        {**message(), "content": None},
    ],
)
async def test_nonsense_is_an_illness(desk: Desk, answer: Any) -> None:
    """An answer that is not of the format is the server's fault, not ours to guess at."""
    desk.fake.answer = answer
    with pytest.raises(DeadError) as caught:
        await desk.provider.chat(asked())

    assert caught.value.type is ErrorType.BAD_RESPONSE


async def test_a_stream(desk: Desk) -> None:
    """The prompt's tokens first, then the text, and at the very end why it ended and what it took."""
    chunks = await desk.chunks(asked())

    assert desk.fake.bodies[-1]["stream"] is True
    assert chunks[0] == Chunk(usage=Usage(prompt_tokens=25))
    assert [c.text for c in chunks[1:-1]] == ["Bonjour", " from", " Claude"]
    assert chunks[-1] == Chunk(finish=Finish.STOP, usage=Usage(prompt_tokens=25, completion_tokens=4))


async def test_a_streamed_call_is_handed_on_whole(desk: Desk) -> None:
    """Thinking and pieces of a call show the model at work; the call itself comes with the end."""
    desk.fake.events = call_events("weather", '{"to', 'wn": "Reims"}')
    chunks = await desk.chunks(asked(tools=(WEATHER,)))

    assert [c.at_work for c in chunks] == [False, True, True, True, True, False]
    assert "".join(c.thinking for c in chunks) == "Hm."
    assert (chunks[-1].finish, chunks[-1].tool_calls) == (Finish.TOOLS, (CALL,))


@pytest.mark.parametrize("kept", [1, 4, 5, 7, 8])
async def test_a_stream_without_its_end_is_not_ended(desk: Desk, kept: int) -> None:
    """Also where it had said why it would end: `message_stop` is the end, and nothing else."""
    desk.fake.events = desk.fake.events[:kept]

    assert [c.finish for c in await desk.chunks(asked())] == [None] * max(1, min(4, kept - 2))


async def test_a_connection_cut_in_the_middle_is_an_illness(desk: Desk) -> None:
    """A dying server says nothing any more."""
    desk.fake.events = [*desk.fake.events[:5], CUT]
    with pytest.raises(DeadError) as caught:
        await desk.chunks(asked())

    assert caught.value.type is ErrorType.CUT


async def test_an_error_event_ends_a_stream(desk: Desk) -> None:
    """Whatever came before it."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    desk.fake.events = [*desk.fake.events[:5], error]
    with pytest.raises(BusyError, match="Overloaded"):
        await desk.chunks(asked())


async def test_a_malformed_event_is_an_illness(desk: Desk) -> None:
    """Not an exception of Python's that nobody foresaw; one of a kind that we do not know is passed over."""
    desk.fake.events.insert(1, {"type": "of_a_later_day"})
    assert (await desk.chunks(asked()))[-1].finish is Finish.STOP
    desk.fake.events.insert(1, {"type": "content_block_delta"})
    with pytest.raises(DeadError):
        await desk.chunks(asked())


async def test_leaving_a_stream_closes_it_upstream(desk: Desk) -> None:
    """The server is told at once, so that it stops writing what nobody reads."""
    desk.fake.events = [*desk.fake.events[:5], STALL]
    async with contextlib.aclosing(desk.provider.stream(asked())) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    async with asyncio.timeout(30):
        while desk.fake.running:
            await asyncio.sleep(0.01)


async def test_whether_it_is_there_is_asked_without_a_prompt_of_anybodys(desk: Desk) -> None:
    """By counting the tokens of a fixed word, which is free and takes key and model to do."""
    await desk.provider.reachable(ALIAS)
    desk.fake.status, desk.fake.answer = 401, {"error": {"type": "authentication_error", "message": "invalid"}}
    with pytest.raises(ConfigError):
        await desk.provider.reachable(ALIAS)

    assert (desk.fake.counted, desk.fake.bodies) == (2, [])


async def test_a_redirect_is_not_followed(desk: Desk) -> None:
    """A prompt goes to the configured host or nowhere."""
    desk.fake.status, desk.fake.answer = 307, {}
    with pytest.raises(ConfigError):
        await desk.provider.chat(asked())

    assert len(desk.fake.bodies) == 1
