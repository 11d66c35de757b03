"""The scripted engine does on the wire what its script says, and counts what reaches it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest

from services.faults.script import (
    OK,
    WORDS,
    Begin,
    Broken,
    Close,
    End,
    Hang,
    Malformed,
    Page,
    Pieces,
    Refuse,
    Reset,
    Role,
    Script,
    Until,
    Words,
)
from services.faults.upstream import Upstream

TEXT = "".join(WORDS[Role.PRIMARY])
PATHS = ("/v1/chat/completions", "/api/chat")
GUARD_S = 60


def body(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 64, "stream": True, **more}


async def posted(upstream: Upstream, path: str = PATHS[0], **more: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=GUARD_S, trust_env=False) as http:
        return await http.post(upstream.url + path, json=body(**more))


def text_of(path: str, frames: str) -> str:
    """What a reader of either wire sees."""
    if path == PATHS[1]:
        return "".join(json.loads(line)["message"]["content"] for line in frames.splitlines())
    events = [line.removeprefix("data: ") for line in frames.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("script", [OK, (Pieces(3), *OK)], ids=["whole", "split"])
async def test_a_healthy_stream_on_either_wire(path: str, script: Script) -> None:
    async with Upstream(Role.PRIMARY, script).running() as upstream:
        answer = await posted(upstream, path)

    assert text_of(path, answer.text) == TEXT
    assert upstream.seen.hits == 1


@pytest.mark.parametrize("path", PATHS)
async def test_a_healthy_whole_answer_on_either_wire(path: str) -> None:
    async with Upstream(Role.PRIMARY).running() as upstream:
        told = (await posted(upstream, path, stream=False)).json()

    message = told["message"] if path == PATHS[1] else told["choices"][0]["message"]
    assert message["content"] == TEXT


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [(Begin(), Words(3), Reset()), (Begin(), Words(3), Close()), (Reset(),)])
async def test_a_connection_that_dies(script: Script, stream: bool) -> None:
    """In the middle by RST or FIN, or before a byte: never a complete answer."""
    async with Upstream(Role.PRIMARY, script).running() as upstream:
        with pytest.raises(httpx2.TransportError):
            await posted(upstream, stream=stream)


async def test_errors_have_each_wires_shape() -> None:
    refuse = Refuse(429, "slow down", retry_after_s=7)
    async with Upstream(Role.PRIMARY, (refuse,)).running() as upstream:
        openai, ollama = await posted(upstream), await posted(upstream, PATHS[1])

    assert (openai.status_code, openai.headers["retry-after"]) == (429, "7")
    assert openai.json()["error"]["message"] == "slow down"
    assert ollama.json() == {"error": "slow down"}


async def test_an_engine_that_dies_in_a_stream_says_done_all_the_same() -> None:
    """vLLM's way: an error event, then [DONE]."""
    async with Upstream(Role.PRIMARY, (Begin(), Words(3), Broken())).running() as upstream:
        frames = (await _raw(upstream)).decode()

    assert '"error"' in frames
    assert frames.rstrip().endswith("data: [DONE]")


async def _raw(upstream: Upstream) -> bytes:
    """Everything that comes, also where the end is missing."""
    got = b""
    async with httpx2.AsyncClient(timeout=GUARD_S, trust_env=False) as http:
        try:
            async with http.stream("POST", upstream.url + PATHS[0], json=body()) as answer:
                async for piece in answer.aiter_bytes():
                    got += piece
        except httpx2.TransportError:
            pass
    return got


@pytest.mark.parametrize("script", [(Begin(), Words(3), Malformed(), Words(), End()), (Page(),)])
async def test_what_is_no_json(script: Script) -> None:
    async with Upstream(Role.PRIMARY, script).running() as upstream:
        with pytest.raises(json.JSONDecodeError):
            (await posted(upstream, stream=False)).json()


async def test_only_the_first_answers_are_special() -> None:
    async with Upstream(Role.PRIMARY, first=[(Refuse(500),)]).running() as upstream:
        codes = [(await posted(upstream)).status_code for _ in range(3)]

    assert codes == [500, 200, 200]


async def test_nobody_listens_until_it_comes_and_after_it_dies() -> None:
    """The port stays the same, and is refused in between."""
    upstream = Upstream(Role.PRIMARY, listens=False)
    async with upstream.running():
        port = upstream.port
        with pytest.raises(httpx2.ConnectError):
            await posted(upstream)
        await upstream.come()
        assert (await posted(upstream)).status_code == 200
        await upstream.die()
        with pytest.raises(httpx2.ConnectError):
            await posted(upstream)
        await upstream.come()
        assert (await posted(upstream)).status_code == 200
        assert upstream.port == port
    assert upstream.seen.hits == 2


async def test_a_kept_connection_is_closed_when_the_next_request_arrives() -> None:
    upstream = Upstream(Role.PRIMARY, drops_reused=True)
    async with upstream.running(), httpx2.AsyncClient(timeout=GUARD_S, trust_env=False) as http:
        url = upstream.url + PATHS[0]
        assert (await http.post(url, json=body())).status_code == 200
        with pytest.raises(httpx2.TransportError):
            await http.post(url, json=body())

    assert (upstream.seen.hits, upstream.seen.dropped) == (1, 1)


@pytest.mark.parametrize("script", [(Hang(),), (Begin(), Hang()), (Begin(), Words(3), Hang())])
async def test_a_caller_who_leaves_is_noticed(script: Script) -> None:
    async with Upstream(Role.PRIMARY, script).running() as upstream:
        asking = asyncio.ensure_future(posted(upstream))
        await _until(upstream, lambda u: u.seen.hits == 1)
        asking.cancel()
        await _until(upstream, lambda u: u.seen.left == 1)


async def test_probes_are_counted_apart_and_wait_until_it_generates() -> None:
    """Requests for a single token, on either wire; how many at a time is kept."""
    async with Upstream(Role.PRIMARY, (Until(), *OK)).running() as upstream:
        first = asyncio.ensure_future(posted(upstream, max_tokens=1))
        second = asyncio.ensure_future(posted(upstream, PATHS[1], options={"num_predict": 1}, max_tokens=None))
        await _until(upstream, lambda u: u.seen.probing == 2)
        upstream.generates.set()
        await asyncio.gather(first, second)

    assert (upstream.seen.hits, upstream.seen.probes, upstream.seen.most_probes) == (0, 2, 2)


async def test_a_prefill_is_refused_where_it_is_said_so() -> None:
    async with Upstream(Role.FALLBACK, refuses_prefill=True).running() as upstream:
        begun: Sequence[dict[str, str]] = [{"role": "assistant", "content": "The"}]
        codes = [(await posted(upstream)).status_code, (await posted(upstream, messages=begun)).status_code]

    assert codes == [200, 400]
    assert upstream.seen.prefills == 1


async def _until(upstream: Upstream, holds: Any) -> None:
    async with asyncio.timeout(GUARD_S):
        while not holds(upstream):
            await asyncio.sleep(0.01)
