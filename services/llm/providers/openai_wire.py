"""The OpenAI chat wire format, read: whole answers and stream frames into our words.

Format: vLLM 0.32 `entrypoints/openai/chat_completion/protocol.py`; recorded answers of it are in `tests/recorded/`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.llm.errors import (
    CallerError,
    ConfigError,
    ContextTooLong,
    DeadError,
    ErrorType,
    LLMError,
    PartialError,
    from_status,
)
from services.llm.mapping import finish_of
from services.llm.spaces import Vectors
from services.llm.types import Chunk, Completion, ToolCall, Usage

DONE = b"[DONE]"
THINKING_FIELDS = ("reasoning", "reasoning_content")
"""vLLM's name today, and the one before it, which other servers still use."""

TOO_LONG = {"param": "input_tokens", "code": "context_length_exceeded"}
"""How vLLM, and then others, mark a prompt that does not fit."""

NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What reading an answer of another format raises."""

FILTERED = ("content_filter", "content_policy_violation")
SERVER_FLAGS = ("--tool-call-parser", "--enable-auto-tool-choice")
"""vLLM names the option that its operator left out, in a 400 that is otherwise like any caller's mistake (its type is
`BadRequestError`, its `param` null). Only the words tell that no other request helps and the set-up must change."""


@contextlib.contextmanager
def _as_nonsense(provider: str) -> Iterator[None]:
    """What is not of this format, as `DeadError`."""
    try:
        yield
    except NONSENSE as exc:
        raise _not_of_the_format(exc, provider) from exc


def _not_of_the_format(exc: Exception, provider: str) -> DeadError:
    return _nonsense(f"not of the chat format: {type(exc).__name__}: {exc}", provider)


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


def error_of(
    status: int, error: Any, *, provider: str, detail: str = "", retry_after_s: float | None = None
) -> LLMError:
    """The error that a body tells, whole or as an event of a stream: what it says that a status cannot, else by status.

    `detail` is for a body without a message of its own.
    """
    body: Mapping[str, Any] = error if isinstance(error, dict) else {}
    said = str(body.get("message") or body.get("detail") or detail or error)
    code = body.get("code")
    if any(body.get(name) == mark for name, mark in TOO_LONG.items()):
        return ContextTooLong(said, provider=provider, status=status)
    if code in FILTERED:
        return CallerError(said, provider=provider, status=status, type=ErrorType.HTTP_4XX)
    if code == "insufficient_quota":  # a 429 that no waiting ends
        return ConfigError(said, provider=provider, status=status, type=ErrorType.HTTP_4XX)
    if status == 400 and any(flag in said for flag in SERVER_FLAGS):
        return ConfigError(said, provider=provider, status=status, type=ErrorType.HTTP_4XX)
    if status == 404 and "detail" in body:  # the web framework's, not the engine's: a path, not a model
        return ConfigError(f"no such path: {said}", provider=provider, status=status, type=ErrorType.HTTP_4XX)
    return from_status(status, said, provider=provider, retry_after_s=retry_after_s)


def _event_error(error: Any, provider: str) -> LLMError:
    """An error inside an answer that began with 200; its `code` is the status that came too late, or it is illness."""
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 500
    return error_of(status if 400 <= status < 600 else 500, error, provider=provider)


def _completion(body: Any, provider: str) -> Completion:
    if body.get("error"):
        raise _event_error(body["error"], provider)
    if not body.get("choices"):
        raise _nonsense("an answer without choices", provider)
    choice = body["choices"][0]
    finish = finish_of(choice.get("finish_reason"), provider=provider)
    if finish is None:
        raise _nonsense("an answer without finish_reason", provider)
    message = choice["message"]
    return Completion(
        text=_text(message.get("content")),
        finish=finish,
        usage=usage_of(body.get("usage")),
        tool_calls=tuple(_call(call, provider) for call in message.get("tool_calls") or ()),
        thinking=_thinking(message),
    )


def usage_of(usage: Mapping[str, Any] | None) -> Usage:
    """Token counts; None where the server did not say."""
    if not usage:
        return Usage()
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens")), completion_tokens=_count(usage.get("completion_tokens"))
    )


@dataclass(slots=True)
class FrameReader:
    """Reads one stream. A tool call comes in pieces; it is handed on whole, with the frame that says why it ended."""

    provider: str
    calls: dict[int, dict[str, str]] = field(default_factory=dict)

    def chunk(self, data: bytes) -> Chunk:
        """One frame. Raises what an `error` event tells; vLLM sends one, then [DONE], for all that it finds too late.

        Its engine's death is one of them, a schema that it cannot use another.
        """
        try:
            return self._chunk(json.loads(data.decode()))
        except NONSENSE as exc:
            raise _not_of_the_format(exc, self.provider) from exc

    def _chunk(self, frame: Any) -> Chunk:
        if frame.get("error"):
            raise _event_error(frame["error"], self.provider)
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
            text=_text(delta.get("content")),
            finish=finish,
            usage=usage,
            thinking=thinking,
            tool_calls=self._whole() if finish and self.calls else (),
            at_work=bool(thinking or pieces),
        )

    def _take(self, pieces: list[dict[str, Any]]) -> None:
        for piece in pieces:
            call = self.calls.setdefault(self._index(piece), {"id": "", "name": "", "arguments": ""})
            function = piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["name"] = function.get("name") or call["name"]
            call["arguments"] += function.get("arguments") or ""

    def _index(self, piece: dict[str, Any]) -> int:
        """Which call a piece belongs to; without a number, one with an id begins the next and others go on."""
        if piece.get("index") is not None:
            return int(piece["index"])
        return len(self.calls) if piece.get("id") else max(len(self.calls) - 1, 0)

    def _whole(self) -> tuple[ToolCall, ...]:
        ordered = [self.calls[index] for index in sorted(self.calls)]
        return tuple(_call({"id": c["id"], "function": c}, self.provider) for c in ordered)


def _call(call: Mapping[str, Any], provider: str) -> ToolCall:
    """Raises `PartialError` for arguments that are no JSON object: the model wrote them, its engine is not ill."""
    function = call["function"]
    written = _text(function.get("arguments"))
    try:
        arguments = json.loads(written or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        problem = f"the arguments of {function.get('name')!r} are no JSON object"
        raise PartialError(problem, text=written, provider=provider, type=ErrorType.BAD_RESPONSE)
    return ToolCall(id=_text(call.get("id")), name=_text(function["name"]), arguments=arguments)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _thinking(message: Mapping[str, Any]) -> str:
    for name in THINKING_FIELDS:
        if message.get(name):
            return _text(message[name])
    return ""


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise TypeError(f"text is a {type(value).__name__}")


def _count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError(f"a count is a {type(value).__name__}")


def _nonsense(detail: str, provider: str) -> DeadError:
    return DeadError(detail, provider=provider, type=ErrorType.BAD_RESPONSE)
