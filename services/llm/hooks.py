"""What the client tells about each request: one frozen event, given to every hook when the request has ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from services.llm.types import Attempt, Outcome, Skip, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEvent:
    """One request, tries included. `result` is `ok`, `partial`, `cancelled`, `shed` or `error`; times in seconds."""

    request_id: str
    service: str
    alias: str
    stream: bool
    route: str
    chain: tuple[str, ...]
    result: str
    provider: str
    fallback_reason: str | None
    outcome: Outcome | None
    error_type: str
    attempts: tuple[Attempt, ...]
    skipped: tuple[Skip, ...]
    usage: Usage
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
                    "duration_s": round(a.duration_s, 4),
                    "first_token_s": round(a.first_token_s, 4) if a.first_token_s is not None else None,
                }
                for a in event.attempts
            ],
            "skipped": [{"provider": s.provider, "reason": s.reason} for s in event.skipped],
            "prompt_tokens": event.usage.prompt_tokens,
            "completion_tokens": event.usage.completion_tokens,
            "duration_s": round(event.duration_s, 4),
            "first_token_s": round(event.first_token_s, 4) if event.first_token_s is not None else None,
        }
    )


def log_to(logger: logging.Logger) -> Hook:
    """A hook that writes each event as one line."""

    def write(event: RequestEvent) -> None:
        logger.info("%s", log_line(event))

    return write
