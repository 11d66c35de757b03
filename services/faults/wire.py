"""The frames of both wires: vLLM's OpenAI-compatible SSE as recorded from 0.32, and Ollama's native NDJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

PROMPT_TOKENS = 11


class Wire(Protocol):
    """How an engine writes. `stream_type` is the content type of its streams."""

    stream_type: str

    def refusal(self, message: str, param: str | None, code: str | int | None, /) -> Mapping[str, Any]: ...
    def whole(self, text: str, finish: str | None, tokens: int) -> bytes: ...
    def role(self) -> bytes: ...
    def word(self, word: str) -> bytes: ...
    def broken(self) -> bytes: ...
    def malformed(self) -> bytes: ...
    def ping(self) -> bytes: ...
    def end(self, finish: str | None, tokens: int, done: bool, /) -> bytes: ...


def wire_of(path: str, model: str) -> Wire | None:
    """The wire of a request path; None where no engine generates."""
    match path:
        case "/v1/chat/completions":
            return OpenAIWire(model)
        case "/api/chat":
            return OllamaWire(model)
        case _:
            return None


class OpenAIWire:
    """A role-only chunk first; usage in a last chunk without choices; an error event is followed by `[DONE]`."""

    stream_type = "text/event-stream; charset=utf-8"

    def __init__(self, model: str) -> None:
        self._model = model

    def refusal(self, message: str, param: str | None, code: str | int | None) -> Mapping[str, Any]:
        return {"error": {"message": message, "type": "BadRequestError", "param": param, "code": code}}

    def whole(self, text: str, finish: str | None, tokens: int) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        return _json({**self._envelope("chat.completion"), "choices": [choice], "usage": _usage(tokens)})

    def role(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def word(self, word: str) -> bytes:
        return self._chunk({"content": word})

    def broken(self) -> bytes:
        error = {
            "message": "EngineCore encountered an issue",
            "type": "InternalServerError",
            "param": None,
            "code": 500,
        }
        return _event(_json({"error": error})) + _event(b"[DONE]")

    def malformed(self) -> bytes:
        return _event(b'{"id": "chatcmpl-1", "choices": [{"delta": {"content')

    def ping(self) -> bytes:
        return b": ping\n\n"

    def end(self, finish: str | None, tokens: int, done: bool, /) -> bytes:
        last = {**self._envelope("chat.completion.chunk"), "choices": [], "usage": _usage(tokens)}
        finished = self._chunk({}, finish) + _event(_json(last)) if finish else b""
        return finished + (_event(b"[DONE]") if done else b"")

    def _chunk(self, delta: Mapping[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event(_json({**self._envelope("chat.completion.chunk"), "choices": [choice]}))

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": self._model}


class OllamaWire:
    """One JSON object a line, the last with `done` and the counts; an error is a line of its own."""

    stream_type = "application/x-ndjson"

    def __init__(self, model: str) -> None:
        self._model = model

    def refusal(self, message: str, _param: str | None, _code: str | int | None, /) -> Mapping[str, Any]:
        return {"error": message}

    def whole(self, text: str, finish: str | None, tokens: int) -> bytes:
        return _json(self._last(text, finish, tokens))

    def role(self) -> bytes:
        return b""

    def word(self, word: str) -> bytes:
        return _json(self._frame(word)) + b"\n"

    def broken(self) -> bytes:
        return _json({"error": "an error was encountered while running the model: unexpected EOF"}) + b"\n"

    def malformed(self) -> bytes:
        return b'{"model": "m", "message": {"content\n'

    def ping(self) -> bytes:
        return self.word("")

    def end(self, finish: str | None, tokens: int, _done: bool, /) -> bytes:
        return _json(self._last("", finish, tokens)) + b"\n" if finish else b""

    def _last(self, text: str, finish: str | None, tokens: int) -> dict[str, Any]:
        counts = {"prompt_eval_count": PROMPT_TOKENS, "eval_count": tokens}
        return {**self._frame(text), "done": finish is not None, "done_reason": finish, **counts}

    def _frame(self, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"model": self._model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}


def _event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def _json(document: Mapping[str, Any]) -> bytes:
    """Characters stay themselves, so that a frame can be split inside one."""
    return json.dumps(document, ensure_ascii=False).encode()


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
