"""Stands in for `vllm` and `ollama` on a PATH: serves what the stack asks, or dies, or loads for ever."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWERS: dict[str, dict[str, Any]] = {
    "/version": {"version": "0.fake"},
    "/api/version": {"version": "0.fake"},
    "/v1/chat/completions": {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "smollm2-135m",
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    "/api/chat": {
        "model": "smollm2-135m:latest",
        "message": {"role": "assistant", "content": "Hi"},
        "done": True,
        "done_reason": "length",
        "prompt_eval_count": 1,
        "eval_count": 1,
    },
    "/api/create": {"status": "success"},
    "/api/ps": {"models": [{"name": "smollm2-135m:latest", "size": 300 * 2**20, "size_vram": 0}]},
    "/api/tags": {"models": [{"name": "smollm2-135m:latest", "size": 100 * 2**20}]},
}


MADE: dict[str, Any] = {}
"""What was last made, as `/api/show` tells it."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = MADE if self.path == "/api/show" else ANSWERS[self.path]
        body = json.dumps(answer).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        order = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/create":
            MADE.update(json.loads(order))
        self.do_GET()

    def do_HEAD(self) -> None:
        self.send_response(200)  # every blob is there already
        self.end_headers()


def main() -> None:
    if "--version" in sys.argv:
        return
    name = "vllm" if "--port" in sys.argv else "ollama"
    mode = os.environ.get(f"FAKE_{name.upper()}", "serves")
    if mode == "dies":
        sys.exit(f"{name}: no memory for the weights")
    given = sys.argv[sys.argv.index("--port") + 1] if name == "vllm" else os.environ["OLLAMA_HOST"].rpartition(":")[2]
    port = 0 if mode == "loads" else int(given)  # on a port that nobody asks: never ready
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


main()
