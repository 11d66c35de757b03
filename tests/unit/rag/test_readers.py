"""A document is read in a child forked for it: what it does to its process is its own refusal, and the next is read."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.rag import readers as room
from services.rag.parsed import Limits, Refusal
from services.rag.readers import Readers
from tests.unit.rag.papers import bomb_pdf, named, pdf, word

NURSERY = """
import os, sys, time
from services.rag import parsing_nursery as nursery
written, answered = nursery._write, nursery.answered
{}
sys.exit(nursery.main())
"""
HOLDER = """
import asyncio, sys
from services.rag import readers
from services.rag.parsed import Limits, Source
readers.COMMAND = (sys.executable, "-P", "-c", sys.argv[1])
asyncio.run(readers.Readers().read(Source(data=b"words", name="a.txt", media_type=""), Limits(wall_s=600)))
"""
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
            (await readers.read(named(name, data), Limits(wall_s=600))).text
            for name, data in (("a.pdf", pdf("One.", "Two.")), ("b.docx", word("Three.")), ("c.txt", b"Four."))
        ]

    assert read == ["One.\n\nTwo.", "Three.", "Four."]


async def test_one_process_serves_them_and_none_is_left() -> None:
    """The nursery stays between documents and goes with the block."""
    before = children()
    async with Readers() as readers:
        await readers.read(named("a.txt", b"words"), Limits(wall_s=600))
        first = children() - before
        await readers.read(named("b.txt", b"words"), Limits(wall_s=600))
        assert children() - before == first
        assert len(first) == 1
    assert children() == before


async def test_a_document_larger_than_a_pipe_is_read_whole() -> None:
    async with Readers() as readers:
        text = "word " * 400_000 + "end"
        assert (await readers.read(named("a.txt", text.encode()), Limits(wall_s=600))).text == text


async def test_a_refusal_and_a_death_leave_the_next_document_alone() -> None:
    """The bomb takes its nursery with it; another one reads on."""
    async with Readers() as readers:
        assert await code(readers, "a.txt", b"\0\1\2\3", Limits(wall_s=600)) == "binary-not-text"
        bomb = await code(readers, "b.pdf", bomb_pdf(64 * 2**20), CONFINED)
        assert bomb in {"parse-too-slow", "parse-too-large", "parse-died"}
        assert (await readers.read(named("c.txt", b"words"), Limits(wall_s=600))).text == "words"


async def test_a_document_that_takes_too_long_is_given_up_with_its_process() -> None:
    before = children()
    async with Readers() as readers:
        limits = Limits(wall_s=0.0)
        assert await code(readers, "a.txt", b"words", limits) == "parse-too-slow"
        assert children() == before
        assert (await readers.read(named("a.txt", b"words"), Limits(wall_s=600))).text == "words"


async def test_a_nursery_that_was_killed_between_documents_is_replaced() -> None:
    before = children()
    async with Readers() as readers:
        await readers.read(named("a.txt", b"words"), Limits(wall_s=600))
        [nursery] = children() - before
        os.kill(nursery, 9)
        while readers._idle[0].returncode is None:
            await room.asyncio.sleep(0.01)
        assert (await readers.read(named("a.txt", b"words"), Limits(wall_s=600))).text == "words"


def replaced(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """Nurseries run the program `by`."""
    monkeypatch.setattr(room, "COMMAND", (sys.executable, "-P", "-c", by))


async def test_one_that_answers_on_and_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than is read of it fills the pipe: its end is told all the same."""
    replaced(monkeypatch, "import os, time\nos.write(1, bytes(1 << 20))\ntime.sleep(600)")
    async with Readers() as readers, asyncio.timeout(120):
        assert await code(readers, "a.txt", b"words", Limits(wall_s=1.0)) == "parse-too-slow"


async def test_an_answer_behind_the_answer_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that was taken over could write the next document's."""
    more = "nursery._write = lambda to, data: written(to, data if to == 1 else data + nursery.END + data)"
    replaced(monkeypatch, NURSERY.format(more))
    async with Readers() as readers:
        assert await code(readers, "a.txt", b"words", Limits(wall_s=600)) == "parse-died"
        assert readers._idle == []


async def test_a_process_that_cannot_be_made_is_not_the_documents_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another attempt is made, as for a service that is short of something."""
    replaced(monkeypatch, NURSERY.format("def full(): raise BlockingIOError(11, 'no process')\nos.fork = full"))
    async with Readers() as readers:
        with pytest.raises(Refusal) as caught:
            await readers.read(named("a.txt", b"words"), Limits(wall_s=600))
    assert caught.value.again


async def test_a_reader_at_work_ends_with_whoever_waits_for_it() -> None:
    """However that ended: a document that spins would go on for as long as it may."""
    spins = NURSERY.format("nursery.answered = lambda source, limits: time.sleep(600)")
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    holder = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", HOLDER, spins, env=env)
    try:
        async with asyncio.timeout(120):
            while not (started := [g for n in of(holder.pid) for g in (n, *of(n))])[1:]:
                await asyncio.sleep(0.05)
    finally:
        holder.kill()
        await holder.wait()
    async with asyncio.timeout(120):
        while any(lives(pid) for pid in started):
            await asyncio.sleep(0.05)


def of(pid: int) -> list[int]:
    """The children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Whether it runs; one that has ended may wait for somebody to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
