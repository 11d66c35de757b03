"""The OpenAI chat wire format, read: whole answers and stream frames into our words.

Format: vLLM 0.32 `entrypoints/openai/chat_completion/protocol.py`; recorded answers of it are in `tests/recorded/`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.llm.errors import DeadError, ErrorType
from services.llm.mapping import finish_of
from services.llm.spaces import Vectors
from services.llm.types import Chunk, Completion, ToolCall, Usage

DONE = b"[DONE]"
THINKING_FIELDS = ("reasoning", "reasoning_content")
"""vLLM's name today, and the one before it, which other servers still use."""


@contextlib.contextmanager
def _as_nonsense(provider: str) -> Iterator[None]:
    """What is not of this format, as `DeadError`."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as exc:
        raise _nonsense(f"not of the chat format: {type(exc).__name__}: {exc}", provider) from exc


def completion_of(content: bytes, *, provider: str) -> Completion:
    """A whole answer. Raises `DeadError` for one that is not of this format, or has no choice or finish reason."""
    with _as_nonsense(provider):
        return _completion(json.loads(content), provider)


def vectors_of(content: bytes, *, provider: str) -> Vectors:
    """The vectors of a whole answer, in the order of their texts. Raises `DeadError`."""
    with _as_nonsense(provider):
        said = json.loads(content)
        rows = sorted(said["data"], key=lambda row: int(row["index"]))
        vectors = tuple(tuple(float(x) for x in row["embedding"]) for row in rows)
        return Vectors(rows=vectors, usage=usage_of(said.get("usage")))


def _completion(body: Any, provider: str) -> Completion:
    if not body.get("choices"):
        raise _nonsense("an answer without choices", provider)
    choice = body["choices"][0]
    finish = finish_of(choice.get("finish_reason"), provider=provider)
    if finish is None:
        raise _nonsense("an answer without finish_reason", provider)
    message = choice["message"]
    return Completion(
        text=message.get("content") or "",
        finish=finish,
        usage=usage_of(body.get("usage")),
        tool_calls=tuple(_call(call, provider) for call in message.get("tool_calls") or ()),
        thinking=_thinking(message),
    )


def usage_of(usage: Mapping[str, Any] | None) -> Usage:
    """Token counts; None where the server did not say."""
    if not usage:
        return Usage()
    return Usage(prompt_tokens=usage.get("prompt_tokens"), completion_tokens=usage.get("completion_tokens"))


@dataclass(slots=True)
class FrameReader:
    """Reads one stream. A tool call comes in pieces; it is handed on whole, with the frame that says why it ended."""

    provider: str
    calls: dict[int, dict[str, str]] = field(default_factory=dict)

    def chunk(self, data: bytes) -> Chunk:
        """One frame. Raises `DeadError` for an `error` event: vLLM sends one, then [DONE], when its engine has died."""
        with _as_nonsense(self.provider):
            return self._chunk(json.loads(data))

    def _chunk(self, frame: Any) -> Chunk:
        if "error" in frame:
            raise DeadError(_message(frame["error"]), provider=self.provider, type=ErrorType.HTTP_5XX)
        usage = usage_of(frame["usage"]) if frame.get("usage") else None
        if not frame["choices"]:
            return Chunk(usage=usage)
        choice = frame["choices"][0]
        delta = choice["delta"]
        thinking = _thinking(delta)
        pieces = delta.get("tool_calls")
        if pieces:
            self._take(pieces)
        finish = finish_of(choice.get("finish_reason"), provider=self.provider)
        return Chunk(
            text=delta.get("content") or "",
            finish=finish,
            usage=usage,
            thinking=thinking,
            tool_calls=self._whole() if finish and self.calls else (),
            at_work=bool(thinking or pieces),
        )

    def _take(self, pieces: list[dict[str, Any]]) -> None:
        for piece in pieces:
            call = self.calls.setdefault(int(piece.get("index", 0)), {"id": "", "name": "", "arguments": ""})
            function = piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["name"] = function.get("name") or call["name"]
            call["arguments"] += function.get("arguments") or ""

    def _whole(self) -> tuple[ToolCall, ...]:
        ordered = [self.calls[index] for index in sorted(self.calls)]
        return tuple(_call({"id": c["id"], "function": c}, self.provider) for c in ordered)


def _call(call: Mapping[str, Any], provider: str) -> ToolCall:
    function = call["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError as exc:
        raise _nonsense(f"the arguments of {function.get('name')!r} are not JSON: {exc}", provider) from exc
    return ToolCall(id=call.get("id") or "", name=function["name"], arguments=arguments)


def _thinking(message: Mapping[str, Any]) -> str:
    return next((str(message[name]) for name in THINKING_FIELDS if message.get(name)), "")


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _nonsense(detail: str, provider: str) -> DeadError:
    return DeadError(detail, provider=provider, type=ErrorType.BAD_RESPONSE)
