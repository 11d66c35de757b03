"""Reads a Server-Sent-Events stream line by line, and times its tokens as they come.

Not `FastHttpSession.iter_lines`: in locust 2.47 it waits for 1024 bytes before it gives the first line, so a stream of
short tokens would arrive all at once, at its end. `response.stream.readline` gives each line when it is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MIN_TPOT_TOKENS = 8  # a shorter answer divides by so little that its time per token is noise
CUT = "stream ended without a terminal event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event: its name, and its data parsed as a JSON object."""

    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream, read to its end. Times in milliseconds on the caller's clock; void tokens are not in them.

    `first_chunk_ms` and `last_chunk_ms` are there for an engine's own stream, whose chunks need not hold a token.

    `problem` is None when the stream ended in a whole answer, which `answer` then is.
    """

    first_token_ms: float | None = None
    last_token_ms: float | None = None
    first_chunk_ms: float | None = None
    last_chunk_ms: float | None = None
    end_ms: float = 0.0
    restarts: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None

    @property
    def llm(self) -> Mapping[str, Any]:
        """Who answered, with usage and attempts; empty when nobody did."""
        return self.answer.get("llm") or {}

    def time_per_token_ms(self) -> float | None:
        """(last token - first token) / (n - 1), with n as the engine counted it; None where that says little."""
        tokens = (self.llm.get("usage") or {}).get("completion_tokens") or 0
        if self.first_token_ms is None or self.last_token_ms is None or tokens < MIN_TPOT_TOKENS:
            return None
        return (self.last_token_ms - self.first_token_ms) / (tokens - 1)


def events(readline: Callable[[], bytes]) -> Iterator[Event]:
    """The events of a stream as they are complete. Comments (keep-alives) are not events. Raises `ValueError`."""
    name, data = "message", ""
    while line := readline():
        field_name, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        match field_name:
            case "event":
                name = value.strip()
            case "data":
                data += value.removeprefix(" ")
            case "" if not value:  # a blank line ends an event; `: text` is a comment
                if data:
                    yield Event(name=name, data=_object(data))
                name, data = "message", ""


def _object(data: str) -> Mapping[str, Any]:
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError(f"event data is not an object: {data[:40]!r}")
    return document


def read(readline: Callable[[], bytes], elapsed_ms: Callable[[], float]) -> Stream:
    """Read one answer. The first token is the first `token` event with text, not the headers, not a keep-alive.

    A `restart` voids what came before: another provider starts the answer over.
    """
    first = last = None
    restarts = 0
    end: Event | None = None
    end_ms = 0.0
    for event in events(readline):  # to the end of the body, so that the connection can be used again
        now = elapsed_ms()
        match event.name:
            case _ if end is not None:
                return Stream(end_ms=now, restarts=restarts, problem=f"{event.name!r} after the terminal event")
            case "token" if event.data.get("text"):
                last = now
                first = first if first is not None else now
            case "restart":
                first = last = None
                restarts += 1
            case "done" | "error":
                end, end_ms = event, now
    if end is None:
        return Stream(end_ms=elapsed_ms(), restarts=restarts, problem=CUT)
    return Stream(
        first_token_ms=first,
        last_token_ms=last,
        end_ms=end_ms,
        restarts=restarts,
        answer=end.data,
        problem=_problem(end, has_token=first is not None),
    )


def read_chunks(readline: Callable[[], bytes], elapsed_ms: Callable[[], float]) -> Stream:
    """Read one answer of an engine in the OpenAI wire. A chunk counts for its token, its first one may have none."""
    first_token = last_token = first_chunk = last_chunk = None
    usage: Mapping[str, Any] = {}
    is_done = False
    while line := readline():
        data = line.decode("utf-8").strip().removeprefix("data:").strip()
        if not data or data.startswith(":"):
            continue
        now = elapsed_ms()
        if data == "[DONE]":
            is_done = True
            continue
        chunk = _object(data)
        if chunk.get("choices"):
            last_chunk, first_chunk = now, now if first_chunk is None else first_chunk
            if chunk["choices"][0]["delta"].get("content"):
                last_token, first_token = now, now if first_token is None else first_token
        usage = chunk.get("usage") or usage
    return Stream(
        first_token_ms=first_token,
        last_token_ms=last_token,
        first_chunk_ms=first_chunk,
        last_chunk_ms=last_chunk,
        end_ms=elapsed_ms(),
        answer={"llm": {"provider": "engine", "usage": dict(usage)}},
        problem=None if is_done and first_token is not None else CUT,
    )


def _problem(end: Event, *, has_token: bool) -> str | None:
    if end.name == "error":  # its data is a problem document
        return f"error event: {end.data.get('title', 'untitled')}"
    if end.data.get("outcome") == "partial":
        return "done, but the answer is partial"
    if end.data.get("answerable") is False and end.data.get("llm") is None:  # nobody was asked
        return "no passage found: are the sample documents loaded?"
    return None if has_token else "done without a token"
