"""The ticket: a file in the state folder that says who wants what of a service recorded, until when and how much.

`cutover record` writes it, the service watches it. Without one nothing is ever captured. A file that cannot be read is
no ticket: in doubt nothing is recorded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
FOLDER = "recorded"
MAX_REQUESTS, MAX_MINUTES = 10_000, 24 * 60
MAX_BODY_BYTES = 32 * 1024
"""A request's body above this is not recorded: redacting it would take the service's processor for too long."""

MAX_TOTAL_BYTES = 32 * 1024 * 1024


class TicketError(ValueError):
    """The file is not what `cutover record` writes. The message names the file and the fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One recording that somebody asked for. `at` and `until` are ISO 8601 UTC; `share` of requests, above 0, to 1."""

    id: str
    service: str
    by: str
    at: str
    until: str
    requests: int
    share: float = 1.0
    body_bytes: int = MAX_BODY_BYTES
    total_bytes: int = MAX_TOTAL_BYTES
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.id and self.id.replace("-", "").isalnum() and self.id.isascii()):
            raise ValueError(f"id {self.id!r} is not made of letters, digits and dashes")
        if datetime.fromisoformat(self.until).tzinfo is None:
            raise ValueError(f"until {self.until!r} has no time zone")
        bounds = {
            "requests": (self.requests, MAX_REQUESTS),
            "share": (self.share, 1.0),
            "body_bytes": (self.body_bytes, MAX_BODY_BYTES),
            "total_bytes": (self.total_bytes, MAX_TOTAL_BYTES),
        }
        for name, (value, most) in bounds.items():
            if not 0 < value <= most:
                raise ValueError(f"{name} {value} is not above 0 and at most {most}")


def ticket_path(state_dir: Path, service: str) -> Path:
    """Where the ticket of `service` lies while it is recorded."""
    return state_dir / f"record-{service}.json"


def requests_path(state_dir: Path, service: str, ticket_id: str) -> Path:
    """The recorded requests: one JSON object a line, `{"id": ..., "body": {...}}`."""
    return state_dir / FOLDER / f"{service}-{ticket_id}.jsonl"


def account_path(state_dir: Path, service: str, ticket_id: str) -> Path:
    """How far the recording is, and why it ended."""
    return state_dir / FOLDER / f"{service}-{ticket_id}.account.json"


def dump(ticket: Ticket) -> str:
    """The document that `parse` reads."""
    return json.dumps({"version": SCHEMA_VERSION, **asdict(ticket)}, indent=2) + "\n"


def parse(text: str, *, where: str) -> Ticket:
    """Read a ticket. Raises `TicketError` on anything that Cutover would not have written."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document.pop("version") != SCHEMA_VERSION:
            raise ValueError(f"its version is not {SCHEMA_VERSION}")
        return Ticket(**{**document, "patterns": tuple(document["patterns"])})
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise TicketError(f"{where} is not a ticket ({exc}); `cutover record SERVICE --stop` removes it") from exc
