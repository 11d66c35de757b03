"""The two wire formats of the fake engine, as bytes; which of them are sent when is `engine`'s to script."""

from __future__ import annotations

import json
from typing import Any


class OpenAIWire:
    """vLLM's frames, as recorded from 0.32: a role-only chunk first, an error event is followed by [DONE]."""

    media_type = "text/event-stream"

    def error(self, error: dict[str, Any]) -> dict[str, Any]:
        return {"error": error}

    def whole(self, text: str, finish: str) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": usage}

    def begin(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def ping(self) -> bytes:
        return b": ping\n\n"

    def word(self, word: str) -> bytes:
        return self._chunk({"content": word})

    def broken(self) -> bytes:
        error = {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}
        return b"data: " + json.dumps({"error": error}).encode() + b"\n\ndata: [DONE]\n\n"

    def malformed(self) -> bytes:
        return b"data: {not json\n\ndata: [DONE]\n\n"

    def end(self, finish: str, tokens: int) -> bytes:
        usage = {"prompt_tokens": 11, "completion_tokens": tokens, "total_tokens": 11 + tokens}
        last = {**self._envelope("chat.completion.chunk"), "choices": [], "usage": usage}
        return self._chunk({}, finish) + b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        frame = {**self._envelope("chat.completion.chunk"), "choices": [choice]}
        return b"data: " + json.dumps(frame).encode() + b"\n\n"

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 0, "model": "fake"}


class OllamaWire:
    """Ollama's native NDJSON."""

    media_type = "application/x-ndjson"

    def error(self, error: dict[str, Any]) -> dict[str, Any]:
        return {"error": error["message"]}

    def whole(self, text: str, finish: str) -> dict[str, Any]:
        return {**self._frame(text), "done": True, "done_reason": finish, "prompt_eval_count": 11, "eval_count": 4}

    def begin(self) -> bytes:
        return b""

    def ping(self) -> bytes:
        return self._line(self._frame(""))

    def word(self, word: str) -> bytes:
        return self._line(self._frame(word))

    def broken(self) -> bytes:
        return self._line({"error": "an error was encountered while running the model"})

    def malformed(self) -> bytes:
        return b"{not json\n"

    def end(self, finish: str, tokens: int) -> bytes:
        counts = {"prompt_eval_count": 11, "eval_count": tokens}
        return self._line({**self._frame(""), "done": True, "done_reason": finish, **counts})

    def _frame(self, text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        return {"model": "fake", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}

    def _line(self, frame: dict[str, Any]) -> bytes:
        return json.dumps(frame).encode() + b"\n"
