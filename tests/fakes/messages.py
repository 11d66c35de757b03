"""A fake of Anthropic's Messages API: events as its documentation has them, and whatever a test wants instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.llm.registry import Capability, Model
from tests.fakes.engine import Cut

ALIAS = "writer"
ENTRY = Model(
    alias=ALIAS,
    why="a test's",
    context=200_000,
    names={"anthropic": "claude-sonnet-5-5"},
    capabilities=frozenset(Capability),
    source=None,
    stop=("<|im_end|>",),
)
"""A model that has a name there and can do everything."""

Event = dict[str, Any]
USAGE = {"input_tokens": 20, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2}
STALL: Event = {"type": "stall"}
CUT: Event = {"type": "cut"}


def text_events(*words: str, stop: str | None = "end_turn", output: int = 4) -> list[Event]:
    """A whole stream that says `words`; 25 tokens in, `output` out."""
    return [
        {"type": "message_start", "message": {"type": "message", "usage": {**USAGE, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}} for w in words),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": output},
        },
        {"type": "message_stop"},
    ]


def call_events(name: str, *pieces: str) -> list[Event]:
    """A whole stream that thinks, then calls the tool `name` with arguments in `pieces`."""
    begun = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    return [
        text_events()[0],
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": begun},
        *(
            {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": p}}
            for p in pieces
        ),
        {"type": "content_block_stop", "index": 1},
        *text_events(stop="tool_use")[-2:],
    ]


def message(*blocks: dict[str, Any], stop: str | None = "end_turn", output: int = 4) -> dict[str, Any]:
    """A whole answer; 25 tokens in, `output` out."""
    usage = {**USAGE, "output_tokens": output}
    return {"type": "message", "role": "assistant", "content": list(blocks), "stop_reason": stop, "usage": usage}


def refused(kind: str, said: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": said}}


@dataclass(slots=True)
class FakeMessages:
    """Answers with `answer`, streams `events`; with `status` other than 200 it answers that and `answer` to both."""

    events: list[Event] = field(default_factory=lambda: text_events("Bonjour", " from", " Claude"))
    answer: Any = field(default_factory=lambda: message({"type": "text", "text": "Bonjour from Claude"}))
    status: int = 200
    retry_after: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    counted: int = 0
    running: int = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/messages", self._messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
            ]
        )

    async def _count(self, request: Request) -> Response:
        self.counted += 1
        if self.status != 200:
            return self._refusal()
        return JSONResponse({"input_tokens": 8})

    async def _messages(self, request: Request) -> Response:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if self.status != 200:
            return self._refusal()
        if body.get("stream"):
            return StreamingResponse(self._stream(), media_type="text/event-stream")
        return JSONResponse(self.answer)

    def _refusal(self) -> Response:
        headers = {"retry-after": self.retry_after} if self.retry_after else {}
        if isinstance(self.answer, str):
            return Response(self.answer, status_code=self.status, headers=headers)
        return JSONResponse(self.answer, status_code=self.status, headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        self.running += 1
        try:
            for event in self.events:
                if event is STALL:
                    await asyncio.sleep(3600)
                if event is CUT:
                    raise Cut
                yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        finally:
            self.running -= 1
