"""What goes to Anthropic's Messages API: every field in its words, and what cannot be said there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.llm.providers import anthropic_request
from services.llm.types import (
    Image,
    Message,
    Role,
    Sampling,
    ToolChoice,
)
from tests.fakes.messages import ENTRY, message
from tests.unit.llm.anthropic_desk import CALL, WEATHER, Desk, asked, at, desk_of_a_fake

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["n"],
}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with desk_of_a_fake() as made:
        yield made


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
