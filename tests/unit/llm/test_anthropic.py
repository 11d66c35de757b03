"""What goes to Anthropic's Messages API and what comes back, over a real connection to a fake of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.llm.errors import BusyError, ConfigError, DeadError, ErrorType
from services.llm.providers import anthropic_request
from services.llm.providers.anthropic import Anthropic
from services.llm.types import (
    ChatRequest,
    Chunk,
    Finish,
    Image,
    Message,
    Role,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    Usage,
)
from tests.fakes.engine import serving
from tests.fakes.messages import ALIAS, CUT, ENTRY, STALL, FakeMessages, call_events, message, text_events
from tests.unit.llm.conftest import ask

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["n"],
}
WEATHER = Tool(name="weather", description="of a town", parameters={"type": "object", "properties": {}})
CALL = ToolCall(id="toolu_1", name="weather", arguments={"town": "Reims"})


class Desk:
    """The adapter and the fake behind it."""

    def __init__(self, provider: Anthropic, fake: FakeMessages) -> None:
        self.provider = provider
        self.fake = fake

    async def sent(self, request: ChatRequest) -> dict[str, Any]:
        """The body that the request becomes."""
        assert self.provider.refusal(request) is None
        await self.provider.chat(request)
        return self.fake.bodies[-1]

    async def chunks(self, request: ChatRequest) -> list[Chunk]:
        async with asyncio.timeout(5), contextlib.aclosing(self.provider.stream(request)) as chunks:
            return [chunk async for chunk in chunks]


def at(url: str, **changes: Any) -> Anthropic:
    known = {ALIAS: replace(ENTRY, **changes)}
    return Anthropic(name="anthropic", url=url, models=known, connect_s=1.0, api_key="hunter2")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    fake = FakeMessages()
    async with serving(fake.app()) as url:
        provider = at(url)
        yield Desk(provider, fake)
        await provider.aclose()


def asked(**changes: Any) -> ChatRequest:
    return ask(alias=ALIAS, **changes)


async def test_a_plain_request_is_complete(desk: Desk) -> None:
    """System apart, a limit, thinking off in so many words, and not one sampling field, which the API refuses."""
    body = await desk.sent(asked(sampling=Sampling(max_tokens=8, stop=("###",))))

    assert body == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 8,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "thinking": {"type": "disabled"},
        "stop_sequences": ["###"],
    }
    assert desk.fake.headers[-1]["authorization"] == "Bearer hunter2"
    assert desk.fake.headers[-1]["anthropic-version"] == "2026-10-21"


@pytest.mark.parametrize(
    ("sampling", "names"),
    [
        (Sampling(max_tokens=8, temperature=1.0), ()),
        (Sampling(max_tokens=8), ("temperature",)),
        (Sampling(max_tokens=8, temperature=1.0, top_p=0.9, top_k=40), ("top_p", "top_k")),
        (Sampling(max_tokens=8, temperature=1.0, min_p=0.1, seed=7), ("min_p", "seed")),
        (
            Sampling(max_tokens=8, repetition_penalty=1.1, presence_penalty=0.5, frequency_penalty=0.5),
            ("temperature", "repetition_penalty", "presence_penalty", "frequency_penalty"),
        ),
    ],
)
async def test_what_cannot_be_said_is_named(desk: Desk, sampling: Sampling, names: tuple[str, ...]) -> None:
    """Every parameter without a word there is dropped by name, never in silence."""
    body = await desk.sent(asked(sampling=sampling))

    assert desk.provider.dropped(asked(sampling=sampling)) == names
    assert not body.keys() & set(names)


async def test_a_schema_goes_as_the_output_format(desk: Desk) -> None:
    """In the part of the language that the API takes: bounds stand in the description, objects are closed."""
    desk.fake.answer = message({"type": "text", "text": '{"n": 3}'})
    body = await desk.sent(asked(schema=SCHEMA))

    form = body["output_config"]["format"]
    assert form["type"] == "json_schema"
    assert form["schema"]["additionalProperties"] is False
    assert form["schema"]["properties"]["n"] == {"type": "integer", "description": "{minimum: 1, maximum: 9}"}
    assert SCHEMA["properties"] == {"n": {"type": "integer", "minimum": 1, "maximum": 9}}


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (ToolChoice.AUTO, {"type": "auto"}),
        (ToolChoice.NONE, {"type": "none"}),
        (ToolChoice.REQUIRED, {"type": "any"}),
        ("weather", {"type": "tool", "name": "weather"}),
    ],
)
async def test_tools_and_their_choice(desk: Desk, choice: ToolChoice | str, told: dict[str, str]) -> None:
    """Tools are strict; each choice has its word."""
    body = await desk.sent(asked(tools=(WEATHER,), tool_choice=choice))

    assert body["tool_choice"] == told
    assert body["tools"] == [
        {
            "name": "weather",
            "description": "of a town",
            "strict": True,
            "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
        }
    ]


async def test_results_of_calls_made_together_go_back_together(desk: Desk) -> None:
    """An assistant's calls are blocks without an empty text; their results are one turn of the user's."""
    second = replace(CALL, id="toolu_2")
    turns = (
        Message(role=Role.USER, content="Weather?"),
        Message(role=Role.ASSISTANT, content="", tool_calls=(CALL, second)),
        Message(role=Role.TOOL, content="rain", call=CALL),
        Message(role=Role.TOOL, content="sun", call=second),
    )
    body = await desk.sent(asked(messages=turns, tools=(WEATHER,)))

    use = {"type": "tool_use", "name": "weather", "input": {"town": "Reims"}}
    assert "system" not in body
    assert body["messages"][1:] == [
        {"role": "assistant", "content": [{**use, "id": "toolu_1"}, {**use, "id": "toolu_2"}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "sun"},
            ],
        },
    ]


async def test_an_image_goes_as_its_bytes(desk: Desk) -> None:
    """Before the text, as the documentation advises; never as an address."""
    image = Image(media_type="image/png", data="aGk=")
    body = await desk.sent(asked(messages=(Message(role=Role.USER, content="What?", images=(image,)),)))

    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": source},
        {"type": "text", "text": "What?"},
    ]


async def test_a_later_system_message_stays_in_its_place(desk: Desk) -> None:
    """Only those at the head are the system prompt."""
    turns = (
        Message(role=Role.SYSTEM, content="a"),
        Message(role=Role.SYSTEM, content="b"),
        Message(role=Role.USER, content="Hi"),
        Message(role=Role.SYSTEM, content="c"),
        Message(role=Role.USER, content="Ho"),
    )
    body = await desk.sent(asked(messages=turns))

    assert body["system"] == "a\n\nb"
    assert [m["role"] for m in body["messages"]] == ["user", "system", "user"]


@pytest.mark.parametrize(
    ("name", "changes", "thinking", "last"),
    [
        ("claude-sonnet-5-5", {"thinking": True}, {"type": "adaptive", "display": "summarized"}, "user"),
        (
            "claude-haiku-4-5",
            {"thinking": True, "sampling": Sampling(max_tokens=2000)},
            {"type": "enabled", "budget_tokens": 1024},
            "user",
        ),
        ("claude-haiku-4-5", {"prefill": "Well,"}, {"type": "disabled"}, "assistant"),
    ],
)
def test_thinking_and_a_begun_answer(name: str, changes: dict[str, Any], thinking: dict[str, Any], last: str) -> None:
    """Each generation of models has its own word for thinking; only the older ones go on from a begun answer."""
    entry = replace(ENTRY, names={"anthropic": name})
    assert anthropic_request.refusal(asked(**changes), entry) is None
    body = anthropic_request.arguments(asked(**changes), entry)

    assert body["thinking"] == thinking
    assert body["messages"][-1]["role"] == last


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("claude-sonnet-5-5", {"prefill": "Well,"}, "does not go on from a begun answer"),
        ("claude-haiku-4-5", {"prefill": "Well, "}, "white space"),
        ("claude-haiku-4-5", {"thinking": True}, "max_tokens above 1024"),
        ("claude-fable-5-2", {}, "cannot be asked not to think"),
        ("claude-opus-5-5", {"thinking": True, "tools": (WEATHER,), "tool_choice": "weather"}, "tool_choice=weather"),
        ("claude-opus-5-5", {"sampling": Sampling(max_tokens=8, stop=("\n\n",))}, "white space alone"),
        ("claude-opus-5-5", {"schema": {"type": ["string", "null"]}}, "cannot be held to this schema"),
        ("claude-opus-5-5", {"schema": {}}, "cannot be held to this schema"),
    ],
)
def test_what_cannot_be_honoured_is_refused_before_it_leaves(name: str, changes: dict[str, Any], why: str) -> None:
    """Each of these would come back as 400, as if the caller had been wrong."""
    reason = at("http://127.0.0.1:1", names={"anthropic": name}).refusal(asked(**changes))

    assert reason is not None
    assert why in reason


def test_a_model_without_a_name_there_is_refused() -> None:
    """And so is what the entry does not say that the model can."""
    assert "no name on anthropic" in (at("http://x", names={"vllm": "m"}).refusal(asked()) or "")
    assert "cannot do schema" in (at("http://x", capabilities=frozenset()).refusal(asked(schema=SCHEMA)) or "")


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
    async with asyncio.timeout(5):
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
