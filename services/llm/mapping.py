"""One typed request into each engine's own words. Pure; what cannot be honoured is refused here, or named as dropped.

Field names and ranges: vLLM `entrypoints/openai` (0.32) and Ollama `docs/api.md`; the differences that matter are in
`reference/engines.md`, rows 5 to 37.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from services.llm.documents import schema_problem
from services.llm.errors import CallerError, ConfigError, DeadError, ErrorType
from services.llm.registry import Capability, Model
from services.llm.sendable import problems as sending_problems
from services.llm.spaces import EmbedRequest
from services.llm.types import ChatRequest, Finish, Message, Rescue, Role, Tool, ToolCall, ToolChoice

MAX_STOPS = 4
"""vLLM refuses more stop strings than this."""

TEMPLATE_TOKENS_PER_MESSAGE = 16
"""More than any chat template of the registry spends around one message (ChatML: 5)."""

TOKENS_PER_IMAGE = 4096
"""More than any vision model of the registry spends on one image."""


def check(request: ChatRequest) -> None:
    """Refuse what one engine would refuse and the other would take in silence. Raises `CallerError`."""
    s = request.sampling
    problems = (
        (not request.messages, "messages is empty"),
        (_ends_wrong(request), "the last message must be the user's or a tool's"),
        (s.max_tokens < 1, "max_tokens={s.max_tokens} must be at least 1"),
        (not 0 <= s.temperature <= 2, "temperature={s.temperature} is outside 0..2"),
        (not 0 < s.top_p <= 1, "top_p={s.top_p} is outside 0..1, or 0"),
        (not 0 <= s.min_p <= 1, "min_p={s.min_p} is outside 0..1"),
        (s.top_k < 0, "top_k={s.top_k} is negative; 0 means off"),
        (
            not 0 < s.repetition_penalty < math.inf,
            "repetition_penalty={s.repetition_penalty} must be above 0, and finite",
        ),
        (not -2 <= s.presence_penalty <= 2, "presence_penalty={s.presence_penalty} is outside -2..2"),
        (not -2 <= s.frequency_penalty <= 2, "frequency_penalty={s.frequency_penalty} is outside -2..2"),
        (s.seed < 0, "seed={s.seed} is negative; Ollama would draw one"),
        (len(s.stop) > MAX_STOPS, "{stops} stop strings; vLLM takes at most {most}"),
        ("" in s.stop, "a stop string is empty"),
        (not request.deadline_s > 0, "deadline_s={request.deadline_s} must be above 0"),
        (request.repairs < 0, "repairs={request.repairs} is negative"),
        (_continues_document(request), "a document or a tool call cannot be continued elsewhere; use Rescue.RESTART"),
    )
    found = [said.format(s=s, request=request, stops=len(s.stop), most=MAX_STOPS) for holds, said in problems if holds]
    if request.schema is not None and (problem := schema_problem(request.schema)):
        found.append(f"schema is not a JSON schema: {problem}")
    found += _message_problems(request) + _tool_problems(request) + sending_problems(request)
    if problem := _prefill_problem(request):
        found.append(problem)
    if found:
        raise CallerError("; ".join(found))


def _ends_wrong(request: ChatRequest) -> bool:
    return bool(request.messages) and request.messages[-1].role not in (Role.USER, Role.TOOL)


def _continues_document(request: ChatRequest) -> bool:
    return request.rescue is Rescue.CONTINUE and bool(request.schema is not None or request.tools)


def _prefill_problem(request: ChatRequest) -> str | None:
    """Both engines' grammars know nothing of a begun answer: behind `{"x": ` they write a whole document (recorded)."""
    clashing = {"a schema": request.schema is not None, "tools": bool(request.tools), "thinking": request.thinking}
    asked = [what for what, is_asked in clashing.items() if is_asked]
    return f"a prefill does not go with {', '.join(asked)}" if request.prefill and asked else None


