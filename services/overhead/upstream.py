"""The fake upstream of the measurement: a vLLM that needs no time, in a process and on a core of its own.

Standard library only; run as a script it writes its port to stdout and ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
HEAD = {"id": "chatcmpl-8f14e45fceea167a", "created": 1_790_000_000}
RECORDED = b"GET /recorded "
"""Answered with the body of the latest POST, byte for byte."""

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
GAP = b"GET /gap/"
"""Followed by microseconds: the time between two frames of every later stream."""


def word(index: int) -> str:
    """The text of chunk `index`, about as long as a token."""
    return f" w{index % 1000:03d}"


def text_of(chunks: int) -> str:
    """The whole answer of `chunks` content chunks."""
    return "".join(map(word, range(chunks)))


def usage(chunks: int) -> dict[str, Any]:
    return {"prompt_tokens": 32, "total_tokens": 32 + chunks, "completion_tokens": chunks}


@functools.lru_cache(maxsize=8)
def whole(model: str, chunks: int) -> bytes:
    """An answer that is not streamed, with the fields that vLLM 0.32 sends."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text_of(chunks),
        "refusal": None,
        "annotations": None,
        "audio": None,
    }
    message |= {"function_call": None, "tool_calls": [], "reasoning": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    choice |= {"stop_reason": None, "token_ids": None}
    answer = {**HEAD, "object": "chat.completion", "model": model, "choices": [choice], "service_tier": None}
    answer |= {"system_fingerprint": None, "usage": {**usage(chunks), "prompt_tokens_details": None}}
    answer |= {"prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None}
    return json.dumps(answer, separators=(",", ":")).encode()


@functools.lru_cache(maxsize=8)
def frames(model: str, chunks: int) -> tuple[bytes, ...]:
    """A stream as server-sent events: the role, `chunks` of content, the finish, the usage, `[DONE]`."""
    made = [_frame(model, [_choice({"role": "assistant", "content": ""})])]
    made += [_frame(model, [_choice({"content": word(index)})]) for index in range(chunks)]
    made += [_frame(model, [_choice({"content": ""}, finish="stop")]), _frame(model, [], usage=usage(chunks))]
    return (*made, b"data: [DONE]\n\n")


def _choice(delta: dict[str, str], *, finish: str | None = None) -> dict[str, Any]:
    stop = {"stop_reason": None} if finish else {}
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **stop, "token_ids": None}


def _frame(model: str, choices: list[dict[str, Any]], **more: Any) -> bytes:
    event = {**HEAD, "object": "chat.completion.chunk", "model": model, "choices": choices, **more}
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


@dataclass
class Standing:
    """What requests leave behind for later ones."""

    gap_s: float = 0.0
    recorded: bytes = b"{}"


class Upstream(asyncio.Protocol):
    """One connection. `max_tokens` of a request is how many chunks it gets.

    Waiting for the gap blocks the process, which keeps it exact: there is one caller at a time.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request once it is whole."""
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        length = _content_length(head)
        if not found or len(rest) < length:
            return
        self._received = rest[length:]
        if head.startswith(RECORDED):
            self._send(_response(self._standing.recorded))
        elif head.startswith(GAP):
            self._standing.gap_s = int(head[len(GAP) :].split(b" ")[0]) / 1e6
            self._send(_response(b"{}"))
        elif head.startswith(b"GET "):
            self._send(NOT_FOUND)  # a client that asks which weights are served
        else:
            self._standing.recorded = rest[:length]
            self._answer(json.loads(rest[:length]))

    def _answer(self, body: dict[str, Any]) -> None:
        model, chunks = body["model"], body["max_tokens"]
        if not body.get("stream"):
            self._send(_response(whole(model, chunks)))
            return
        self._send(STREAM_HEAD)
        due = time.perf_counter()
        for frame in frames(model, chunks):
            due += self._standing.gap_s
            if due > (now := time.perf_counter()):
                time.sleep(due - now)
            self._send(b"%x\r\n%b\r\n" % (len(frame), frame))
        self._send(b"0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        assert self._transport
        self._transport.write(data)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def serve() -> None:
    """Listen on a free port of 127.0.0.1, write its number to stdout, serve until stdin ends."""
    loop = asyncio.get_running_loop()
    standing = Standing()
    server = await loop.create_server(lambda: Upstream(standing), "127.0.0.1", 0)
    os.write(1, b"%d\n" % server.sockets[0].getsockname()[1])
    ended = asyncio.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, help="the only core to run on")
    args = parser.parse_args()
    if args.core is not None:
        os.sched_setaffinity(0, {args.core})
    asyncio.run(serve())


if __name__ == "__main__":
    main()
