"""What the client tells about each request: one frozen event, given to every hook when the request has ended."""

from __future__ import annotations

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
    result: str
    provider: str
    outcome: Outcome | None
    error_type: str
    attempts: tuple[Attempt, ...]
    skipped: tuple[Skip, ...]
    usage: Usage
    duration_s: float
    first_token_s: float | None


Hook = Callable[[RequestEvent], None]
