"""The chat wire format read frame by frame: calls in pieces, usage, thinking, errors, and every kind of nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.errors import (
    BusyError,
    CallerError,
    ConfigError,
    ContextTooLong,
    DeadError,
    ErrorType,
    LLMError,
    PartialError,
)
from services.llm.providers.openai_wire import FrameReader, completion_of, vectors_of
from services.llm.types import Chunk, Completion, Finish, ToolCall, Usage


def read(*frames: Any) -> list[Chunk]:
    reader = FrameReader("vllm")
    return [reader.chunk(json.dumps(frame).encode()) for frame in frames]


def frame(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}], **more}


def piece(index: int | None, arguments: str = "", **named: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": named["name"]} if "name" in named else {})}
    call = {"type": "function", "function": function, **({"id": named["id"]} if "id" in named else {})}
    return call if index is None else {"index": index, **call}


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    return frame({"tool_calls": list(pieces)})


ZURICH = ToolCall(id="a", name="weather", arguments={"city": "Zürich"})
BERN = ToolCall(id="b", name="clock", arguments={"city": "Bern"})


def test_tool_calls_come_in_pieces_and_are_handed_on_whole() -> None:
    """With the frame that says why they ended; each piece before shows the model at work, and none is text."""
    chunks = read(
        frame({"role": "assistant", "content": ""}),
        calls(piece(0, id="a", name="weather")),
        calls(piece(0, '{"ci')),
        calls(piece(0, 'ty": "Z'), piece(1, '{"city"', id="b", name="clock")),
        calls(piece(1, ': "Bern"}'), piece(0, 'ürich"}')),
        frame(finish="tool_calls"),
    )

    assert [c.at_work for c in chunks] == [False, True, True, True, True, False]
    assert [c.tool_calls for c in chunks] == [()] * 5 + [(ZURICH, BERN)]
    assert chunks[-1].finish is Finish.TOOLS
    assert "".join(c.text for c in chunks) == ""


def test_calls_without_a_number_are_told_apart_by_their_ids() -> None:
    """Some servers leave it out where each call comes in one piece."""
    *_, last = read(
        calls(piece(None, '{"city": "Zü', id="a", name="weather")),
        calls(piece(None, 'rich"}')),
        calls(piece(None, '{"city": "Bern"}', id="b", name="clock")),
        frame(finish="tool_calls"),
    )

    assert last.tool_calls == (ZURICH, BERN)


def test_a_call_without_arguments_has_none() -> None:
    """Empty text, or nothing at all."""
    *_, last = read(calls(piece(0, "", id="a", name="clock")), frame(finish="tool_calls"))

    assert last.tool_calls == (ToolCall(id="a", name="clock", arguments={}),)


@pytest.mark.parametrize(
    "arguments",
    [
        '{"city": "Zü',
        "[1]",
        '"text"',
        "null",
        "7",
        "<tool_call>",
        '{"x": NaN}',
        '{"x": -Infinity}',
        pytest.param('{"x": ' + "[" * 100_000, id="nested"),
    ],
)
def test_arguments_that_are_no_object_are_the_models_fault(arguments: str) -> None:
    """The next provider may do better; the engine that passed them on is not ill. Whole or streamed."""
    with pytest.raises(PartialError) as caught:
        read(calls(piece(0, arguments, id="a", name="weather")), frame(finish="tool_calls"))
    assert (caught.value.text, caught.value.type) == (arguments, ErrorType.BAD_RESPONSE)

    message = {"content": None, "tool_calls": [{"id": "a", "function": {"name": "weather", "arguments": arguments}}]}
    whole = {"choices": [{"message": message, "finish_reason": "length"}]}
    with pytest.raises(PartialError):
        completion_of(json.dumps(whole).encode(), provider="vllm")


def test_usage_on_every_chunk_is_told_each_time_and_never_added() -> None:
    """`--enable-force-include-usage` sends it with each frame and once more with no choices."""
    counts = [{"prompt_tokens": 5, "completion_tokens": n, "total_tokens": 5 + n} for n in (1, 2, 2)]
    chunks = read(
        frame({"content": "a"}, usage=counts[0]),
        frame({"content": "b"}, "stop", usage=counts[1]),
        {"choices": [], "usage": counts[2]},
    )

    assert [c.usage for c in chunks] == [Usage(prompt_tokens=5, completion_tokens=n) for n in (1, 2, 2)]
    assert read(frame({"content": "a"}), frame({"content": "a"}, usage=None))[1].usage is None


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_thinking_is_apart_from_the_text_under_either_name(field: str) -> None:
    """It shows the model at work, and is no content."""
    thought, said = read(frame({field: "Hm."}), frame({"content": "Yes.", field: None}))

    assert (thought.thinking, thought.text, thought.at_work) == ("Hm.", "", True)
    assert (said.thinking, said.text, said.at_work) == ("", "Yes.", False)

    message = {"content": "Yes.", field: "Hm."}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert completion_of(json.dumps(whole).encode(), provider="vllm") == Completion(
        text="Yes.", finish=Finish.STOP, thinking="Hm."
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}, DeadError),
        ({"message": "Grammar error", "type": "BadRequestError", "code": 400}, CallerError),
        ({"message": "too long", "param": "input_tokens", "code": 400}, ContextTooLong),
        ({"message": "too long", "code": "context_length_exceeded"}, ContextTooLong),
        ({"message": "flagged", "code": "content_filter"}, CallerError),
        ({"message": "no such model", "code": 404}, ConfigError),
        ({"message": "busy", "code": 503}, BusyError),
        ({"message": "busy", "code": "429"}, BusyError),
        ({"message": "odd", "code": 7}, DeadError),
        ({"message": "odd", "code": None}, DeadError),
        ({"message": "odd", "code": True}, DeadError),
        ({"message": "odd", "code": [400]}, DeadError),
        ("in words", DeadError),
        (["in", "a", "list"], DeadError),
    ],
)
def test_an_error_event_is_what_its_code_says(error: object, expected: type[LLMError]) -> None:
    """The status that came too late, before the first content and behind it; illness where there is none."""
    for before in ([], [frame({"content": "a"})]):
        with pytest.raises(LLMError) as caught:
            read(*before, {"error": error})
        assert type(caught.value) is expected
    with pytest.raises(LLMError) as caught:
        completion_of(json.dumps({"error": error}).encode(), provider="vllm")
    assert type(caught.value) is expected


def test_an_error_that_is_null_is_none_and_so_are_choices() -> None:
    """Some servers send the fields with each frame."""
    said, counted = read(frame({"content": "a"}, error=None), {"choices": None, "usage": {"prompt_tokens": 5}})
    assert (said.text, counted.usage) == ("a", Usage(prompt_tokens=5))


@pytest.mark.parametrize(
    "frame",
    [
        *("null", "true", "7", "1.5", '"text"', "[]", "{}", '["error"]', "{not json", "", "\\xff", "[" * 100_000),
        *('{"choices": 7}', '{"choices": "text"}', '{"choices": [7]}', '{"choices": [{}]}', '{"choices": {"a": 1}}'),
        *('{"choices": [{"delta": null}]}', '{"choices": [{"delta": []}]}', '{"choices": [{"delta": "text"}]}'),
        *(f'{{"choices": [{{"delta": {{"content": {value}}}}}]}}' for value in ("7", "true", "[1]", '{"a": 1}')),
        *(f'{{"choices": [{{"delta": {{"reasoning": {value}}}}}]}}' for value in ("7", "[1]")),
        *(f'{{"choices": [{{"delta": {{"tool_calls": {value}}}}}]}}' for value in ("7", '"ab"', "[7]", '{"a": 1}')),
        '{"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 1e999}]}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": {"a": 1}}}]}}]}',
        '{"choices": [{"delta": {}, "finish_reason": "odd"}]}',
        '{"choices": [{"delta": {}, "finish_reason": ["stop"]}]}',
        *(f'{{"choices": [], "usage": {value}}}' for value in ("[1]", "7", '"text"', '{"prompt_tokens": "7"}')),
    ],
    ids=lambda text: text[:60],
)
def test_nonsense_is_an_ill_engine(frame: str) -> None:
    """Never a raw exception, and never taken for an answer."""
    with pytest.raises(DeadError) as caught:
        FrameReader("vllm").chunk(frame.encode())
    assert caught.value.type is ErrorType.BAD_RESPONSE
    assert caught.value.provider == "vllm"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("stop"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FUNCTION = st.fixed_dictionaries({}, optional={"name": ANYTHING, "arguments": ANYTHING})
CALLS = st.lists(
    ANYTHING | st.fixed_dictionaries({}, optional={"index": ANYTHING, "id": ANYTHING, "function": FUNCTION | ANYTHING}),
    max_size=3,
)
SAYS = ANYTHING | st.fixed_dictionaries(
    {}, optional={"content": ANYTHING, "reasoning": ANYTHING, "tool_calls": CALLS | ANYTHING}
)
FINISH = st.sampled_from(["stop", "tool_calls", None]) | ANYTHING
CHOICE = st.fixed_dictionaries({"delta": SAYS, "message": SAYS, "finish_reason": FINISH})
USAGE = ANYTHING | st.fixed_dictionaries({"prompt_tokens": ANYTHING, "completion_tokens": ANYTHING})
BODIES = ANYTHING | st.fixed_dictionaries(
    {"choices": st.lists(CHOICE | ANYTHING, max_size=2) | ANYTHING}, optional={"usage": USAGE, "error": ANYTHING}
)


def is_sound(said: Chunk | Completion) -> bool:
    """Whether every field is of its type, so that nothing behind has to ask."""
    counts = (said.usage.prompt_tokens, said.usage.completion_tokens) if said.usage else ()
    return (
        isinstance(said.text, str)
        and isinstance(said.thinking, str)
        and all(isinstance(count, int | None) for count in counts)
        and all(isinstance(c.name, str) and isinstance(c.id, str) for c in said.tool_calls)
        and all(isinstance(c.arguments, dict) for c in said.tool_calls)
    )


@given(st.lists(BODIES, max_size=4))
def test_any_json_is_a_sound_frame_or_our_own_error(frames: list[Any]) -> None:
    """Whatever a server sends in these places."""
    reader = FrameReader("vllm")
    for one in frames:
        try:
            assert is_sound(reader.chunk(json.dumps(one).encode()))
        except LLMError:
            return


@given(BODIES)
def test_any_json_is_a_sound_answer_or_our_own_error(body: Any) -> None:
    """The same for a whole answer."""
    try:
        assert is_sound(completion_of(json.dumps(body).encode(), provider="vllm"))
    except LLMError:
        return


@given(
    ANYTHING
    | st.fixed_dictionaries(
        {"data": st.lists(st.fixed_dictionaries({"index": ANYTHING, "embedding": ANYTHING}), max_size=2)}
    )
)
def test_any_json_is_vectors_or_our_own_error(body: Any) -> None:
    """Numbers only."""
    try:
        vectors = vectors_of(json.dumps(body).encode(), provider="vllm")
    except LLMError:
        return
    assert all(isinstance(x, float) for row in vectors.rows for x in row)


def test_vectors_come_in_the_order_of_their_texts() -> None:
    """By their index, however they are listed."""
    rows = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]
    body = json.dumps({"data": rows, "usage": {"prompt_tokens": 6}}).encode()
    vectors = vectors_of(body, provider="vllm")

    assert vectors.rows == ((1.0, 0.0), (0.0, 1.0))
    assert vectors.usage == Usage(prompt_tokens=6)
