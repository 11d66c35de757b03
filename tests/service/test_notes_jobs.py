"""What is made of notes after their saves: never waited for, done with the result, and told where it failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.llm.errors import CallerError, DeadError
from services.llm.types import Priority
from services.notes import app as notes_app
from services.settings import SettingsError, load
from tests.service.scripted import Desk, Hang, ScriptedClient, answer, served

FAN = {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}


@pytest.fixture
async def busy(tmp_path: Path, llm: ScriptedClient) -> AsyncIterator[Desk]:
    """Notes that summarises after each save."""
    settings = load({"CUTOVER_HOME": str(tmp_path), "NOTES_AFTER_SAVE": "summary"})
    async with served(notes_app.build(settings, client=llm), llm) as desk:
        yield desk


async def add(notes: Desk) -> dict[str, Any]:
    return dict((await notes.http.post("/v1/notes", json=FAN)).json())


async def settled(notes: Desk, note_id: str, *, until: str = "") -> dict[str, Any]:
    """The note when it has no job left, or one in the state `until`."""
    async with asyncio.timeout(120):
        while True:
            note: dict[str, Any] = (await notes.http.get(f"/v1/notes/{note_id}")).json()
            if [job["state"] for job in note["jobs"]] == ([until] if until else []):
                return note
            await asyncio.sleep(0.01)


class TestAfterASave:
    async def test_the_save_answers_before_the_model_does(self, busy: Desk) -> None:
        """And says what is under way."""
        busy.llm.answers = [Hang()]
        note = await add(busy)
        await busy.llm.hanging.wait()
        told = (await busy.http.get(f"/v1/notes/{note['id']}")).json()

        assert (note["summary"], [j["kind"] for j in note["jobs"]]) == (None, ["summary"])
        assert [(j["state"], j["attempts"]) for j in told["jobs"]] == [("running", 1)]

    async def test_the_summary_comes_and_follows_each_save(self, busy: Desk) -> None:
        """People who wait for an answer go first."""
        note = await settled(busy, (await add(busy))["id"])
        saved = await busy.http.put(f"/v1/notes/{note['id']}", json={**FAN, "text": "x"}, headers={"If-Match": "*"})
        again = await settled(busy, note["id"])

        assert saved.json()["summary"]["stale"]
        assert (note["summary"]["of_version"], again["summary"]["of_version"], again["summary"]["stale"]) == (
            1,
            2,
            False,
        )
        assert {r.priority for r in busy.llm.requests} == {Priority.BATCH}

    async def test_a_failed_job_shows_its_reason_on_the_note(self, busy: Desk) -> None:
        """What would fail the same way again is not tried again; making it anew clears it."""
        busy.llm.answers = [CallerError("the prompt is refused")]
        failed = await settled(busy, (await add(busy))["id"], until="failed")
        letters = (await busy.http.get("/v1/jobs", params={"state": "failed"})).json()["jobs"]
        busy.llm.answers = [answer("In short.")]
        rerun = await busy.http.post("/v1/rerun", json={"where": "failed"})
        note = await settled(busy, failed["id"])

        [job] = failed["jobs"]
        assert (job["error_code"], job["error_message"], failed["summary"]) == ("other", "the prompt is refused", None)
        assert [(j["note_id"], j["id"]) for j in letters] == [(failed["id"], job["id"])]
        assert (rerun.status_code, rerun.json()["jobs"], note["summary"]["text"]) == (202, 1, "In short.")

    async def test_engines_that_are_down_are_asked_again_later(self, busy: Desk) -> None:
        busy.llm.answers = [DeadError("gone")]
        note = await add(busy)
        while not (job := (await busy.http.get(f"/v1/jobs/{note['jobs'][0]['id']}")).json())["error_code"]:
            await asyncio.sleep(0.01)

        assert (job["state"], job["attempts"], job["error_message"]) == ("queued", 1, "gone")

    async def test_a_deleted_note_leaves_no_jobs(self, busy: Desk) -> None:
        busy.llm.answers = [Hang()]
        note = await add(busy)
        await busy.llm.hanging.wait()
        await busy.http.delete(f"/v1/notes/{note['id']}")

        assert (await busy.http.get("/v1/jobs")).json() == {"jobs": [], "next": None}
        assert (await busy.http.get(f"/v1/jobs/{note['jobs'][0]['id']}")).status_code == 404


class TestWithoutTheSetting:
    async def test_nothing_is_made_unless_asked_for(self, notes: Desk) -> None:
        note = await add(notes)

        assert (note["jobs"], (await notes.http.get("/v1/jobs")).json()["jobs"], notes.llm.requests) == ([], [], [])

    async def test_what_is_stale_or_of_another_model_can_be_made_anew(self, notes: Desk) -> None:
        """Fresh ones and those of the model stay as they are."""
        note, fresh = await add(notes), await add(notes)
        for each in (note, fresh):
            await notes.http.post(f"/v1/notes/{each['id']}/summary")
        await notes.http.put(f"/v1/notes/{note['id']}", json={**FAN, "text": "x"}, headers={"If-Match": "*"})
        counts = [
            (await notes.http.post("/v1/rerun", json={"where": where})).json()["jobs"]
            for where in ("model!=tiny", "failed", "stale")
        ]
        again = await settled(notes, note["id"])
        other = (await notes.http.post("/v1/rerun", json={"where": "model!=better"})).json()["jobs"]

        assert (counts, again["summary"]["stale"], other) == ([0, 0, 1], False, 2)

    async def test_open_suggestions_are_made_anew_and_a_persons_tags_are_not(self, notes: Desk) -> None:
        note = await add(notes)
        notes.llm.answers = [answer('{"new": ["fan"]}')]
        await notes.http.post(f"/v1/notes/{note['id']}/tags:suggest")
        await notes.http.post(f"/v1/notes/{note['id']}/tags:accept", json={"tags": ["mine"]})
        notes.llm.answers = [answer('{"tags": ["mine"], "new": ["gpu"]}')]
        await notes.http.post("/v1/rerun", json={"where": "model!=better"})
        tags = (await settled(notes, note["id"]))["tags"]

        assert [(t["tag"], t["state"]) for t in tags] == [("gpu", "suggested"), ("mine", "accepted")]

    @pytest.mark.parametrize("where", ["", "all", "model!=", "model", "prompt=x", "stale "])
    async def test_nonsense_is_422(self, notes: Desk, where: str) -> None:
        assert (await notes.http.post("/v1/rerun", json={"where": where})).status_code == 422


def test_a_kind_that_nobody_makes_is_told_at_the_start() -> None:
    with pytest.raises(SettingsError, match="NOTES_AFTER_SAVE='poem'"):
        load({"NOTES_AFTER_SAVE": "poem"})
