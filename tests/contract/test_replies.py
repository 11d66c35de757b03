"""Idempotency keys on both databases: a retry gets the first answer, and nothing is done a second time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from sqlalchemy import MetaData, select

from services.store.clock import later
from services.store.database import Database
from services.store.errors import StoreError
from services.store.replies import IN_FLIGHT_S, KEPT_S, Replies, Reply, Standing
from services.store.schema import Schema
from services.web import problems
from services.web.body_limit import BodyLimit
from services.web.idempotency import Idempotency, Memory
from services.web.request_id import RequestId

TABLES = MetaData()
REPLIES = Replies(TABLES)
SCHEMA = Schema(name="replies", tables=TABLES)
NOON = "2026-01-01T12:00:00.000+00:00"
DONE = Reply(status=201, headers={"location": "/v1/things/1"}, body=b'{"id": 1}')


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    async with Database(store_url, SCHEMA) as opened:
        yield opened


class TestTable:
    async def claim(self, database: Database, *, key: str = "k", own: str = "w", of: str = "f", at: str = NOON) -> Any:
        return await database.write(lambda c: REPLIES.claim(c, own, key, of, at=at))

    async def keep(self, database: Database) -> None:
        await database.write(lambda c: REPLIES.keep(c, "w", "k", DONE, location=DONE.headers["location"]))

    async def test_a_key_is_claimed_once(self, database: Database) -> None:
        """The second request waits for the first; another one with the same key is a mistake."""
        assert await self.claim(database) == (Standing.NEW, None)
        assert await self.claim(database) == (Standing.IN_FLIGHT, None)
        assert await self.claim(database, of="other") == (Standing.OTHER, None)

    async def test_an_answer_is_given_again(self, database: Database) -> None:
        await self.claim(database)
        await self.keep(database)

        assert await self.claim(database) == (Standing.ANSWERED, DONE)
        assert await self.claim(database, of="other") == (Standing.OTHER, None)

    async def test_a_workspace_sees_only_its_own_answers(self, database: Database) -> None:
        """The same key of somebody else is another key."""
        await self.claim(database)
        await self.keep(database)

        assert await self.claim(database, own="x") == (Standing.NEW, None)

    async def test_a_claim_that_nobody_answers_is_never_worked_on_again(self, database: Database) -> None:
        """Whether the thing was made nobody knows; making it twice would be worse than saying so."""
        await self.claim(database)

        assert (await self.claim(database, at=later(NOON, IN_FLIGHT_S - 1)))[0] is Standing.IN_FLIGHT
        assert (await self.claim(database, at=later(NOON, IN_FLIGHT_S)))[0] is Standing.UNKNOWN

    async def test_after_a_day_a_key_is_new(self, database: Database) -> None:
        await self.claim(database)
        await self.keep(database)

        assert (await self.claim(database, at=later(NOON, KEPT_S - 1)))[0] is Standing.ANSWERED
        assert (await self.claim(database, at=later(NOON, KEPT_S)))[0] is Standing.NEW

    async def test_of_many_at_once_one_goes_on(self, database: Database) -> None:
        found = await asyncio.gather(*(self.claim(database) for _ in range(12)))

        assert sorted(standing for standing, _ in found) == sorted([Standing.NEW] + [Standing.IN_FLIGHT] * 11)

    async def test_what_is_deleted_takes_its_answer_along(self, database: Database) -> None:
        """Not that of another workspace."""
        await self.claim(database)
        await self.keep(database)

        assert not await database.write(lambda c: REPLIES.forget(c, "x", "/v1/things/1"))
        assert await database.write(lambda c: REPLIES.forget(c, "w", "/v1/things/1"))
        assert await database.read(lambda c: c.execute(select(REPLIES.table)).all()) == []


@dataclass
class Things:
    """A service that makes things; `answers` are statuses to answer with, the last again and again."""

    made: list[bytes] = field(default_factory=list)
    answers: list[int] = field(default_factory=lambda: [201])
    gate: asyncio.Event | None = None
    more: str = ""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, request: Request) -> Response:
        body = await request.body()
        status = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        self.came.set()
        if self.gate is not None:
            await self.gate.wait()
        if status == 1:
            raise RuntimeError("fell over")
        if status < 300:
            self.made.append(body)
        headers = {"Location": f"/v1/things/{len(self.made)}"}
        return Response(f"thing {len(self.made)}{self.more}", status, headers)

    async def delete(self) -> Response:
        return Response(status_code=204)


def app_of(things: Things, database: Database) -> FastAPI:
    app = FastAPI()
    creating = [re.compile("^/v1/things$")]
    app.add_middleware(Idempotency, memory=Memory(database=database, replies=REPLIES), creating=creating)
    app.add_middleware(BodyLimit, max_bytes=300_000)
    app.add_middleware(RequestId)
    problems.install(app)
    app.add_api_route("/v1/things", things.make, methods=["POST"])
    app.add_api_route("/v1/others", things.make, methods=["POST"])
    app.add_api_route("/v1/things/{n}", things.delete, methods=["DELETE"])
    return app


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
async def http(things: Things, database: Database) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app_of(things, database), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as opened:
        yield opened


async def post(http: httpx2.AsyncClient, key: str | None = "k-1", path: str = "/v1/things", **what: Any) -> Any:
    headers = {**what.pop("headers", {}), **({} if key is None else {"Idempotency-Key": key})}
    return await http.post(path, headers=headers, **(what or {"content": b"x"}))


class TestRequests:
    async def test_a_retry_gets_the_first_answer_and_makes_nothing(
        self, http: httpx2.AsyncClient, things: Things
    ) -> None:
        """Status, body and Location; its own request id, and a header that says so."""
        first, again = await post(http), await post(http)

        assert (again.status_code, again.text, again.headers["location"]) == (201, "thing 1", "/v1/things/1")
        assert things.made == [b"x"]
        assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
        assert first.headers["x-request-id"] != again.headers["x-request-id"]

    async def test_the_key_with_another_body_is_refused(self, http: httpx2.AsyncClient, things: Things) -> None:
        await post(http)
        refused = await post(http, content=b"y")

        assert (refused.status_code, refused.json()["type"]) == (422, "urn:cutover:problem:idempotency-key-reused")
        assert things.made == [b"x"]

    async def test_a_retry_while_the_first_is_at_work_waits(self, http: httpx2.AsyncClient, things: Things) -> None:
        """409 with the time to come back; afterwards the answer of the first."""
        things.gate = asyncio.Event()
        first = asyncio.create_task(post(http))
        await things.came.wait()
        early = await post(http)
        things.gate.set()

        assert (early.json()["type"], early.headers["retry-after"]) == (
            "urn:cutover:problem:idempotency-in-flight",
            "1",
        )
        assert (await first).status_code == 201
        assert (await post(http)).text == "thing 1"

    @pytest.mark.parametrize("status", [400, 422, 429, 503])
    async def test_a_refusal_or_failure_may_be_tried_again(
        self, http: httpx2.AsyncClient, things: Things, status: int
    ) -> None:
        """It made nothing; the same key may bring a mended body as well."""
        things.answers = [status, 201]

        assert [(await post(http, content=c)).status_code for c in (b"bad", b"good")] == [status, 201]

    async def test_an_error_that_nobody_foresaw_is_not_worked_on_again(
        self, http: httpx2.AsyncClient, things: Things
    ) -> None:
        """It may have come after the thing was made."""
        things.answers = [1, 201]

        assert [(await post(http)).status_code for _ in range(2)] == [500, 409]
        assert things.made == []

    async def test_without_a_key_each_request_makes_one(self, http: httpx2.AsyncClient, things: Things) -> None:
        for _ in range(2):
            await post(http, None)

        assert len(things.made) == 2

    async def test_where_nothing_is_created_the_header_means_nothing(
        self, http: httpx2.AsyncClient, things: Things
    ) -> None:
        for _ in range(2):
            await post(http, path="/v1/others")

        assert len(things.made) == 2

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256])
    async def test_a_key_that_is_none_is_refused(self, http: httpx2.AsyncClient, things: Things, key: str) -> None:
        assert (await post(http, key)).status_code == 400
        assert things.made == []

    async def test_a_form_is_the_same_whatever_its_boundary(self, http: httpx2.AsyncClient, things: Things) -> None:
        """Clients draw it anew for each try; the file in it still counts."""
        sent = [("one", b"data" * 40_000), ("another-much-longer-one", b"data" * 40_000), ("three", b"gone" * 40_000)]
        found = []
        for boundary, data in sent:
            head = b'\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            mark = b"--" + boundary.encode()
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            found.append(
                (await post(http, content=mark + head + data + b"\r\n" + mark + b"--", headers=kind)).status_code
            )

        assert found == [201, 201, 422]
        assert len(things.made) == 1

    async def test_a_body_goes_on_to_the_service_as_it_came(self, http: httpx2.AsyncClient, things: Things) -> None:
        """In several pieces, at any size around theirs."""
        sizes = (0, 1, 65_535, 65_536, 65_537, 200_000)
        for size in sizes:
            await post(http, f"k-{size}", content=b"z" * size)

        assert [len(made) for made in things.made] == list(sizes)

    async def test_a_body_that_is_too_large_is_refused_and_claims_nothing(
        self, http: httpx2.AsyncClient, things: Things
    ) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(4):
                yield b"z" * 100_000

        assert (await post(http, content=pieces())).status_code == 413
        assert (await post(http)).status_code == 201

    async def test_after_a_deletion_no_answer_quotes_it(
        self, http: httpx2.AsyncClient, things: Things, database: Database
    ) -> None:
        """What was to be forgotten is not in the kept answers either."""
        await post(http)
        await http.delete("/v1/things/1")

        assert await database.read(lambda c: c.execute(select(REPLIES.table.c.body)).all()) == []

    async def test_a_deletion_is_told_where_its_answer_cannot_be_forgotten(
        self, http: httpx2.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The thing is gone: a 503 would say that nothing was changed."""
        await post(http)

        async def full(work: object) -> None:
            raise StoreError("the disk is full", is_full=True)

        monkeypatch.setattr(database, "write", full)
        assert (await http.delete("/v1/things/1")).status_code == 204

    async def test_a_store_that_does_not_answer_is_503(self, things: Things, store_url: str) -> None:
        """And nothing is made: without the claim a retry could make it twice."""
        closed = Database(store_url, SCHEMA)
        with pytest.raises(StoreError):
            await closed.check()
        transport = httpx2.ASGITransport(app_of(things, closed), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as http:
            assert (await post(http)).status_code == 503
        assert things.made == []
