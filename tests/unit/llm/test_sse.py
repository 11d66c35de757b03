"""Events out of raw bytes: wherever a network cuts them, and whatever a server puts between them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.llm.errors import DeadError, ErrorType
from services.llm.providers import sse
from tests.recorded.played import Played, Row, recording
from tests.unit.llm.conftest import ask

MANNERS = (
    ": a comment\n\n"
    'data: {"text": "zwölf 日本 🙂"}\n\n'
    "event: token\nid: 7\nretry: 10\ndata:no space\n\n"
    "data: crlf\r\n\r\n"
    "data: first\ndata: second\r\ndata:  two spaces\n\n"
    ": ping\n\n: ping\r\n\r\n"
    "data:\n\n"
    "\n\n\n"
    "data: [DONE]\n\n"
    "data: no end"
).encode()
EVENTS = [
    '{"text": "zwölf 日本 🙂"}'.encode(),
    b"no space",
    b"crlf",
    b"first\nsecond\n two spaces",
    b"",
    b"[DONE]",
]


async def of(pieces: Iterable[bytes]) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [data async for data in sse.data_of(stream())]


async def test_events_are_the_same_wherever_the_bytes_are_cut() -> None:
    """In two at every byte: inside a character, a line end, a field name."""
    for at in range(len(MANNERS) + 1):
        assert await of([MANNERS[:at], MANNERS[at:]]) == EVENTS, at


async def test_events_come_byte_by_byte_too() -> None:
    """Empty pieces in between."""
    assert await of(piece for byte in MANNERS for piece in (bytes([byte]), b"")) == EVENTS


@given(st.lists(st.integers(min_value=0, max_value=len(MANNERS)), max_size=12))
async def test_events_are_the_same_in_any_number_of_pieces(cuts: list[int]) -> None:
    """Any cuts at once."""
    at = [0, *sorted(cuts), len(MANNERS)]
    assert await of(MANNERS[a:b] for a, b in itertools.pairwise(at)) == EVENTS


@pytest.mark.parametrize("name", ["stream", "stop string in a stream", "bad schema, streamed"])
async def test_a_recorded_stream_is_the_same_wherever_it_is_cut(name: str) -> None:
    """The engine's own bytes, in two at every seventh byte."""
    body = recording("vllm")[name].body
    whole = await of([body])

    assert whole[-1] == b"[DONE]"
    for at in range(0, len(body), 7):
        assert await of([body[:at], body[at:]]) == whole, at


async def test_an_event_without_an_end_is_none() -> None:
    """Its server died while writing it."""
    assert await of([b"data: one\n\ndata: tw"]) == [b"one"]
    assert await of([b"data: one\n\ndata: two\n"]) == [b"one"]
    assert await of([]) == []


async def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    """It is refused while it comes, not when memory is gone."""
    came = 0

    def endless() -> Iterable[bytes]:
        nonlocal came
        while True:
            came += 1
            yield b"x" * 2**20

    with pytest.raises(ValueError, match="a line of more than"):
        await of(endless())
    assert came == sse.LINE_LIMIT // 2**20 + 1


async def test_an_event_of_endless_lines_is_not_kept_for_ever() -> None:
    """Many short lines eat memory as one long one does."""
    with pytest.raises(ValueError, match="an event of more than"):
        await of(b"data: " + b"x" * 2**16 + b"\n" for _ in range(2**16))


async def test_an_endless_line_is_an_ill_engine_to_the_adapter() -> None:
    """Nonsense on the wire, as any other."""
    body = b"data: " + b"x" * (sse.LINE_LIMIT + 1)
    row = Row(engine="vllm", name="", request={"body": {"stream": True}}, status=200, headers={}, body=body)
    async with contextlib.aclosing(Played(row, "vllm").provider()) as provider:
        with pytest.raises(DeadError) as caught:
            await anext(provider.stream(ask()))
    assert caught.value.type is ErrorType.BAD_RESPONSE
