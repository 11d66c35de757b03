"""What no engine should get is refused by us, before anybody is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.llm.errors import CallerError
from services.llm.mapping import check
from services.llm.types import Message, Role, ToolChoice
from tests.unit.llm.conftest import ask
from tests.unit.llm.wishes import ARGUMENTS, CALL, ODD, PIXEL, USER, WEATHER


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"messages": (USER, Message(role=Role.ASSISTANT, content="Yes"))}, "last message"),
        ({"messages": (replace(USER, call=CALL),)}, "of role tool, and no other"),
        ({"messages": (Message(role=Role.TOOL, content="rain"),)}, "of role tool, and no other"),
        ({"messages": (replace(USER, tool_calls=(CALL,)),)}, "user cannot call tools"),
        ({"messages": (Message(role=Role.SYSTEM, content="", images=(PIXEL,)), USER)}, "system cannot hold images"),
        ({"tools": (WEATHER, WEATHER)}, "'weather' is there twice"),
        ({"tools": (replace(WEATHER, parameters={"type": "nonsense"}),)}, "'weather' are not a JSON schema"),
        ({"tool_choice": ToolChoice.REQUIRED}, "there are no tools"),
        ({"tool_choice": "clock", "tools": (WEATHER,)}, "'clock'; the tools are: weather"),
        ({"prefill": "{", "schema": ARGUMENTS}, "prefill does not go with a schema"),
        ({"prefill": "{", "tools": (WEATHER,), "thinking": True}, "does not go with tools, thinking"),
        ({"schema": {"$ref": "https://example.invalid/schema.json"}}, "leads nowhere"),
        ({"schema": {"properties": {"a": {"$ref": "#/$defs/b"}}}}, "leads nowhere"),
        ({"schema": {"pattern": "["}}, "not a JSON schema"),
        ({"repairs": -1}, "repairs=-1"),
        ({"sampling": replace(ODD, stop=("",))}, "stop string is empty"),
        ({"sampling": replace(ODD, stop=tuple("abcde"))}, "5 stop strings"),
    ],
)
def test_what_no_engine_should_get_is_refused(change: dict[str, Any], says: str) -> None:
    """By us, in words that name the field, because one engine would refuse it and the other swallow it."""
    with pytest.raises(CallerError) as caught:
        check(ask(**change))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_tokens", (0, -1)),
        ("temperature", (-0.1, 2.1, float("nan"))),
        ("top_p", (0, 1.1)),
        ("top_k", (-1,)),
        ("min_p", (-0.1, 1.1)),
        ("repetition_penalty", (0, -1)),
        ("presence_penalty", (-2.1, 2.1)),
        ("frequency_penalty", (-2.1, 2.1)),
        ("seed", (-1,)),
    ],
)
def test_a_sampling_field_out_of_range_is_refused(name: str, values: tuple[Any, ...]) -> None:
    """vLLM answers 400 to most, Ollama 200 to all: 5 as temperature, -1 as a seed drawn at random."""
    for value in values:
        change: dict[str, Any] = {name: value}
        with pytest.raises(CallerError, match=f"{name}={value}"):
            check(ask(sampling=replace(ODD, **change)))


def test_a_reference_within_the_schema_is_fine() -> None:
    """By pointer, and to itself, as trees need."""
    tree = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}}
    check(ask(schema={**tree, "$ref": "#/$defs/node"}))
