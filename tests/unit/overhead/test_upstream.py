"""The fake upstream speaks as vLLM does: role, content, finish, usage, `[DONE]`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from services.overhead import upstream

MODEL = "a-model"


def events(stream: bytes) -> list[Any]:
    """What comes after each `data: `, parsed but for the last."""
    *parts, done, rest = stream.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [json.loads(part.removeprefix(b"data: ")) for part in parts]


def test_a_stream_begins_with_the_role_and_ends_with_finish_and_usage() -> None:
    role, *content, finish, usage = events(b"".join(upstream.frames(MODEL, 3)))

    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(c["choices"][0]["delta"]["content"] for c in content) == upstream.text_of(3)
    assert [c["choices"][0]["finish_reason"] for c in content] == [None] * 3
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 3)


def test_a_whole_answer_holds_the_text_of_a_stream() -> None:
    answer = json.loads(upstream.whole(MODEL, 20))

    assert answer["choices"][0]["message"]["content"] == upstream.text_of(20)
    assert answer["usage"]["completion_tokens"] == 20


@pytest.mark.parametrize("gap_us", [0, 100])
async def test_it_answers_on_one_kept_connection_and_gives_the_last_body_back(gap_us: int) -> None:
    """What the measurement needs of it: plain calls, streams at a pace, and what was sent."""
    standing = upstream.Standing()
    server = await asyncio.get_running_loop().create_server(lambda: upstream.Upstream(standing), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    body = {"model": MODEL, "max_tokens": 5, "stream": True}
    async with server, httpx2.AsyncClient(trust_env=False) as http:
        await http.get(f"{url}/gap/{gap_us}")
        plain = await http.post(f"{url}/v1/chat/completions", json=body | {"stream": False})
        streamed = await http.post(f"{url}/v1/chat/completions", json=body)
        recorded = await http.get(f"{url}/recorded")

    assert plain.json()["choices"][0]["message"]["content"] == upstream.text_of(5)
    assert len(events(streamed.content)) == 5 + 3
    assert recorded.json() == body
    assert standing.gap_s == gap_us / 1e6
