"""A service records its own requests only while it is asked to, and never at the cost of one of them."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.ner import app as ner_app
from services.notes import app as notes_app
from services.rag import app as rag_app
from services.recording import account
from services.recording.account import Account
from services.recording.ticket import Ticket, account_path, dump, requests_path, ticket_path
from services.settings import load
from tests.service.scripted import BEARER, TOKEN, Desk, ScriptedClient, answer, served

APPS = {"rag": rag_app, "notes": notes_app, "ner": ner_app}
RECIPES = Path(__file__).parents[2] / "bench" / "workloads"
TEXT = {"text": "Write to ivo@tessel.de about gpu-2.", "max_tokens": 16}


def ticket(service: str, *, minutes: float = 5, requests: int = 10, **bounds: Any) -> Ticket:
    now = datetime.now(UTC)
    until = (now + timedelta(minutes=minutes)).isoformat()
    return Ticket(
        id="20260822-ab", service=service, by="ada", at=now.isoformat(), until=until, requests=requests, **bounds
    )


def put(state: Path, asked: Ticket) -> None:
    state.mkdir(exist_ok=True)
    ticket_path(state, asked.service).write_text(dump(asked))


def lines(state: Path, asked: Ticket) -> list[dict[str, Any]]:
    path = requests_path(state, asked.service, asked.id)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def desk_of(service: str, home: Path, **env: str) -> AsyncIterator[Desk]:
    llm = ScriptedClient()
    llm.answers = [answer('{"entities": []}')]
    settings = load({"CUTOVER_HOME": str(home), "ADMIN_TOKEN": TOKEN, **env})
    async with served(APPS[service].build(settings, client=llm), llm) as desk:
        yield desk


async def until(holds: Callable[[], bool]) -> None:
    """Wait for the writer's thread, which the test does not own."""
    async with asyncio.timeout(120):
        while not holds():
            await asyncio.sleep(0.02)


async def recording(desk: Desk) -> None:
    recorder = desk.app.state.room.recorder
    await until(lambda: recorder.status()["id"] is not None)


def told(state: Path, asked: Ticket) -> Account:
    found = account.read(account_path(state, asked.service, asked.id))
    assert found is not None
    return found


async def test_nothing_is_captured_without_a_ticket(tmp_path: Path) -> None:
    """No file, no flag, no count."""
    async with desk_of("notes", tmp_path) as desk:
        await desk.http.post("/v1/summarize", json=TEXT)
        metrics = (await desk.http.get("/metrics")).text

    assert not (tmp_path / "state" / "recorded").exists()
    assert 'recording_active{service="notes"} 0.0' in metrics
    assert 'recording_requests_total{outcome="recorded",service="notes"} 0.0' in metrics


@pytest.mark.parametrize(
    "env", [{"RECORD": "never"}, {"NOTES_RECORD": "never"}, {"RECORD": "never", "NOTES_RECORD": "asked"}]
)
async def test_never_wins_over_any_ticket(tmp_path: Path, env: dict[str, str]) -> None:
    """Whoever runs the service decides; there is not even a thread that looks."""
    put(tmp_path / "state", ticket("notes"))
    async with desk_of("notes", tmp_path, **env) as desk:
        await desk.http.post("/v1/summarize", json=TEXT)
        status = (await desk.http.get("/api/admin/status", headers=BEARER)).json()["recording"]
        assert desk.app.state.room.recorder._thread is None

    assert (status["allowed"], status["id"]) == (False, None)
    assert not (tmp_path / "state" / "recorded").exists()


async def test_requests_are_recorded_redacted_for_their_owner_alone(tmp_path: Path) -> None:
    """The body and nothing else: no header, no answer, no user, no token."""
    state, asked = tmp_path / "state", ticket("notes")
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        headers = {"X-Sticky-Key": "user-77", "Cookie": "s=1", **BEARER}
        answered = await desk.http.post("/v1/summarize", json=TEXT, headers=headers)
        await until(lambda: len(lines(state, asked)) == 1)

    path = requests_path(state, "notes", asked.id)
    assert answered.status_code == 200
    assert lines(state, asked) == [
        {"id": "q00001", "body": {"text": "Write to <EMAIL_1> about gpu-2.", "max_tokens": 16}}
    ]
    written = b"".join(p.read_bytes() for p in path.parent.iterdir())
    assert not [word for word in (b"ivo@", b"user-77", TOKEN.encode(), b"entities") if word in written]
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("service", APPS)
async def test_each_service_records_what_its_recipe_replays(tmp_path: Path, service: str) -> None:
    """The recipe's path, and a body that the same endpoint takes again."""
    recipe = tomllib.loads((RECIPES / f"{service}.toml").read_text())
    assert recipe["path"] == APPS[service].RECORDED
    state, asked = tmp_path / "state", ticket(service)
    put(state, asked)
    async with desk_of(service, tmp_path) as desk:
        await recording(desk)
        await desk.http.post(recipe["path"], json=recipe["items"][0]["body"])
        await until(lambda: len(lines(state, asked)) == 1)
        again = await desk.http.post(recipe["path"], json=lines(state, asked)[0]["body"])

    assert again.status_code != 422


async def test_what_is_not_a_users_answered_request_is_left_out(tmp_path: Path) -> None:
    """The gate's own requests, refused ones, other endpoints."""
    state, asked = tmp_path / "state", ticket("notes")
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        await desk.http.post("/v1/summarize", json=TEXT, headers={"X-LLM-First": "vllm", **BEARER})
        await desk.http.post("/v1/summarize", json={"text": ""})
        await desk.http.post("/v1/notes", json={"title": "a", "text": "b"})
        await desk.http.post("/v1/summarize", json={"text": "the only one"})
        await until(lambda: len(lines(state, asked)) == 1)

    assert lines(state, asked)[0]["body"] == {"text": "the only one"}


