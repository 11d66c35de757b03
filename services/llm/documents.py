"""Whether an answer is what was asked for: a document that fits its schema, calls that fit their tools. Pure."""

from __future__ import annotations

import json
from typing import Any

from services.llm.errors import ErrorType, PartialError
from services.llm.types import ChatRequest, Completion, Finish, JSONSchema, ToolCall, ToolChoice


def schema_problem(schema: JSONSchema) -> str | None:
    """Why `schema` is not a JSON schema (draft 2020-12); None when it is."""
    from services.llm import schemas  # see there why so late

    return schemas.problem(schema)


def check_completion(request: ChatRequest, completion: Completion, *, provider: str) -> None:
    """Only what says something, and with a schema or tools is whole and fits, is an answer.

    Raises `PartialError`: the next provider may try, and none is blamed for illness.
    """
    problem = _emptiness(request, completion)
    if request.tools and problem is None:
        problem = _calls_problem(request, completion)
    if request.schema is not None and not completion.tool_calls and problem is None:
        problem = _document_problem(request, completion)
    if problem:
        raise PartialError(problem, text=completion.text, provider=provider, type=ErrorType.BAD_RESPONSE)


def _emptiness(request: ChatRequest, completion: Completion) -> str | None:
    """Nothing at all is no answer, unless it may be one: behind a beginning, before a stop string, or declined."""
    may_be_empty = request.prefill or request.sampling.stop or completion.finish is Finish.FILTERED
    if completion.text or completion.tool_calls or may_be_empty:
        return None
    return "the answer is empty"


def _document_problem(request: ChatRequest, completion: Completion) -> str | None:
    assert request.schema is not None
    if completion.finish is Finish.LENGTH:
        return f"the document was cut at max_tokens={request.sampling.max_tokens}"
    try:
        document = json.loads(completion.text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        return f"the answer is not JSON: {exc}"
    misfit = _misfit(request.schema, document)
    return f"the answer does not fit the schema: {misfit}" if misfit else None


def _calls_problem(request: ChatRequest, completion: Completion) -> str | None:
    calls, choice = completion.tool_calls, request.tool_choice
    if choice is ToolChoice.NONE:
        return "a tool was called that was not to be" if calls else None
    if choice is not ToolChoice.AUTO and not calls:
        cut = f", cut at max_tokens={request.sampling.max_tokens}" if completion.finish is Finish.LENGTH else ""
        return f"no tool was called, tool_choice is {choice!s}{cut}"
    wanted = None if isinstance(choice, ToolChoice) else choice
    schemas = {tool.name: tool.parameters for tool in request.tools}
    return next(filter(None, (_call_problem(call, schemas, wanted) for call in calls)), None)


def _call_problem(call: ToolCall, schemas: dict[str, JSONSchema], wanted: str | None) -> str | None:
    if call.name not in schemas:
        return f"a tool {call.name!r} was called that does not exist"
    if wanted not in (None, call.name):
        return f"the tool {call.name!r} was called, tool_choice is {wanted!r}"
    misfit = _misfit(schemas[call.name], dict(call.arguments))
    return f"the arguments of {call.name!r} do not fit: {misfit}" if misfit else None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _misfit(schema: JSONSchema, document: Any) -> str | None:
    from services.llm import schemas

    return schemas.misfit(schema, document)
