"""What a retry meets after a large answer, a store that failed too late, and a caller who left."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from sqlalchemy import Connection

from services.store.database import Database
from services.store.errors import StoreError
from tests.contract.test_replies import SCHEMA, Things, app_of, post

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