def _message_problems(request: ChatRequest) -> list[str]:
    found = []
    for message in request.messages:
        if (message.role is Role.TOOL) != (message.call is not None):
            found.append("a message of role tool, and no other, names the call that it answers")
        if message.tool_calls and message.role is not Role.ASSISTANT:
            found.append(f"a message of role {message.role} cannot call tools")
        if message.images and message.role is not Role.USER:
            found.append(f"a message of role {message.role} cannot hold images")
    return found


def _tool_problems(request: ChatRequest) -> list[str]:
    names = [tool.name for tool in request.tools]
    found = [f"the tool {name!r} is there twice" for name in set(names) if names.count(name) > 1]
    for tool in request.tools:
        if problem := schema_problem(tool.parameters):
            found.append(f"the parameters of the tool {tool.name!r} are not a JSON schema: {problem}")
    choice = request.tool_choice
    if choice is not ToolChoice.AUTO and not names:
        found.append(f"tool_choice is {choice!s} and there are no tools")
    elif not isinstance(choice, ToolChoice) and choice not in names:
        found.append(f"tool_choice is {choice!r}; the tools are: {', '.join(names)}")
    return found


def refusal(request: ChatRequest, model: Model, *, engine: str) -> str | None:
    """Why `engine` cannot honour the request with this model; None when it can."""
    if engine not in model.names:
        return f"{model.alias} has no name on {engine}"
    if not model.chats:
        return f"{model.alias} embeds; it is not for chat"
    needed = {
        Capability.SCHEMA: request.schema is not None,
        Capability.TOOLS: bool(request.tools),
        Capability.VISION: any(m.images for m in request.messages),
        Capability.THINKING: request.thinking,
        Capability.PREFILL: bool(request.prefill),
    }
    missing = [str(c) for c, is_needed in needed.items() if is_needed and c not in model.capabilities]
    if missing:
        return f"{model.alias} cannot do {', '.join(missing)}"
    if problem := _prefill_problem(request):
        return problem
    if engine == "vllm" and len(stops(request, model)) > MAX_STOPS:
        return f"with the model's own there are {len(stops(request, model))} stop strings; vLLM takes {MAX_STOPS}"
    if engine == "ollama" and request.tool_choice not in (ToolChoice.AUTO, ToolChoice.NONE):
        return f"Ollama takes no heed of tool_choice={request.tool_choice!s}"
    return None


def name_of(model: Model, *, engine: str) -> str:
    """The engine's own name for the model. Raises `ConfigError` where it has none."""
    if engine not in model.names:
        raise ConfigError(f"{model.alias} has no name on {engine}", type=ErrorType.MODEL_NOT_FOUND)
    return model.names[engine]


def stops(request: ChatRequest, model: Model) -> tuple[str, ...]:
    """The request's stop strings and those of the model's Modelfile, each once."""
    return tuple(dict.fromkeys((*request.sampling.stop, *model.stop)))


def prompt_bound(messages: tuple[Message, ...], tools: tuple[Tool, ...] = ()) -> int:
    """Tokens that the prompt cannot exceed: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    said = sum(len(m.content.encode()) + TEMPLATE_TOKENS_PER_MESSAGE for m in messages)
    calls = sum(len(repr(m.tool_calls).encode()) for m in messages if m.tool_calls)
    images = TOKENS_PER_IMAGE * sum(len(m.images) for m in messages)
    return said + calls + images + sum(len(repr(tool).encode()) for tool in tools)


def headers_of(request: ChatRequest | EmbedRequest) -> dict[str, str]:
    """What ties an engine's log lines and spans to this request."""
    told = {"X-Request-Id": request.request_id, "traceparent": request.traceparent}
    return {name: value for name, value in told.items() if value}


