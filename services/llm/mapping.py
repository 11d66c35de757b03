"""One typed request into each engine's own words. Pure; what cannot be honoured is refused here, never dropped.

Field names and ranges: vLLM `entrypoints/openai` (0.32) and Ollama `docs/api.md`; the differences that matter are in
`reference/engines.md`, rows 5 to 20 and 25 to 28.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from services.llm.errors import CallerError, DeadError, ErrorType, PartialError
from services.llm.types import ChatRequest, Completion, Finish, JSONSchema, Message

MAX_STOPS = 4
"""vLLM refuses more stop strings than this."""

TEMPLATE_TOKENS_PER_MESSAGE = 16
"""More than any chat template of the registry spends around one message (ChatML: 5)."""


def check(request: ChatRequest) -> None:
    """Refuse what one engine would refuse and the other would take in silence. Raises `CallerError`."""
    s = request.sampling
    problems = {
        "messages is empty": not request.messages,
        "the last message must be the user's": bool(request.messages) and request.messages[-1].role != "user",
        f"max_tokens={s.max_tokens} must be at least 1": s.max_tokens < 1,
        f"temperature={s.temperature} is outside 0..2": not 0 <= s.temperature <= 2,
        f"top_p={s.top_p} is outside 0..1, or 0": not 0 < s.top_p <= 1,
        f"min_p={s.min_p} is outside 0..1": not 0 <= s.min_p <= 1,
        f"top_k={s.top_k} is negative; 0 means off": s.top_k < 0,
        f"repetition_penalty={s.repetition_penalty} must be above 0": s.repetition_penalty <= 0,
        f"presence_penalty={s.presence_penalty} is outside -2..2": not -2 <= s.presence_penalty <= 2,
        f"frequency_penalty={s.frequency_penalty} is outside -2..2": not -2 <= s.frequency_penalty <= 2,
        f"{len(s.stop)} stop strings; vLLM takes at most {MAX_STOPS}": len(s.stop) > MAX_STOPS,
        "a stop string is empty": "" in s.stop,
        f"deadline_s={request.deadline_s} must be above 0": request.deadline_s <= 0,
    }
    found = [problem for problem, holds in problems.items() if holds]
    if request.schema is not None:
        found += _schema_problems(request.schema)
    if found:
        raise CallerError("; ".join(found))


def _schema_problems(schema: JSONSchema) -> list[str]:
    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as exc:
        return [f"schema is not a JSON schema: {exc.message}"]
    return []


def check_completion(request: ChatRequest, completion: Completion, *, provider: str) -> None:
    """With a schema only a whole, valid document is an answer. Raises `PartialError` (the next provider may try)."""
    if request.schema is None:
        return
    if completion.finish is Finish.LENGTH:
        detail = f"the document was cut at max_tokens={request.sampling.max_tokens}"
        raise PartialError(detail, text=completion.text, provider=provider, type=ErrorType.BAD_RESPONSE)
    problem = _document_problem(request.schema, completion.text)
    if problem:
        raise PartialError(problem, text=completion.text, provider=provider, type=ErrorType.BAD_RESPONSE)


def _document_problem(schema: JSONSchema, text: str) -> str | None:
    try:
        document = json.loads(text)
    except ValueError as exc:
        return f"the answer is not JSON: {exc}"
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(dict(schema)).iter_errors(document))
    return f"the answer does not fit the schema: {error.message}" if error else None


def prompt_bound(messages: tuple[Message, ...]) -> int:
    """Tokens that the prompt cannot exceed: a byte-level tokenizer never makes more tokens than UTF-8 bytes."""
    return sum(len(m.content.encode()) + TEMPLATE_TOKENS_PER_MESSAGE for m in messages)


def openai_arguments(request: ChatRequest, model: str) -> dict[str, Any]:
    """Arguments of the openai SDK's `chat.completions.create`. `max_tokens`, because Ollama's /v1 ignores its heir."""
    s = request.sampling
    arguments: dict[str, Any] = {
        "model": model,
        "messages": [{"role": str(m.role), "content": m.content} for m in request.messages],
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "seed": s.seed,
        "n": 1,
        "extra_body": {"top_k": s.top_k, "min_p": s.min_p, "repetition_penalty": s.repetition_penalty},
        "extra_headers": {"X-Request-Id": request.request_id} if request.request_id else {},
    }
    if s.stop:
        arguments["stop"] = list(s.stop)
    if request.schema is not None:
        named = {"name": "answer", "schema": dict(request.schema), "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": named}
    return arguments


def ollama_arguments(request: ChatRequest, model: str, *, num_ctx: int) -> dict[str, Any]:
    """Arguments of the ollama SDK's `chat`, the native API: only there `num_ctx` exists.

    One fixed `num_ctx` per model, because every change reloads it. `keep_alive` -1 keeps the fallback warm.
    """
    s = request.sampling
    options: dict[str, Any] = {
        "num_ctx": num_ctx,
        "num_predict": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "top_k": s.top_k,
        "min_p": s.min_p,
        "repeat_penalty": s.repetition_penalty,
        "presence_penalty": s.presence_penalty,
        "frequency_penalty": s.frequency_penalty,
        "seed": s.seed,
    }
    if s.stop:
        options["stop"] = list(s.stop)
    return {
        "model": model,
        "messages": [{"role": str(m.role), "content": m.content} for m in request.messages],
        "options": options,
        "format": None if request.schema is None else dict(request.schema),
        "keep_alive": -1,
    }


def finish_of(reason: str | None, *, provider: str) -> Finish | None:
    """An engine's finish word as ours; None while it is still writing. Raises `DeadError` for a word we do not know."""
    match reason:
        case None | "":
            return None
        case "stop":
            return Finish.STOP
        case "length":
            return Finish.LENGTH
        case other:
            raise DeadError(f"unexpected finish reason {other!r}", provider=provider, type=ErrorType.BAD_RESPONSE)
