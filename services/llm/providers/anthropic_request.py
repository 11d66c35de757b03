"""One typed request into the words of Anthropic's Messages API, and what those words cannot say. Pure.

Fields: API version 2026-10-21, https://platform.claude.com/docs/en/api/migration-2026-10-21, and vLLM 0.32
`entrypoints/anthropic/protocol.py`. That version answers 400 to any temperature, top_p or top_k, whatever its value; so
these are dropped, by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import anthropic

from services.llm import mapping
from services.llm.registry import Model
from services.llm.types import ChatRequest, JSONSchema, Message, Role, Tool, ToolChoice

ENGINE = "anthropic"

OF_GENERATION_4_5 = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
"""They go on from a begun answer, which every later model refuses, and think only with a budget of their own."""

ALWAYS_THINK = ("claude-fable-", "claude-mythos-")
"""They answer 400 to thinking turned off (platform.claude.com, "Troubleshooting thinking", November 2026)."""

THINKING_BUDGET = 1024
"""The least that the models of generation 4.5 take; it counts towards `max_tokens`."""

NEUTRAL = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": 0,
}
"""Sampling that the API has no word for, with the value that changes nothing."""


def dropped(request: ChatRequest) -> tuple[str, ...]:
    """The sampling parameters of the request that the API cannot be told, by name."""
    return tuple(name for name, neutral in NEUTRAL.items() if getattr(request.sampling, name) != neutral)


def refusal(request: ChatRequest, model: Model) -> str | None:
    """Why the API cannot honour the request with this model; None when it can."""
    if reason := mapping.refusal(request, model, engine=ENGINE):
        return reason
    name = model.names[ENGINE]
    older = name.startswith(OF_GENERATION_4_5)
    if request.prefill and not older:
        return f"{name} does not go on from a begun answer"
    if request.prefill != request.prefill.rstrip():
        return "the Messages API takes no begun answer that ends in white space"
    if request.thinking and older and (request.prefill or request.sampling.max_tokens <= THINKING_BUDGET):
        return f"{name} thinks only with max_tokens above {THINKING_BUDGET} and no begun answer"
    if request.thinking and request.tool_choice not in (ToolChoice.AUTO, ToolChoice.NONE):
        return f"the Messages API does not think where tool_choice={request.tool_choice!s}"
    if not request.thinking and name.startswith(ALWAYS_THINK):
        return f"{name} cannot be asked not to think"
    if any(not stop.strip() for stop in request.sampling.stop):
        return "the Messages API takes no stop string of white space alone"
    return _schema_refusal(request)


def arguments(request: ChatRequest, model: Model) -> dict[str, Any]:
    """The body of one POST to `/v1/messages`. `refusal` must have found nothing."""
    system, messages = _turns(request.messages)
    body: dict[str, Any] = {
        "model": model.names[ENGINE],
        "max_tokens": request.sampling.max_tokens,
        "messages": messages,
        "thinking": _thinking(request, model),
    }
    if system:
        body["system"] = system
    if request.sampling.stop:
        body["stop_sequences"] = list(request.sampling.stop)
    if request.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": _narrowed(request.schema)}}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        body["tool_choice"] = _choice(request.tool_choice)
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
    return body


def _thinking(request: ChatRequest, model: Model) -> dict[str, Any]:
    """Always said, because the newer models think where nothing is."""
    if not request.thinking:
        return {"type": "disabled"}
    if model.names[ENGINE].startswith(OF_GENERATION_4_5):
        return {"type": "enabled", "budget_tokens": THINKING_BUDGET}
    return {"type": "adaptive", "display": "summarized"}


def _schema_refusal(request: ChatRequest) -> str | None:
    for schema in _schemas(request):
        try:
            _narrowed(schema)
        except (ValueError, TypeError, AttributeError, AssertionError) as exc:
            return f"the Messages API cannot be held to this schema: {exc}"
    return None


def _schemas(request: ChatRequest) -> Iterable[JSONSchema]:
    yield from (tool.parameters for tool in request.tools)
    if request.schema is not None:
        yield request.schema


def _narrowed(schema: JSONSchema) -> dict[str, Any]:
    """The schema in the part of the language that the API takes; the rest stands in descriptions.

    The whole schema is held against the answer afterwards (`documents.check_completion`).
    """
    return anthropic.transform_schema(dict(schema))


def _tool(tool: Tool) -> dict[str, Any]:
    told = {"name": tool.name, "input_schema": _narrowed(tool.parameters), "strict": True}
    return {**told, "description": tool.description} if tool.description else told


def _choice(choice: ToolChoice | str) -> dict[str, str]:
    if not isinstance(choice, ToolChoice):
        return {"type": "tool", "name": choice}
    return {"type": "any" if choice is ToolChoice.REQUIRED else str(choice)}


def _turns(messages: tuple[Message, ...]) -> tuple[str, list[dict[str, Any]]]:
    """The system prompt, which stands apart, and the turns. Results of calls made together go back together."""
    head = list(itertools.takewhile(lambda m: m.role is Role.SYSTEM, messages))
    turns: list[dict[str, Any]] = []
    for is_result, group in itertools.groupby(messages[len(head) :], key=lambda m: m.role is Role.TOOL):
        if is_result:
            turns.append({"role": "user", "content": [_result(m) for m in group]})
        else:
            turns += [{"role": str(m.role), "content": _content(m)} for m in group]
    return "\n\n".join(m.content for m in head), turns


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images and not message.tool_calls:
        return message.content
    blocks: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
        for image in message.images
    ]
    if message.content:  # an empty text block is refused
        blocks.append({"type": "text", "text": message.content})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]
    return blocks


def _result(message: Message) -> Mapping[str, Any]:
    assert message.call is not None
    return {"type": "tool_result", "tool_use_id": message.call.id, "content": message.content}
