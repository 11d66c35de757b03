"""A document is read in a child forked for it: what it does to its process is its own refusal, and the next is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.rag import readers as room
from services.rag.parsed import Limits, Refusal
from services.rag.readers import Readers
from tests.unit.rag.papers import bomb_pdf, named, pdf, word

CONFINED = Limits(cpu_s=2, memory_bytes=400 * 2**20, chars=1000)


async def code(readers: Readers, name: str, data: bytes, limits: Limits) -> str:
    with pytest.raises(Refusal) as caught:
        await readers.read(named(name, data), limits)
    return caught.value.code


def children() -> set[int]:
    """Processes that this one has started and that still live."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(map(int, listed.read_text().split()))


async def test_documents_of_every_kind_come_back_one_after_the_other() -> None:
    async with Readers() as readers:
        read = [
            (await readers.read(named(name, data), Limits())).text
            for name, data in (("a.pdf", pdf("One.", "Two.")), ("b.docx", word("Three.")), ("c.txt", b"Four."))
        ]

    assert read == ["One.\n\nTwo.", "Three.", "Four."]


async def test_one_process_serves_them_and_none_is_left() -> None:
    """The nursery stays between documents and goes with the block."""
    before = children()
    async with Readers() as readers:
        await readers.read(named("a.txt", b"words"), Limits())
        first = children() - before
        await readers.read(named("b.txt", b"words"), Limits())
        assert children() - before == first
        assert len(first) == 1
    assert children() == before


async def test_a_document_larger_than_a_pipe_is_read_whole() -> None:
    async with Readers() as readers:
        text = "word " * 400_000 + "end"
        assert (await readers.read(named("a.txt", text.encode()), Limits())).text == text


async def test_a_refusal_and_a_death_leave_the_next_document_alone() -> None:
    """The bomb takes its nursery with it; another one reads on."""
    async with Readers() as readers:
        assert await code(readers, "a.txt", b"\0\1\2\3", Limits()) == "binary-not-text"
        bomb = await code(readers, "b.pdf", bomb_pdf(64 * 2**20), CONFINED)
        assert bomb in {"parse-too-slow", "parse-too-large", "parse-died"}
        assert (await readers.read(named("c.txt", b"words"), Limits())).text == "words"


async def test_a_document_that_takes_too_long_is_given_up_with_its_process() -> None:
    before = children()
    async with Readers() as readers:
        limits = Limits(wall_s=0.0)
        assert await code(readers, "a.txt", b"words", limits) == "parse-too-slow"
        assert children() == before
        assert (await readers.read(named("a.txt", b"words"), Limits())).text == "words"


async def test_a_nursery_that_was_killed_between_documents_is_replaced() -> None:
    before = children()
    async with Readers() as readers:
        await readers.read(named("a.txt", b"words"), Limits())
        [nursery] = children() - before
        os.kill(nursery, 9)
        while readers._idle[0].returncode is None:
            await room.asyncio.sleep(0.01)
        assert (await readers.read(named("a.txt", b"words"), Limits())).text == "words"
