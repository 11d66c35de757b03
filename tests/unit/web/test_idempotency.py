"""What a retry meets after a large answer, a store that failed too late, and a caller who left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from sqlalchemy import Connection, select

from services.notes import app as notes_app
from services.settings import Settings, load
from services.store.clock import later
from services.store.database import Database
from services.store.errors import StoreError
from services.store.replies import KEPT_S
from services.web.idempotency import Memory, purged
from tests.contract.test_replies import REPLIES, SCHEMA, Things, app_of, post
from tests.service.scripted import ScriptedClient, served

T = TypeVar("T")


class Failing(Database):
    """Fails the writes after the first `good` ones."""

    good = 1000

    async def write(self, work: Callable[[Connection], T]) -> T:
        self.good -= 1
        if self.good < 0:
            raise StoreError("the disk is gone")
        return await super().write(work)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Failing]:
    async with Failing(f"sqlite:///{tmp_path}/replies.db", SCHEMA) as opened:
        assert isinstance(opened, Failing)
        yield opened


@pytest.fixture
def notes_settings(tmp_path: Path) -> Settings:
    return load({"CUTOVER_HOME": str(tmp_path)})


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def http(things: Things, database: Failing) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app_of(things, database), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as opened:
        yield opened


async def test_a_large_answer_is_kept_whole(http: httpx2.AsyncClient, things: Things) -> None:
    """However large: the thing is made, and a retry makes no other."""
    things.more = "x" * 2 * 1024 * 1024
    first, again = await post(http), await post(http)

    assert (first.status_code, again.status_code, len(things.made)) == (201, 201, 1)
    assert again.text == first.text
    assert len(first.text) > 2 * 1024 * 1024


@pytest.mark.parametrize("status", [201, 400])
async def test_a_store_that_fails_after_the_work_takes_no_answer_away(
    http: httpx2.AsyncClient, things: Things, database: Failing, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The caller hears what was made; the log hears that it was not kept; a retry makes nothing more."""
    things.answers, database.good = [status], 1
    with caplog.at_level(logging.ERROR, "cutover.web"):
        first = await post(http)
    database.good = 1000

    assert (first.status_code, first.headers["location"]) == (status, f"/v1/things/{len(things.made)}")
    assert f"idempotency.not_kept status={status} reason=the disk is gone" in caplog.messages
    assert (await post(http)).status_code == 409


async def test_old_answers_go_without_anybody_asking(database: Failing, caplog: pytest.LogCaptureFixture) -> None:
    """They quote what was sent; a store that fails meanwhile is asked again the next time."""
    old, young = "2026-01-01T12:00:00.000+00:00", "2026-01-02T11:00:00.000+00:00"
    for key, at in (("old", old), ("young", young)):
        await database.write(lambda c, key=key, at=at: REPLIES.claim(c, "w", key, "f", at=at))
    database.good = 0
    memory = Memory(database=database, replies=REPLIES, now=lambda: later(old, KEPT_S))
    async with asyncio.timeout(120), purged(memory, every_s=0.01):
        while "idempotency.not_purged reason=the disk is gone" not in caplog.messages:
            await asyncio.sleep(0.01)
        database.good = 1000
        while len(await database.read(lambda c: c.execute(select(REPLIES.table)).all())) == 2:
            await asyncio.sleep(0.01)

    assert await database.read(lambda c: c.execute(select(REPLIES.table.c.key)).scalars().all()) == ["young"]


async def test_a_service_drops_its_old_answers_from_the_start(notes_settings: Settings) -> None:
    """A restart does not put it off."""
    llm = ScriptedClient()
    async with served(notes_app.build(notes_settings, client=llm), llm) as desk:
        memory = desk.app.state.room.memory
        await memory.database.write(
            lambda c: memory.replies.claim(c, "w", "k", "f", at="2026-01-01T12:00:00.000+00:00")
        )
    async with served(notes_app.build(notes_settings, client=llm), llm) as desk, asyncio.timeout(120):
        memory = desk.app.state.room.memory
        while await memory.database.read(lambda c: c.execute(select(memory.replies.table)).all()):
            await asyncio.sleep(0.01)


async def test_a_caller_who_leaves_in_the_middle_of_a_body_is_no_error(things: Things, database: Failing) -> None:
    """Nothing is answered, claimed or made."""
    came = iter([{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(came)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"idempotency-key", b"k-1")]
    scope = {"type": "http", "method": "POST", "path": "/v1/things", "query_string": b"", "headers": headers}
    app = app_of(things, database)
    await app(scope, receive, send)

    assert (sent, things.made) == ([], [])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http:
        assert (await post(http)).status_code == 201
