"""Two teams on one Notes: a key sees its own workspace's notes in every route, and nothing of the other's."""

from __future__ import annotations

import io
import zipfile

import pytest

from services.settings import Settings
from tests.service.scripted import Desk
from tests.service.test_access import let_in

SECRET = {"title": "Xylophone", "text": "The xylophone is tuned by Ivo. #hush"}


@pytest.fixture
async def note(notes: Desk, settings: Settings) -> str:
    """One note of ours, tagged and summarised, with a dead letter beside it."""
    ours = let_in(settings, "ours", workspace="ours")
    made = await notes.http.post("/v1/notes", json=SECRET, headers=ours)
    identifier = str(made.json()["id"])
    await notes.http.post(f"/v1/notes/{identifier}/tags:accept", json={"tags": ["hush"]}, headers=ours)
    await notes.http.post(f"/v1/notes/{identifier}/summary", headers=ours)
    await notes.http.post("/v1/rerun", json={"where": "model!=better"}, headers=ours)
    return identifier


async def test_lists_searches_tags_jobs_exports_and_answers_hold_nothing_of_another_workspace(
    notes: Desk, settings: Settings, note: str
) -> None:
    """Nor does any model hear of it."""
    theirs = let_in(settings, "theirs", workspace="theirs")
    notes.llm.requests.clear()
    told = [
        (await notes.http.get(path, headers=theirs)).text
        for path in ("/v1/notes", "/v1/notes?archived=true", "/v1/search?q=xylophone", "/v1/tags", "/v1/jobs")
    ]
    asked = await notes.http.post("/v1/ask", json={"question": "Who tunes the xylophone?"}, headers=theirs)
    exported = await notes.http.get("/v1/export", headers=theirs)
    rerun = await notes.http.post("/v1/rerun", json={"where": "model!=other"}, headers=theirs)

    assert not [text for text in told if note in text or "ylophon" in text or "hush" in text]
    assert (asked.json()["llm"], [r for r in notes.llm.requests if "Who" in r.messages[-1].content]) == (None, [])
    assert (zipfile.ZipFile(io.BytesIO(exported.content)).namelist(), rerun.json()["jobs"]) == ([], 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("GET", "/history"),
        ("GET", "/related"),
        ("PUT", "/archived"),
        ("POST", "/summary"),
        ("POST", "/tags:suggest"),
        ("POST", "/tags:accept"),
        ("POST", "/tags:reject"),
    ],
)
async def test_a_note_of_another_workspace_is_404_and_stays_as_it_was(
    notes: Desk, settings: Settings, note: str, method: str, path: str
) -> None:
    """Also for who knows its id."""
    theirs = let_in(settings, "theirs", workspace="theirs")
    body = {"/archived": {"archived": True}, "/tags:accept": {"tags": ["a"]}, "/tags:reject": {"tags": ["hush"]}}
    sent = body.get(path, SECRET if method == "PUT" else None)
    refused = await notes.http.request(
        method, f"/v1/notes/{note}{path}", json=sent, headers={**theirs, "If-Match": "*"}
    )
    kept = (await notes.http.get(f"/v1/notes/{note}", headers={"Authorization": "Bearer ours"})).json()

    assert (refused.status_code, kept["version"], kept["archived"]) == (404, 1, False)
    assert [t["state"] for t in kept["tags"]] == ["accepted"]


async def test_an_export_brought_in_elsewhere_is_a_copy(notes: Desk, settings: Settings, note: str) -> None:
    """Each workspace goes on with its own."""
    ours, theirs = {"Authorization": "Bearer ours"}, let_in(settings, "theirs", workspace="theirs")
    folder = (await notes.http.get("/v1/export", headers=ours)).content
    await notes.http.post("/v1/import", content=folder, headers=theirs)
    await notes.http.delete(f"/v1/notes/{note}", headers=theirs)

    assert (await notes.http.get(f"/v1/notes/{note}", headers=theirs)).status_code == 404
    assert (await notes.http.get(f"/v1/notes/{note}", headers=ours)).json()["text"] == SECRET["text"]


@pytest.mark.parametrize("path", ["", "/edit", "/history", "/related", "/delete"])
async def test_pages_hold_nothing_of_another_workspace(notes: Desk, settings: Settings, note: str, path: str) -> None:
    """A browser that signed in sees what its key's workspace holds; nothing of it before it signed in."""
    let_in(settings, "theirs", workspace="theirs")
    own = {"Origin": "http://service"}
    assert (await notes.http.get(f"/ui/notes/{note}{path}")).status_code == 303
    await notes.http.post("/ui/login", data={"key": "theirs"}, headers=own)
    lists = [await notes.http.get(f"/ui/{p}") for p in ("", "?archived=true", "?q=xylophone", "tags", "jobs")]

    assert (await notes.http.get(f"/ui/notes/{note}{path}")).status_code == 404
    assert [r.status_code for r in lists] == [200] * len(lists)
    assert not [r.text for r in lists if note in r.text or "Xylophone" in r.text or "hush" in r.text]
    for deed in ("delete", "archived", "summary", "suggest", "tags", "edit", "history"):
        sent = {"own": "x", "version": "1", "restore": "1", "title": "t", "text": "t"}
        response = await notes.http.post(f"/ui/notes/{note}/{deed}", data=sent, headers=own)
        assert (deed, response.status_code) in [(deed, 404), ("delete", 303)]
    assert (await notes.http.get(f"/v1/notes/{note}", headers={"Authorization": "Bearer ours"})).json()["version"] == 1
