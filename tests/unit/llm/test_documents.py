"""What counts as an answer to a request with a schema or tools."""

from __future__ import annotations

from typing import Any

import pytest

from services.llm.documents import check_completion, schema_problem
from services.llm.errors import ErrorType, PartialError
from services.llm.types import Completion, Finish, Sampling, Tool, ToolCall, ToolChoice
from tests.unit.llm.conftest import ask

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "size": {"type": "number"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = tuple(Tool(name=name, description="", parameters=CITY) for name in ("weather", "clock"))


def call(name: str = "weather", **arguments: Any) -> ToolCall:
    return ToolCall(id="a", name=name, arguments=arguments)


def problem(completion: Completion, **asked: Any) -> str | None:
    """Why it is no answer; None when it is one."""
    try:
        check_completion(ask(**asked), completion, provider="vllm")
    except PartialError as exc:
        assert (exc.provider, exc.type, exc.text) == ("vllm", ErrorType.BAD_RESPONSE, completion.text)
        return exc.detail
    return None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"city": "Bern"}', None),
        (' \n{"city": "Bern", "size": 1.5}\n\n', None),
        ('{"size": 1}', "'city' is a required property"),
        ('{"city": 7}', "7 is not of type 'string'"),
        ('{"city": "Bern", "x": 1}', "Additional properties are not allowed"),
        ('{"city": "Bern", "size": NaN}', "NaN is not JSON"),
        ('{"city": "Bern", "size": -Infinity}', "-Infinity is not JSON"),
        ('["Bern"]', "is not of type 'object'"),
        ('{"city": "Be', "is not JSON"),
        ('{"city": "Bern"} And that is all.', "is not JSON"),
        ('```json\n{"city": "Bern"}\n```', "is not JSON"),
        ("", "the answer is empty"),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_document_fits_its_schema_whole(text: str, says: str | None) -> None:
    """Nothing around it, nothing missing; white space is no matter."""
    found = problem(Completion(text=text, finish=Finish.STOP), schema=CITY)

    assert (found is None) == (says is None)
    assert says is None or says in str(found)


def test_a_document_that_was_cut_is_none_even_if_it_parses() -> None:
    """`{}` may be the beginning of more."""
    assert "was cut at max_tokens=8" in str(problem(Completion(text="{}", finish=Finish.LENGTH), schema={}))


@pytest.mark.parametrize("finish", [Finish.STOP, Finish.LENGTH])
def test_without_schema_and_tools_any_text_is_an_answer_and_none_is_not(finish: Finish) -> None:
    """A limit of one token is a request like others; nothing at all is an answer only where it may be one."""
    assert problem(Completion(text="a", finish=finish)) is None
    assert problem(Completion(text="", finish=finish)) == "the answer is empty"
    assert problem(Completion(text="", finish=finish), prefill="One") is None
    assert problem(Completion(text="", finish=finish), sampling=Sampling(max_tokens=8, stop=("a",))) is None
    assert problem(Completion(text="", finish=Finish.FILTERED)) is None


AUTO, NONE, REQUIRED = ToolChoice.AUTO, ToolChoice.NONE, ToolChoice.REQUIRED


@pytest.mark.parametrize(
    ("choice", "calls", "says"),
    [
        (AUTO, (), None),
        (AUTO, (call(city="Bern"),), None),
        (AUTO, (call(city="Bern"), call("clock", city="Bern")), None),
        (AUTO, (call("paint", city="Bern"),), "'paint' was called that does not exist"),
        (AUTO, (call(city="Bern"), call("clock")), "arguments of 'clock' do not fit: 'city' is a required property"),
        (AUTO, (call(city=7),), "7 is not of type 'string'"),
        (NONE, (), None),
        (NONE, (call(city="Bern"),), "was not to be"),
        (REQUIRED, (), "no tool was called, tool_choice is required"),
        (REQUIRED, (call("clock", city="Bern"),), None),
        ("clock", (), "no tool was called, tool_choice is clock"),
        ("clock", (call("clock", city="Bern"),), None),
        ("clock", (call(city="Bern"),), "'weather' was called, tool_choice is 'clock'"),
        ("clock", (call("clock", city="Bern"), call(city="Bern")), "'weather' was called, tool_choice is 'clock'"),
    ],
)
def test_calls_are_those_that_were_asked_for(
    choice: ToolChoice | str, calls: tuple[ToolCall, ...], says: str | None
) -> None:
    """An engine may take no heed of the choice and enforce no schema: both are looked at here."""
    finish = Finish.TOOLS if calls else Finish.STOP
    completion = Completion(text="" if calls else "In words.", finish=finish, tool_calls=calls)
    found = problem(completion, tools=TOOLS, tool_choice=choice)

    assert (found is None) == (says is None)
    assert says is None or says in str(found)


def test_markup_of_a_call_that_was_cut_is_no_call() -> None:
    """vLLM answers 200 with the raw beginning as text where `required` met the limit."""
    completion = Completion(text='<tool_call>{"name": "wea', finish=Finish.LENGTH)
    found = problem(completion, tools=TOOLS, tool_choice=REQUIRED)

    assert "no tool was called, tool_choice is required, cut at max_tokens=8" in str(found)


def test_with_both_a_call_stands_for_the_document() -> None:
    """The document comes once the results are there; without a call it is due now."""
    asked = {"tools": TOOLS, "schema": CITY}

    assert problem(Completion(text="", finish=Finish.TOOLS, tool_calls=(call(city="Bern"),)), **asked) is None
    assert problem(Completion(text='{"city": "Bern"}', finish=Finish.STOP), **asked) is None
    assert "is not JSON" in str(problem(Completion(text="In words.", finish=Finish.STOP), **asked))


def test_a_schema_that_goes_round_in_circles_is_said() -> None:
    """Valid, and no document can ever be checked against it."""
    circle = {"$ref": "#"}

    assert schema_problem(circle) is None
    assert "round in circles" in str(problem(Completion(text="{}", finish=Finish.STOP), schema=circle))


def test_a_reference_out_of_the_schema_is_never_fetched() -> None:
    """The validator's own registry would open the address."""
    away = {"$ref": "http://127.0.0.1:9/schema.json"}

    assert "leads nowhere" in str(schema_problem(away))
    assert schema_problem({"enum": [1], "properties": {"$ref": {"type": "string"}}}) is None


def test_a_schema_nested_too_deep_is_said() -> None:
    """Not raised as something else."""
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    assert "too deep" in str(schema_problem(deep))


def test_a_number_beyond_all_measure_is_judged() -> None:
    """The validator divides in floating point, and would raise what is no error of ours."""
    said = problem(Completion(text=str(10**400), finish=Finish.STOP), schema={"type": "integer", "multipleOf": 0.5})

    assert said is not None
    assert "cannot be judged" in said


def test_a_dynamic_reference_that_leads_nowhere_is_refused_before_anybody_is_asked() -> None:
    """It would only be met where an answer is judged, when the work is done."""
    assert schema_problem({"$dynamicRef": "#nowhere"}) is not None
    assert schema_problem({"$dynamicAnchor": "node", "properties": {"next": {"$dynamicRef": "#node"}}}) is None