def openai_arguments(request: ChatRequest, model: Model) -> dict[str, Any]:
    """Arguments of the openai SDK's `chat.completions.create`. `max_tokens`, because Ollama's /v1 ignores its heir."""
    s = request.sampling
    extra: dict[str, Any] = {"top_k": s.top_k, "min_p": s.min_p, "repetition_penalty": s.repetition_penalty}
    arguments: dict[str, Any] = {
        "model": name_of(model, engine="vllm"),
        "messages": [_openai_message(m) for m in request.messages],
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "seed": s.seed,
        "n": 1,
        "extra_body": extra,
        "extra_headers": headers_of(request),
    }
    if stop := stops(request, model):
        arguments["stop"] = list(stop)
    if request.schema is not None:
        named = {"name": "answer", "schema": dict(request.schema), "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": named}
    if request.tools:
        arguments["tools"] = [_function(tool, strict=True) for tool in request.tools]
        arguments["tool_choice"] = _openai_choice(request.tool_choice)
    if Capability.THINKING in model.capabilities:
        extra["chat_template_kwargs"] = {"enable_thinking": request.thinking}
    if request.prefill:
        arguments["messages"].append({"role": "assistant", "content": request.prefill})
        extra.update(add_generation_prompt=False, continue_final_message=True)
    return arguments


def _function(tool: Tool, **more: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters), **more}
    return {"type": "function", "function": function}


def _openai_choice(choice: ToolChoice | str) -> Any:
    return str(choice) if isinstance(choice, ToolChoice) else {"type": "function", "function": {"name": choice}}


def _openai_message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.images:
        urls = [f"data:{image.media_type};base64,{image.data}" for image in message.images]
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        told["content"] = [{"type": "text", "text": message.content}, *parts]
    if message.tool_calls:
        told["tool_calls"] = [_openai_call(call) for call in message.tool_calls]
    if message.call is not None:
        told["tool_call_id"] = message.call.id
    return told


def _openai_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def ollama_arguments(request: ChatRequest, model: Model) -> dict[str, Any]:
    """Arguments of the ollama SDK's `chat`, the native API: only there `num_ctx` exists.

    One fixed `num_ctx` per model, because every change reloads it. `keep_alive` -1 keeps the fallback warm.
    `repeat_last_n` -1 has the penalty look at the whole text, as vLLM's does.
    """
    s = request.sampling
    options: dict[str, Any] = {
        "num_ctx": model.context,
        "num_predict": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": s.top_k,
        "min_p": s.min_p,
        "repeat_penalty": s.repetition_penalty,
        "repeat_last_n": -1,
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "seed": s.seed,
    }
    if s.stop:
        options["stop"] = list(stops(request, model))
    arguments: dict[str, Any] = {
        "model": name_of(model, engine="ollama"),
        "messages": [_ollama_message(m) for m in request.messages],
        "options": options,
        "format": None if request.schema is None else dict(request.schema),
        "keep_alive": -1,
    }
    if request.tools and request.tool_choice is not ToolChoice.NONE:
        arguments["tools"] = [_function(tool) for tool in request.tools]
    if Capability.THINKING in model.capabilities:
        arguments["think"] = request.thinking
    if request.prefill:
        arguments["messages"].append({"role": "assistant", "content": request.prefill})
    return arguments


def _ollama_message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": str(message.role), "content": message.content}
    if message.images:
        told["images"] = [base64.b64decode(image.data) for image in message.images]  # the SDK takes a str for a path
    if message.tool_calls:
        told["tool_calls"] = [
            {"function": {"name": call.name, "arguments": dict(call.arguments)}} for call in message.tool_calls
        ]
    if message.call is not None:
        told["tool_name"] = message.call.name
    return told


def finish_of(reason: str | None, *, provider: str) -> Finish | None:
    """An engine's finish word as ours; None while it is still writing. Raises `DeadError` for a word we do not know."""
    match reason:
        case None | "":
            return None
        case "stop":
            return Finish.STOP
        case "length":
            return Finish.LENGTH
        case "tool_calls":
            return Finish.TOOLS
        case "content_filter":
            return Finish.FILTERED
        case other:
            raise DeadError(f"unexpected finish reason {other!r}", provider=provider, type=ErrorType.BAD_RESPONSE)
