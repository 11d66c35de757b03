"""Load for an engine itself, without a service: `cutover bench SERVICE --agree` runs it beside two other clients.

`locust -f bench/` leaves it out, having an underscore; it is run by name. Prompts come from a file, one JSON object
`{"prompt": ...}` a line, each asked once a round, greedily, through the OpenAI wire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _sse
from _user import ServiceUser
from locust import events


@events.init_command_line_parser.add_listener
def add_engine_arguments(parser: Any, **_: Any) -> None:
    parser.add_argument("--engine-url", default="http://127.0.0.1:8000", help="base URL of the engine")
    parser.add_argument("--model", default="", help="its name for the model")
    parser.add_argument("--prompts", default="", include_in_web_ui=False, help="JSON lines with a prompt each")
    parser.add_argument("--tokens", type=int, default=32, help="of each answer, at most")


class EngineUser(ServiceUser):
    service = "engine"

    def on_start(self) -> None:
        options = self.environment.parsed_options
        prompts = [json.loads(line)["prompt"] for line in Path(options.prompts).read_text().splitlines()]
        items = [{"id": str(number), "body": _body(options, prompt)} for number, prompt in enumerate(prompts)]
        self.use({"path": "/v1/chat/completions", "stream": True, "items": items})

    def _body(self, item: Mapping[str, Any], _nonce: str) -> dict[str, Any]:
        """As it stands: every client of a comparison sends the same bytes."""
        return dict(item["body"])

    def _read_stream(self, readline: Any, elapsed_ms: Any) -> _sse.Stream:
        return _sse.read_chunks(readline, elapsed_ms)


def _body(options: Any, prompt: str) -> dict[str, Any]:
    return {
        "model": options.model,
        "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        "max_tokens": options.tokens,
        "max_completion_tokens": options.tokens,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
