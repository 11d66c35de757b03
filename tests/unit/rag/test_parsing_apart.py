"""A parser that hangs, dies or eats memory is ended by its own limits, and only the document is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from services.rag import parsing_apart
from services.rag.parsed import Limits, Refusal, page_of
from services.rag.parsing_apart import parse_apart
from tests.unit.rag.papers import bomb_pdf, named, pdf

CONFINED = """from services.rag.parsed import Limits
from services.rag.parsing_child import confine
confine(Limits(cpu_s=1, memory_bytes=500 * 2**20))"""

Stand = Callable[[str], None]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Puts another program in the child's place."""
    return lambda program: monkeypatch.setattr(parsing_apart, "COMMAND", (sys.executable, "-c", program))


async def code(name: str, data: bytes, limits: Limits) -> str:
    with pytest.raises(Refusal) as caught:
        await parse_apart(named(name, data), limits)
    return caught.value.code


async def test_a_document_comes_back_with_its_pages() -> None:
    """What the child read is what the parent has, its page map too."""
    parsed = await parse_apart(named("a.pdf", pdf("One.", "Two.")), Limits(wall_s=600))

    assert (parsed.text, page_of(parsed.pages, 6)) == ("One.\n\nTwo.", 2)


async def test_a_refusal_comes_back_as_one() -> None:
    assert await code("a.txt", b"\0\1\2\3", Limits(wall_s=600)) == "binary-not-text"


async def test_a_content_that_unpacks_without_end_meets_the_limits() -> None:
    """64 MB of drawing in 64 KB of PDF: the processor's seconds or the memory are used up first."""
    limits = Limits(cpu_s=2, memory_bytes=400 * 2**20, chars=1000)

    assert await code("a.pdf", bomb_pdf(64 * 2**20), limits) in {"parse-too-slow", "parse-too-large", "parse-died"}


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import time; time.sleep(600)", "parse-too-slow"),
        ("import os; os.abort()", "parse-died"),
        ("import os; os.kill(os.getpid(), 9)", "parse-too-large"),
        (f"{CONFINED}\nwhile True: pass", "parse-too-slow"),
        (f"{CONFINED}\nbytearray(2**30)", "parse-died"),
        ("raise SystemExit(3)", "parse-died"),
    ],
)
async def test_a_parser_that_hangs_or_dies_is_the_document_s_refusal(
    stand_in: Stand, program: str, expected: str
) -> None:
    """Nobody else notices; the child is gone."""
    stand_in(program)

    assert await code("a.txt", b"words", Limits(wall_s=0.5 if "sleep" in program else 120)) == expected


async def test_the_child_sees_none_of_our_secrets(stand_in: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's document is read without the admin token beside it."""
    monkeypatch.setenv("ADMIN_TOKEN", "secret")
    stand_in("import os, json; print(json.dumps({'parsed': {'text': str(sorted(os.environ)), 'pages': []}}))")
    parsed = await parse_apart(named("a.txt", b"words"), Limits(wall_s=600))

    assert "ADMIN_TOKEN" not in parsed.text


async def test_where_memory_runs_out_the_child_ends_before_the_service(stand_in: Stand) -> None:
    """It offers itself to the kernel; a container of 1 GB would otherwise lose the service."""
    told = "print(json.dumps({'parsed': {'text': open('/proc/self/oom_score_adj').read(), 'pages': []}}))"
    stand_in(f"import json\n{CONFINED}\n{told}")

    assert (await parse_apart(named("a.txt", b"words"), Limits(wall_s=600))).text.strip() == "1000"
