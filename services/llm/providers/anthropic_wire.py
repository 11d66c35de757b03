"""Anthropic's message format, read: whole answers and stream events into our words.

Format: https://platform.claude.com/docs/en/build-with-claude/streaming; vLLM 0.32 `entrypoints/anthropic/serving.py`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.llm.errors import BusyError, CallerError, ConfigError, DeadError, ErrorType, LLMError
from services.llm.types import Chunk, Completion, Finish, ToolCall, Usage


@contextlib.contextmanager
def _as_nonsense(provider: str) -> Iterator[None]:
    """What is not of this format, as `DeadError`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise _nonsense(f"not of the message format: {type(exc).__name__}: {exc}", provider) from exc


def completion_of(content: bytes, *, provider: str) -> Completion:
    """A whole answer. Raises `DeadError` for one that is not of this format, or does not say why it ended."""
    with _as_nonsense(provider):
        said = json.loads(content)
        finish = finish_of(said["stop_reason"], provider=provider)
        if finish is None:
            raise _nonsense("an answer without stop_reason", provider)
        blocks = said["content"]
        return Completion(
            text="".join(b["text"] for b in blocks if b["type"] == "text"),
            finish=finish,
            usage=_usage(said["usage"], Usage()),
            tool_calls=tuple(_call(b) for b in blocks if b["type"] == "tool_use"),
            thinking="".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
        )


@dataclass(slots=True)
class EventReader:
    """Reads one stream. What ends the answer is kept until `message_stop`: without it a stream is cut, not ended."""

    provider: str
    usage: Usage = field(default_factory=Usage)
    finish: Finish | None = None
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    ended: bool = False

    def chunk(self, data: bytes) -> Chunk | None:
        """One event; None where it says nothing to us. Raises the `LLMError` that an `error` event names."""
        with _as_nonsense(self.provider):
            event = json.loads(data)
            match event["type"]:
                case "message_start":
                    self.usage = _usage(event["message"]["usage"], self.usage)
                    return Chunk(usage=Usage(prompt_tokens=self.usage.prompt_tokens))
                case "content_block_start":
                    return self._begun(event["index"], event["content_block"])
                case "content_block_delta":
                    return self._delta(event["index"], event["delta"])
                case "message_delta":
                    self.finish = finish_of(event["delta"].get("stop_reason"), provider=self.provider)
                    self.usage = _usage(event["usage"], self.usage)
                    return None
                case "message_stop":
                    self.ended = True
                    return Chunk(finish=self.finish, usage=self.usage, tool_calls=self._whole() if self.finish else ())
                case "error":
                    raise error_of(event["error"], provider=self.provider)
                case _:  # pings, ends of blocks, and events of a later day, which clients are told to pass over
                    return None

    def _begun(self, index: int, block: Mapping[str, Any]) -> Chunk | None:
        if block["type"] == "tool_use":
            self.calls[index] = {"id": block["id"], "name": block["name"], "arguments": ""}
            return Chunk(at_work=True)
        return Chunk(text=block["text"]) if block["type"] == "text" and block["text"] else None

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Chunk | None:
        match delta["type"]:
            case "text_delta":
                return Chunk(text=delta["text"])
            case "thinking_delta":
                return Chunk(thinking=delta["thinking"], at_work=True)
            case "input_json_delta":
                self.calls[index]["arguments"] += delta["partial_json"]
                return Chunk(at_work=True)
            case _:  # a signature; citations, which nobody asked for
                return None

    def _whole(self) -> tuple[ToolCall, ...]:
        return tuple(
            _call({**call, "input": json.loads(call["arguments"] or "{}")}) for _, call in sorted(self.calls.items())
        )


def _call(block: Mapping[str, Any]) -> ToolCall:
    return ToolCall(id=block["id"], name=block["name"], arguments=dict(block["input"]))


def finish_of(reason: str | None, *, provider: str) -> Finish | None:
    """Why an answer ended, in our words; None where it does not say. Raises `DeadError` for a word we do not know."""
    match reason:
        case None:
            return None
        case "end_turn" | "stop_sequence":
            return Finish.STOP
        case "max_tokens" | "model_context_window_exceeded":
            return Finish.LENGTH
        case "tool_use":
            return Finish.TOOLS
        case "refusal":
            return Finish.FILTERED
        case other:
            raise _nonsense(f"unexpected stop reason {other!r}", provider)


def error_of(error: Mapping[str, Any], *, provider: str) -> LLMError:
    """An `error` event inside a stream that began with 200, by its type; one that we do not know is the server's."""
    detail = f"{error.get('type')}: {error.get('message')}"
    match error.get("type"):
        case "overloaded_error":
            return BusyError(detail, provider=provider, type=ErrorType.HTTP_5XX)
        case "rate_limit_error":
            return BusyError(detail, provider=provider, type=ErrorType.HTTP_429)
        case "authentication_error" | "permission_error" | "billing_error":
            return ConfigError(detail, provider=provider, type=ErrorType.HTTP_4XX)
        case "not_found_error":
            return ConfigError(detail, provider=provider, type=ErrorType.MODEL_NOT_FOUND)
        case "invalid_request_error" | "request_too_large":
            return CallerError(detail, provider=provider, type=ErrorType.HTTP_4XX)
        case _:
            return DeadError(detail, provider=provider, type=ErrorType.HTTP_5XX)


def _usage(usage: Mapping[str, Any], before: Usage) -> Usage:
    """The counts so far, each cumulative. The prompt's is in three parts, by where the cache had them."""
    parts = [usage.get(name) for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    prompt = before.prompt_tokens if parts[0] is None else sum(int(part or 0) for part in parts)
    output = usage.get("output_tokens")
    return Usage(prompt_tokens=prompt, completion_tokens=before.completion_tokens if output is None else int(output))


def _nonsense(detail: str, provider: str) -> DeadError:
    return DeadError(detail, provider=provider, type=ErrorType.BAD_RESPONSE)