async def test_it_stops_by_itself_at_the_number_asked_for(tmp_path: Path) -> None:
    """And says so, and does not begin again, restarted or not."""
    state, asked = tmp_path / "state", ticket("notes", requests=2)
    put(state, asked)
    for _ in range(2):
        async with desk_of("notes", tmp_path) as desk:
            if not lines(state, asked):
                await recording(desk)
            else:
                await until(lambda: desk.app.state.room.recorder.status()["problem"] is not None)
            for n in range(4):
                await desk.http.post("/v1/summarize", json={"text": f"note {n}"})
            await until(lambda: bool(told(state, asked).ended))

    assert len(lines(state, asked)) == 2
    assert told(state, asked).ended == "as many requests as asked for"


@pytest.mark.parametrize(
    ("bounds", "ended"), [({"minutes": 0}, "the time is up"), ({"total_bytes": 10}, "10 bytes, the most")]
)
async def test_it_stops_by_itself_at_time_and_bytes(tmp_path: Path, bounds: dict[str, Any], ended: str) -> None:
    """Without another request having to come for it."""
    state, asked = tmp_path / "state", ticket("notes", **bounds)
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk:
        await until(lambda: account_path(state, "notes", asked.id).exists())
        await desk.http.post("/v1/summarize", json=TEXT)
        await until(lambda: bool(told(state, asked).ended))

    assert told(state, asked).ended.startswith(ended)


async def test_taking_the_ticket_away_ends_it_and_keeps_what_there_is(tmp_path: Path) -> None:
    state, asked = tmp_path / "state", ticket("notes")
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        await desk.http.post("/v1/summarize", json=TEXT)
        ticket_path(state, "notes").unlink()
        await until(lambda: bool(told(state, asked).ended))
        await desk.http.post("/v1/summarize", json=TEXT)

    assert (told(state, asked).ended, told(state, asked).recorded, len(lines(state, asked))) == ("stopped", 1, 1)


async def test_a_restarted_service_goes_on_where_the_file_ends(tmp_path: Path) -> None:
    """A line that was torn by a kill is cut off first."""
    state, asked = tmp_path / "state", ticket("notes", requests=2)
    put(state, asked)
    path = requests_path(state, "notes", asked.id)
    path.parent.mkdir()
    path.write_text('{"id": "q00001", "body": {"text": "before"}}\n{"id": "q0000')
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        await desk.http.post("/v1/summarize", json={"text": "after"})
        await until(lambda: bool(told(state, asked).ended))

    assert [(r["id"], r["body"]["text"]) for r in lines(state, asked)] == [("q00001", "before"), ("q00002", "after")]


async def test_a_large_body_is_answered_and_not_recorded(tmp_path: Path) -> None:
    """Counted under its reason."""
    state, asked = tmp_path / "state", ticket("notes", body_bytes=200)
    put(state, asked)
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        answered = await desk.http.post("/v1/summarize", json={"text": "word " * 100})
        metrics = (await desk.http.get("/metrics")).text
        await until(lambda: told(state, asked).left_out == {"too_large": 1})

    assert answered.status_code == 200
    assert 'recording_requests_total{outcome="too_large",service="notes"} 1.0' in metrics
    assert lines(state, asked) == []


async def test_a_full_disk_ends_the_recording_and_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is left whole; the loss is counted and told to operators."""
    state, asked = tmp_path / "state", ticket("notes")
    put(state, asked)
    write = os.write

    def full(file: int, data: bytes) -> int:
        if b'"q00002"' not in data:
            return write(file, data)
        return write(file, data[:7])  # what a disk does that has seven bytes left

    monkeypatch.setattr(os, "write", full)
    async with desk_of("notes", tmp_path) as desk:
        await recording(desk)
        codes = [(await desk.http.post("/v1/summarize", json=TEXT)).status_code for _ in range(3)]
        await until(lambda: bool(told(state, asked).ended))
        status = (await desk.http.get("/api/admin/status", headers=BEARER)).json()["recording"]
        metrics = (await desk.http.get("/metrics")).text

    assert codes == [200, 200, 200]
    assert len(lines(state, asked)) == 1
    assert told(state, asked).ended == "cannot write: No space left on device"
    assert "No space left" in status["problem"]
    assert 'outcome="failed",service="notes"} 1.0' in metrics


async def test_a_state_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The service serves on; its status says what is wrong."""
    state = tmp_path / "state"
    put(state, ticket("notes"))
    (state / "recorded").write_text("a file where the folder should be")
    async with desk_of("notes", tmp_path) as desk:
        await until(lambda: desk.app.state.room.recorder.status()["problem"] is not None)
        assert (await desk.http.post("/v1/summarize", json=TEXT)).status_code == 200
        assert "cannot record" in desk.app.state.room.recorder.status()["problem"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 9, "patterns": []}'])
async def test_a_ticket_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """In doubt nothing is recorded."""
    (tmp_path / "state").mkdir()
    ticket_path(tmp_path / "state", "notes").write_text(text)
    async with desk_of("notes", tmp_path) as desk:
        recorder = desk.app.state.room.recorder
        await until(lambda: recorder.status()["problem"] is not None)
        await desk.http.post("/v1/summarize", json=TEXT)

        assert "is not a ticket" in recorder.status()["problem"]
        assert not (tmp_path / "state" / "recorded").exists()
