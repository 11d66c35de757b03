"""Stands in for vLLM in a small container: generates until a file tells it to keep every caller waiting."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SILENT = pathlib.Path("/tmp/silent")
BUSY = pathlib.Path("/tmp/busy")


class Handler(BaseHTTPRequestHandler):
    """The four addresses that are asked."""

    def do_GET(self) -> None:
        """Its model, its health, and its count of tokens, which rises by itself while it is busy for others."""
        count = time.monotonic() if BUSY.exists() else 7.0
        self.say(
            {
                "/v1/models": json.dumps({"data": [{"id": "small"}]}),
                "/metrics": f'vllm:generation_tokens_total{{engine="0"}} {count}\n',
            }.get(self.path, "")
        )

    def do_POST(self) -> None:
        """One token, or none ever."""
        self.rfile.read(int(self.headers["Content-Length"]))
        while SILENT.exists():
            time.sleep(0.1)
        self.say(json.dumps({"usage": {"completion_tokens": 1}}))

    def say(self, text: str) -> None:
        """A whole answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    SILENT.unlink(missing_ok=True)
    sys.stdout.write(f"up, with --api-key=sk-{'a1B2' * 6}\n")
    sys.stdout.flush()
    ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
