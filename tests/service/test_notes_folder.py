"""Folders and tags over HTTP: a word on each file, suggestions that a person judges, and what a note is related to."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from services.llm.errors import ContextTooLong, DeadError
from services.notes.folder import MAX_ZIP_BYTES
from services.notes.prompts import TAGS_VERSION
from tests.service.scripted import Desk, answer

FAN = {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}


async def add(notes: Desk, **fields: str) -> str:
    return str((await notes.http.post("/v1/notes", json={**FAN, **fields})).json()["id"])


def packed(files: dict[str, bytes | str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path, data in files.items():
            out.writestr(path, data)
    return archive.getvalue()


async def judged(notes: Desk, note: str, verb: str, *tags: str) -> dict[str, Any]:
    response = await notes.http.post(f"/v1/notes/{note}/tags:{verb}", json={"tags": list(tags)})
    assert response.status_code == 200
    return dict(response.json())


class TestFolders:
    async def test_each_file_is_told_and_the_notes_are_there(self, notes: Desk) -> None:
        """No model is asked."""
        body = packed({"Work/a.md": "---\ntags: [gpu]\n---\nFan", "bad.md": b"\xff\xfa", "p.png": "x"})
        response = await notes.http.post("/v1/import", content=body)
        [note] = (await notes.http.get("/v1/notes")).json()["notes"]

        assert [(f["path"], f["outcome"]) for f in response.json()["files"]] == [
            ("bad.md", "refused"),
            ("p.png", "refused"),
            ("Work/a.md", "new"),
        ]
        assert (note["title"], note["path"], note["tags"][0]["tag"], notes.llm.requests) == (
            "a",
            "Work/a.md",
            "gpu",
            [],
        )

    async def test_what_is_exported_can_be_brought_in_again(self, notes: Desk) -> None:
        """The note itself is in a file that other tools read; a second time nothing changes."""
        await add(notes)
        exported = await notes.http.get("/v1/export")
        with zipfile.ZipFile(io.BytesIO(exported.content)) as folder:
            text = folder.read("Standup.md").decode()
        report = (await notes.http.post("/v1/import", content=exported.content)).json()

        assert (exported.headers["content-type"], text.endswith(FAN["text"])) == ("application/zip", True)
        assert [f["outcome"] for f in report["files"]] == ["unchanged"]

    async def test_a_folder_may_be_larger_than_other_bodies_but_not_without_end(self, notes: Desk) -> None:
        """The bound is told before anything is read."""
        large = await notes.http.post("/v1/import", content=packed({"p.png": bytes(range(256)) * 8192}))
        refused = await notes.http.post("/v1/import", content=b"x", headers={"Content-Length": str(MAX_ZIP_BYTES + 1)})

        assert (large.status_code, refused.status_code) == (200, 413)

    @pytest.mark.parametrize("content", [b"", b"no zip"])
    async def test_what_is_no_folder_is_422(self, notes: Desk, content: bytes) -> None:
        response = await notes.http.post("/v1/import", content=content)

        assert (response.status_code, response.json()["type"]) == (422, "urn:cutover:problem:folder-unreadable")


class TestTags:
    async def test_suggestions_come_from_the_workspaces_own_tags_and_wait_for_a_person(self, notes: Desk) -> None:
        """The enum holds what people accepted; each row says who made it."""
        other = await add(notes, text="All fans.")
        await judged(notes, other, "accept", "Hardware", "Cold Store")
        note = await add(notes)
        notes.llm.answers = [answer(json.dumps({"tags": ["hardware"], "new": ["GPU Fan"]}))]
        response = await notes.http.post(f"/v1/notes/{note}/tags:suggest")

        schema = notes.llm.requests[0].schema
        assert schema is not None
        assert sorted(schema["properties"]["tags"]["items"]["enum"]) == ["cold-store", "hardware"]
        tags = response.json()["tags"]
        assert [(t["tag"], t["state"], t["producer"]["prompt_version"]) for t in tags] == [
            ("gpu-fan", "suggested", TAGS_VERSION),
            ("hardware", "suggested", TAGS_VERSION),
        ]
        assert response.json()["llm"]["provider"] == "vllm"

    async def test_a_rejected_tag_is_never_suggested_again(self, notes: Desk) -> None:
        """Whatever the model says."""
        note = await add(notes)
        notes.llm.answers = [answer(json.dumps({"new": ["meeting", "fan"]}))]
        await notes.http.post(f"/v1/notes/{note}/tags:suggest")
        await judged(notes, note, "accept", "fan")
        await judged(notes, note, "reject", "meeting")
        again = (await notes.http.post(f"/v1/notes/{note}/tags:suggest")).json()

        assert {t["tag"]: t["state"] for t in again["tags"]} == {"fan": "accepted", "meeting": "rejected"}
        counts = (await notes.http.get("/v1/tags")).json()
        assert counts == {"tags": [{"tag": "fan", "accepted": 1, "suggested": 0}]}

    async def test_merged_tags_are_one(self, notes: Desk) -> None:
        note = await add(notes)
        await judged(notes, note, "accept", "fans", "fan")
        merged = await notes.http.post("/v1/tags/merge", json={"tags": ["Fans"], "into": "fan"})
        unknown = await notes.http.post("/v1/tags/merge", json={"tags": ["typo"], "into": "fan"})

        assert (merged.json(), unknown.status_code) == ({"tag": "fan", "notes": 1}, 404)

    async def test_no_engine_leaves_the_tags_alone(self, notes: Desk) -> None:
        note = await add(notes)
        before = await judged(notes, note, "accept", "fan")
        notes.llm.answers = [DeadError("gone")]

        assert (await notes.http.post(f"/v1/notes/{note}/tags:suggest")).status_code == 503
        assert (await notes.http.get(f"/v1/notes/{note}")).json() == before

    @pytest.mark.parametrize("tags", [[], ["#!"], ["x" * 61], [3], ["a"] * 51])
    async def test_nonsense_is_422(self, notes: Desk, tags: list[object]) -> None:
        response = await notes.http.post(f"/v1/notes/{await add(notes)}/tags:accept", json={"tags": tags})

        assert response.status_code == 422

    @pytest.mark.parametrize("path", ["notes/%00", "notes/%00/related", "jobs/%00", f"notes/{'a' * 101}"])
    async def test_what_can_be_no_id_is_422(self, notes: Desk, path: str) -> None:
        """PostgreSQL takes no NUL, which was a 503 there."""
        assert (await notes.http.get(f"/v1/{path}")).status_code == 422

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "tags:suggest"),
            ("POST", "tags:accept"),
            ("POST", "tags:reject"),
            ("GET", "related"),
            ("GET", "history"),
            ("PUT", "archived"),
        ],
    )
    async def test_an_unknown_note_is_404(self, notes: Desk, method: str, path: str) -> None:
        body = {"tags": ["a"]} if ":" in path else {"archived": True}
        response = await notes.http.request(method, f"/v1/notes/none/{path}", json=body)

        assert (response.status_code, notes.llm.requests) == (404, [])


class TestRelated:
    async def test_links_and_likeness_are_told_apart(self, notes: Desk) -> None:
        """And by what the likeness was judged."""
        plan = await add(notes, title="Plan", text="Budget of the year.")
        fan = await add(notes, title="Fans", text="The fan of gpu-2 is loud.")
        note = await add(notes, text="Ivo swaps the fan of gpu-2, see [[plan]] and [[nowhere]].")
        await add(notes, title="Lunch", text="Soup.")
        told = (await notes.http.get(f"/v1/notes/{note}/related")).json()
        back = (await notes.http.get(f"/v1/notes/{plan}/related")).json()

        assert told["links"] == [{"name": "plan", "note_id": plan}, {"name": "nowhere", "note_id": None}]
        assert (told["near"][0]["id"], told["by"], back["linked_from"]) == (fan, "words", [note])
        assert "Lunch" not in {n["title"] for n in told["near"]}


class TestHistory:
    async def test_each_save_stays_and_archiving_is_none(self, notes: Desk) -> None:
        note = await add(notes)
        await notes.http.put(f"/v1/notes/{note}", json={**FAN, "text": "New."}, headers={"If-Match": '"1"'})
        archived = await notes.http.put(f"/v1/notes/{note}/archived", json={"archived": True})
        versions = (await notes.http.get(f"/v1/notes/{note}/history")).json()["versions"]

        assert [(v["version"], v["text"]) for v in versions] == [(2, "New."), (1, FAN["text"])]
        assert (archived.json()["archived"], archived.headers["etag"]) == (True, '"2"')
        assert (await notes.http.get("/v1/notes")).json()["notes"] == []
        listed = (await notes.http.get("/v1/notes", params={"archived": True})).json()["notes"]
        assert [n["id"] for n in listed] == [note]


class TestLongNotes:
    async def test_a_note_that_no_window_holds_is_summarised_by_its_sections(self, notes: Desk) -> None:
        """Each section is asked for, then the summary of their summaries; the stored one is the last answer."""
        text = "".join(f"# Part {n}\n{'words ' * 500}\n" for n in range(4))
        note = await add(notes, text=text)
        notes.llm.answers = [ContextTooLong("too long"), *(answer(f"part {n}") for n in range(4)), answer("All.")]
        kept = (await notes.http.post(f"/v1/notes/{note}/summary")).json()["summary"]

        whole, *parts, last = [r.messages[-1].content for r in notes.llm.requests]
        assert (kept["text"], whole, "".join(parts)) == ("All.", f"Standup\n\n{text}", whole)
        assert last == "part 0\npart 1\npart 2\npart 3"


class TestDocumentation:
    def test_every_route_is_in_the_guide(self, notes: Desk) -> None:
        """And no other."""
        guide = (Path(__file__).parents[2] / "docs/NOTES.md").read_text(encoding="utf-8")
        told = set(re.findall(r"^\| `(\w+ /v1/[^`]*)` \|", guide, re.MULTILINE))
        paths = notes.app.openapi()["paths"]
        offered = {
            f"{verb.upper()} {path}" for path, verbs in paths.items() for verb in verbs if path.startswith("/v1/")
        }

        assert told == offered
