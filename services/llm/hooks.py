"""What the client tells about each request: one frozen event, given to every hook when the request has ended."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.llm.tracing import Context
from services.llm.types import Attempt, Outcome, Skip, Usage


class Operation(enum.StrEnum):
    """What was asked for, by OpenTelemetry's `gen_ai.operation.name`."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"


class Result(enum.StrEnum):
    """What became of a request, for whom it was for."""

    OK = "ok"
    PARTIAL = "partial"
    CANCELLED = "cancelled"
    SHED = "shed"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What people and engines wrote: role and text of each message, and the answer. Kept for `LOG_PROMPTS=1` only."""

    prompt: tuple[tuple[str, str], ...]
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """One request, tries included. `provider` is empty where nobody was asked; times in seconds.

    `trace` is its place in a trace where tracing is on; `words` is None unless somebody asked for them.
    """

    request_id: str
    service: str
    alias: str
    operation: Operation
    stream: bool
    route: str
    chain: tuple[str, ...]
    result: Result
    provider: str
    fallback_reason: str | None
    outcome: Outcome | None
    error_type: str
    attempts: tuple[Attempt, ...]
    skipped: tuple[Skip, ...]
    usage: Usage
    queued_s: float
    duration_s: float
    first_token_s: float | None
    trace: Context | None = None
    words: Words | None = None


Hook = Callable[[RequestEvent], None]

PROMPTS_LOGGED = "LOG_PROMPTS=1: this log holds what people wrote; unset it as soon as it is not needed"
"""Said when a service starts with it, and in each event that holds words."""


def log_line(event: RequestEvent) -> str:
    """The wide event as one JSON line: names and numbers. Prompt and answer only where they were kept, and loud."""
    return json.dumps(
        {
            "event": "llm.request",
            "request_id": event.request_id,
            **({"trace_id": event.trace.trace_id, "span_id": event.trace.span_id} if event.trace else {}),
            "service": event.service,
            "alias": event.alias,
            "operation": event.operation,
            "stream": event.stream,
            "route": event.route,
            "result": event.result,
            "provider": event.provider,
            "fallback_reason": event.fallback_reason,
            "outcome": event.outcome,
            "error_type": event.error_type,
            "attempts": [_attempt(a) for a in event.attempts],
            "skipped": [{"provider": s.provider, "reason": s.reason} for s in event.skipped],
            "prompt_tokens": event.usage.prompt_tokens,
            "completion_tokens": event.usage.completion_tokens,
            "queued_s": _rounded(event.queued_s),
            "duration_s": _rounded(event.duration_s),
            "first_token_s": _rounded(event.first_token_s),
            **(_words(event.words) if event.words else {}),
        }
    )


def _attempt(attempt: Attempt) -> dict[str, Any]:
    usage = attempt.usage
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "error": str(attempt.error.type) if attempt.error else None,
        "started_s": _rounded(attempt.started_s),
        "duration_s": _rounded(attempt.duration_s),
        "first_token_s": _rounded(attempt.first_token_s),
        **({"finish": attempt.finish} if attempt.finish else {}),
        **({"tokens": [usage.prompt_tokens, usage.completion_tokens]} if usage else {}),
        **({"span_id": attempt.span_id} if attempt.span_id else {}),
        **({"repair": True} if attempt.repair else {}),
        **({"dropped": attempt.dropped} if attempt.dropped else {}),
    }


def _words(words: Words) -> dict[str, Any]:
    return {"warning": PROMPTS_LOGGED, "prompt": words.prompt, "answer": words.answer}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def log_to(logger: logging.Logger) -> Hook:
    """A hook that writes each event as one line; as a warning where it holds what people wrote."""

    def write(event: RequestEvent) -> None:
        logger.log(logging.WARNING if event.words else logging.INFO, "%s", log_line(event))

    return write
