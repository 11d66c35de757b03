"""What an upstream does with one request: a tuple of steps. Values only; `reply.py` turns them into bytes.

One script serves whole answers and streams: `Words` of a whole answer are as many bytes of its JSON body.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """Who an upstream stands for: the first provider of the chain, and the one behind it."""

    PRIMARY = "vllm"
    FALLBACK = "ollama"


WORDS: dict[Role, tuple[str, ...]] = {
    Role.PRIMARY: ("Der", " erste", " Kaffee", " ☕", " kostet", " drei", " €", ",", " sagt", " 日本", "語", "."),
    Role.FALLBACK: ("The", " second", " engine", " has", " a", " naïve", " answer", ":", " take", " the", " ✓", "!"),
}
"""The two answers differ from the first word on, so that a mixed one belongs to nobody. Characters of 1 to 3 bytes."""

DOCUMENTS: dict[Role, tuple[str, ...]] = {
    Role.PRIMARY: ('{"title"', ": ", '"', "the", " first", " document", '"', "}"),
    Role.FALLBACK: ('{"title"', ": ", '"', "the", " second", " document", '"', "}"),
}
"""The same for requests with `SCHEMA`."""

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds of silence."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the caller leaves."""


@dataclass(frozen=True, slots=True)
class Until:
    """Silence until the upstream `generates`."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is torn down with RST."""


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed with FIN, whatever was promised."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """A complete error answer in the wire's own shape."""

    status: int
    message: str = "no"
    param: str | None = None
    code: str | int | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """Status 200 and headers; `role` sends vLLM's role-only chunk as well."""

    role: bool = True


@dataclass(frozen=True, slots=True)
class Words:
    """The words from where it stands up to `upto` (all without it), with `gap_s` seconds before each."""

    upto: int | None = None
    gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class End:
    """Finish reason, usage, terminator. Without `finish` the stream just ends; `done` is SSE's `[DONE]`."""

    finish: str | None = "stop"
    done: bool = True


@dataclass(frozen=True, slots=True)
class Broken:
    """The engine's own error inside an answer that began with 200; vLLM sends `[DONE]` after it."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that is no JSON."""


@dataclass(frozen=True, slots=True)
class Ping:
    """SSE comments without end, every `every_s` seconds."""

    every_s: float


@dataclass(frozen=True, slots=True)
class Page:
    """A complete 200 with an HTML page, as a proxy in between would send."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """From here on each frame goes out in pieces of 1 to `most` bytes, each its own write and HTTP chunk."""

    most: int


Step = Wait | Hang | Until | Reset | Close | Refuse | Begin | Words | End | Broken | Malformed | Ping | Page | Pieces
Script = tuple[Step, ...]

OK: Script = (Begin(), Words(), End())


@dataclass(slots=True)
class Seen:
    """What reached an upstream. `hits` are requests to generate, `probes` those for one token.

    `dropped` are requests that met a connection which was just being closed; `left` are answers under way when the
    caller closed, the last of them at `left_at` (loop time, seconds).
    """

    hits: int = 0
    probes: int = 0
    probing: int = 0
    most_probes: int = 0
    connections: int = 0
    dropped: int = 0
    left: int = 0
    left_at: float = 0.0
    prefills: int = 0
