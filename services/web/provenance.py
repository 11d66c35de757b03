"""Who gave an answer, as every body says it in `llm` and every header says it in short."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from fastapi import Response
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from services.llm.types import Answer, Attempt, ChatRequest

_EXAMPLE: JsonDict = {
    "request_id": "5f0c2b1e9d5b4a0e8b6f3f6f2f1d7c11",
    "provider": "vllm",
    "engine": "vllm",
    "model": "smollm2-135m",
    "digest": "root:HuggingFaceTB/SmolLM2-135M-Instruct",
    "attempts": [{"provider": "vllm", "model": "smollm2-135m", "error": None, "duration_s": 0.8, "first_token_s": 0.1}],
    "skipped": [],
    "fallback_reason": None,
    "usage": {"prompt_tokens": 210, "completion_tokens": 18},
    "finish": "stop",
    "duration_s": 0.8,
    "first_token_s": 0.1,
}


PARAMS_HASH_CHARS = 16


class Producer(BaseModel):
    """What made a stored artefact, so that one can tell later which engine and prompt to compare or to run again.

    `digest` is what the engine told of the weights behind the model's name, empty where it told nothing: of Ollama the
    manifest's digest, of vLLM that of the folder it loaded, or `root:` and the folder's name. `params_hash` is equal
    for requests with the same sampling fields, schema and thinking: of two rows that share it and `prompt_version`,
    only the engine and the text differ. Both are empty in rows that were stored before they existed.
    """

    model_config = ConfigDict(frozen=True)

    provider: str
    engine: str
    model: str
    prompt_version: str
    at: str
    digest: str = ""
    params_hash: str = ""


class AttemptInfo(BaseModel):
    """One try at one provider; `error` is null when it answered."""

    provider: str
    model: str
    error: str | None
    duration_s: float
    first_token_s: float | None


class SkipInfo(BaseModel):
    """A provider that was not tried, and why."""

    provider: str
    reason: str


class UsageInfo(BaseModel):
    """Tokens as the engine counted them."""

    prompt_tokens: int | None
    completion_tokens: int | None


class LLMInfo(BaseModel):
    """Who answered, after which attempts; seconds count from the request, failed tries included.

    `digest` is what the engine told of its weights, as in a `Producer`.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    request_id: str
    provider: str
    engine: str
    model: str
    digest: str = ""
    attempts: list[AttemptInfo]
    skipped: list[SkipInfo]
    fallback_reason: str | None
    usage: UsageInfo
    finish: str
    duration_s: float
    first_token_s: float | None


def llm_info(answer: Answer) -> LLMInfo:
    """The `llm` field of an answer."""
    p = answer.provenance
    usage = answer.usage
    return LLMInfo(
        request_id=p.request_id,
        provider=p.provider,
        engine=p.engine,
        model=p.model,
        digest=p.digest,
        attempts=[_attempt(a) for a in p.attempts],
        skipped=[SkipInfo(provider=s.provider, reason=s.reason) for s in p.skipped],
        fallback_reason=p.fallback_reason,
        usage=UsageInfo(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens),
        finish=str(answer.finish),
        duration_s=answer.duration_s,
        first_token_s=answer.first_token_s,
    )


def producer(answer: Answer, request: ChatRequest, *, prompt_version: str, at: str) -> Producer:
    """The producer of what `answer` to `request` becomes in a store."""
    p = answer.provenance
    return Producer(
        provider=p.provider,
        engine=p.engine,
        model=p.model,
        prompt_version=prompt_version,
        at=at,
        digest=p.digest,
        params_hash=params_hash(request),
    )


def params_hash(request: ChatRequest) -> str:
    """What `request` asked beside its words (sampling fields, schema, thinking), as `PARAMS_HASH_CHARS` hex digits."""
    params = {
        "sampling": dataclasses.asdict(request.sampling),
        "schema": request.schema,
        "thinking": request.thinking,
    }
    text = json.dumps(params, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:PARAMS_HASH_CHARS]


def _attempt(attempt: Attempt) -> AttemptInfo:
    return AttemptInfo(
        provider=attempt.provider,
        model=attempt.model,
        error=str(attempt.error.type) if attempt.error else None,
        duration_s=attempt.duration_s,
        first_token_s=attempt.first_token_s,
    )


def told(response: Response, answer: Answer) -> LLMInfo:
    """The `llm` field, and the same in short on the headers of `response`."""
    response.headers["X-LLM-Provider"] = answer.provenance.provider
    response.headers["X-LLM-Model"] = answer.provenance.model
    response.headers["X-LLM-Attempts"] = str(len(answer.provenance.attempts))
    return llm_info(answer)
