"""Creations that are sent again with their key: each service makes one thing and gives the first answer."""

from __future__ import annotations

from typing import Any

from services.settings import Settings
from services.web.key_file import change
from services.web.keys import Key, digest
from tests.service.scripted import Desk, answer

KEY = {"Idempotency-Key": "7c3e"}
CREATING: dict[str, tuple[str, dict[str, Any]]] = {
    "notes": ("/v1/notes", {"title": "Standup", "text": "Ivo swaps the fan."}),
    "rag": ("/v1/collections", {"name": "Runbooks"}),
    "ner": ("/v1/documents", {"text": "Ivo works for Tessel."}),
}


async def create(desk: Desk, **headers: str) -> Any:
    desk.llm.answers = [answer('{"entities": [{"text": "Ivo", "type": "person"}], "relations": []}')]
    path, body = CREATING[desk.app.state.room.service]
    return await desk.http.post(path, json=body, headers={**KEY, **headers})


async def test_a_retry_creates_nothing_more(desk: Desk) -> None:
    """The same answer, said to be the one of before."""
    first, again = await create(desk), await create(desk)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_key_of_somebody_elses_workspace_is_another_key(desk: Desk, settings: Settings) -> None:
    """Nobody is answered with what another team made."""
    for name in ("a", "b"):
        made = Key(name=name, digest=digest(name), workspace=f"team-{name}", created_at="now")
        change(settings.api_keys.file, lambda before, made=made: [*before, made])
    answers = [await create(desk, Authorization=f"Bearer {name}") for name in ("a", "b", "a")]

    assert [a.headers.get("idempotent-replayed") for a in answers] == [None, None, "true"]
    assert answers[2].json() == answers[0].json()
    assert answers[2].headers["location"] == answers[0].headers["location"]


async def test_what_was_deleted_is_not_told_again(notes: Desk) -> None:
    """A kept answer would quote the note; the key is free again."""
    first = await create(notes)
    await notes.http.delete(first.headers["location"])
    again = await create(notes)

    assert (again.status_code, "idempotent-replayed" in again.headers) == (201, False)
    assert again.json()["id"] != first.json()["id"]


async def test_what_a_path_names_is_worked_on_once(rag: Desk) -> None:
    """Routes with an id in their path create as well: one job, however often it is asked for with a key."""
    document = (await rag.http.post("/v1/documents", json={"title": "Fans", "text": "Ivo swaps the fan."})).json()
    path = f"/v1/documents/{document['id']}/reindex"
    answers = [await rag.http.post(path, headers=KEY) for _ in range(2)]

    assert [a.status_code for a in answers] == [202, 202]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len((await rag.http.get("/v1/jobs")).json()["jobs"]) == 1
