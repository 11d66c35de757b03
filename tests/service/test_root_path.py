"""Behind a root path (`UVICORN_ROOT_PATH=/x`) whatever decides by the path sees the one that the routes see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.service.scripted import Desk
from tests.service.test_recording import TEXT, desk_of, lines, put, recording, ticket, until

PREFIX = "/x"


@asynccontextmanager
async def behind(desk: Desk) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(desk.app, root_path=PREFIX)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://service{PREFIX}") as http:
        yield http


async def test_a_retry_creates_nothing_more_and_a_deletion_is_forgotten(notes: Desk) -> None:
    note, key = {"title": "Standup", "text": "Ivo swaps the fan."}, {"Idempotency-Key": "k"}
    async with behind(notes) as http:
        first, again = [await http.post("/v1/notes", json=note, headers=key) for _ in range(2)]
        await http.delete(first.headers["location"])
        anew = await http.post("/v1/notes", json=note, headers=key)

    assert again.json() == first.json()
    assert anew.json()["id"] != first.json()["id"]


async def test_a_file_may_still_be_larger_than_other_bodies(rag: Desk) -> None:
    async with behind(rag) as http:
        sent = await http.post("/v1/documents", files={"file": ("a.txt", b"word " * 400_000)})

    assert sent.status_code == 202


async def test_requests_are_still_recorded(tmp_path: Path) -> None:
    state, asked = tmp_path / "state", ticket("notes")
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk, behind(desk) as http:
        await recording(desk)
        await http.post("/v1/summarize", json=TEXT)
        await until(lambda: len(lines(state, asked)) == 1)
