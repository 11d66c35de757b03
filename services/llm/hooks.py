"""What the client tells about each request: one frozen event, given to every hook when the request has ended."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

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
class RequestEvent:
    """One request, tries included. `provider` is empty where nobody was asked; times in seconds."""

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


Hook = Callable[[RequestEvent], None]


def log_line(event: RequestEvent) -> str:
    """The wide event as one JSON line: names and numbers, never a prompt or an answer."""
    return json.dumps(
        {
            "event": "llm.request",
            "request_id": event.request_id,
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
            "attempts": [
                {
                    "provider": a.provider,
                    "error": str(a.error.type) if a.error else None,
                    "duration_s": _rounded(a.duration_s),
                    "first_token_s": _rounded(a.first_token_s),
                    **({"repair": True} if a.repair else {}),
                    **({"dropped": a.dropped} if a.dropped else {}),
                }
                for a in event.attempts
            ],
            "skipped": [{"provider": s.provider, "reason": s.reason} for s in event.skipped],
            "prompt_tokens": event.usage.prompt_tokens,
            "completion_tokens": event.usage.completion_tokens,
            "queued_s": _rounded(event.queued_s),
            "duration_s": _rounded(event.duration_s),
            "first_token_s": _rounded(event.first_token_s),
        }
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def log_to(logger: logging.Logger) -> Hook:
    """A hook that writes each event as one line."""

    def write(event: RequestEvent) -> None:
        logger.info("%s", log_line(event))

    return write
