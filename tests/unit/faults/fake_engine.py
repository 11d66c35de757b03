"""Stands in for `vllm` and `ollama` on a PATH: answers chats whole and streamed on either wire, until it is killed."""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("In", " Bergen", ".")
USAGE = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
PAUSE_S = 0.01


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    frame = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


def line(text: str, *, done: bool = False) -> bytes:
    message = {"role": "assistant", "content": text}
    frame = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done}
    return json.dumps({**frame, "done_reason": "stop", "eval_count": 1} if done else frame).encode() + b"\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._send({"version": "0.fake"})

    def do_HEAD(self) -> None:
        self.send_response(200)  # every blob is there already
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        match self.path, body.get("stream", self.path == "/api/chat"):
            case "/v1/chat/completions", False:
                choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
                self._send(
                    {
                        "id": "x",
                        "object": "chat.completion",
                        "created": 1,
                        "model": "m",
                        "choices": [choice],
                        "usage": USAGE,
                    }
                )
            case "/v1/chat/completions", True:
                self._stream([*(chunk({"content": word}) for word in WORDS), chunk({}, "stop"), b"data: [DONE]\n\n"])
            case "/api/chat", False:
                self._send(json.loads(line("Hi", done=True)))
            case "/api/chat", True:
                self._stream([*(line(word) for word in WORDS), line("", done=True)])
            case _:
                self._send({"status": "success"})

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, frames: list[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if self.path.startswith("/v1") else "application/x-ndjson")
        self.end_headers()
        for frame in frames:
            self.wfile.write(frame)
            time.sleep(PAUSE_S)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def main() -> None:
    if "--version" in sys.argv:
        return
    vllm = "--port" in sys.argv
    port = sys.argv[sys.argv.index("--port") + 1] if vllm else os.environ["OLLAMA_HOST"].rpartition(":")[2]
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
