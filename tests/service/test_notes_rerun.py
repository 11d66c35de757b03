"""Notes made anew by who made them: counted first, the earlier summary kept, compared and turned round."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.scripted import BEARER, Desk, answer
from tests.service.test_notes_jobs import FAN, add, settled


async def summarised(notes: Desk, text: str, provider: str, digest: str = "") -> str:
    """The id of a note whose summary is `text`, by `provider`."""
    note = await add(notes)
    notes.llm.answers = [answer(text, provider=provider, digest=digest)]
    await notes.http.post(f"/v1/notes/{note['id']}/summary")
    return str(note["id"])


async def wanted(notes: Desk, where: str) -> dict[str, Any]:
    """What a dry run counts."""
    return dict((await notes.http.post("/v1/rerun", json={"where": where, "dry_run": True})).json())


async def texts(notes: Desk, note_id: str) -> list[str | None]:
    """The summary, and the one before it."""
    found = (await notes.http.get(f"/v1/notes/{note_id}/summary")).json()
    return [made and made["text"] for made in (found["summary"], found["before"])]


async def test_a_dry_run_counts_by_producer_and_asks_for_nothing(notes: Desk) -> None:
    """So that one knows what a re-run costs before it is paid for."""
    await summarised(notes, "Old.", "ollama", "8b7a")
    tagged = await summarised(notes, "New.", "vllm", "root:org/name")
    notes.llm.answers = [answer('{"new": ["fan"]}', provider="ollama", digest="8b7a")]
    await notes.http.post(f"/v1/notes/{tagged}/tags:suggest")
    found = {
        where: [(told := await wanted(notes, where))["summaries"], told["tags"]]
        for where in ("provider=ollama", "provider!=ollama", "digest!=8b7a", "model=tiny", "model!=tiny", "outdated")
    }

    assert found == {
        "provider=ollama": [1, 1],
        "provider!=ollama": [1, 0],
        "digest!=8b7a": [1, 0],
        "model=tiny": [2, 1],
        "model!=tiny": [0, 0],
        "outdated": [0, 0],
    }
    assert told["is_dry_run"]
    assert (await notes.http.get("/v1/jobs")).json()["jobs"] == []


async def test_a_dry_run_leaves_its_idempotency_key_free(notes: Desk) -> None:
    """It counts again when it is asked again, and the run itself may have the key."""
    await summarised(notes, "Old.", "ollama")
    key, body = {"Idempotency-Key": "k"}, {"where": "provider=ollama"}
    dry = await notes.http.post("/v1/rerun", json={**body, "dry_run": True}, headers=key)
    await summarised(notes, "Old.", "ollama")
    again = await notes.http.post("/v1/rerun", json={**body, "dry_run": True}, headers=key)
    run = [await notes.http.post("/v1/rerun", json=body, headers=key) for _ in range(2)]

    assert [told.json()["jobs"] for told in (dry, again, *run)] == [1, 2, 2, 2]
    assert ["idempotent-replayed" in told.headers for told in (dry, again, *run)] == [False, False, False, True]


async def test_a_digest_is_known_by_how_it_begins(notes: Desk) -> None:
    """As lists of models show it."""
    digest = "8b7a" + 60 * "0"
    await summarised(notes, "Old.", "ollama", digest)
    wheres = ("digest=8b7a", f"digest={digest}", "digest!=8b7a", "digest=b7a")

    assert [(await wanted(notes, where))["summaries"] for where in wheres] == [1, 1, 0, 0]


async def test_what_one_engine_made_is_replaced_by_the_other_and_compared(notes: Desk) -> None:
    """The earlier one is there until the new one is, and after it beside it; a person may take it back."""
    note_id = await summarised(notes, "By Ollama.", "ollama")
    notes.llm.answers = [answer("By vLLM.", provider="vllm")]
    told = (await notes.http.post("/v1/rerun", json={"where": "provider=ollama"})).json()
    await settled(notes, note_id)
    compared = (await notes.http.get(f"/v1/notes/{note_id}/summary")).json()
    providers = [compared[side]["producer"]["provider"] for side in ("summary", "before")]

    assert (told["jobs"], told["is_dry_run"], providers) == (1, False, ["vllm", "ollama"])
    assert await texts(notes, note_id) == ["By vLLM.", "By Ollama."]
    await notes.http.post(f"/v1/notes/{note_id}/summary:restore")
    assert await texts(notes, note_id) == ["By Ollama.", "By vLLM."]
    assert (await notes.http.get(f"/v1/notes/{note_id}")).json()["summary"]["text"] == "By Ollama."


async def test_nothing_to_compare_is_said(notes: Desk) -> None:
    """A note without a summary, one with its first, one that is not there."""
    note = await add(notes)
    missing = await notes.http.get("/v1/notes/nobody/summary")
    none = await notes.http.post(f"/v1/notes/{note['id']}/summary:restore")

    assert (missing.status_code, none.status_code) == (404, 409)
    assert await texts(notes, note["id"]) == [None, None]
    assert await texts(notes, await summarised(notes, "First.", "vllm")) == ["First.", None]


async def test_a_stale_one_that_is_taken_back_says_so(notes: Desk) -> None:
    """It is of the version that it was made of, whatever the note says now."""
    note_id = await summarised(notes, "Of one.", "vllm")
    await notes.http.put(f"/v1/notes/{note_id}", json={**FAN, "text": "x"}, headers={"If-Match": "*"})
    notes.llm.answers = [answer("Of two.")]
    await notes.http.post(f"/v1/notes/{note_id}/summary")
    restored = (await notes.http.post(f"/v1/notes/{note_id}/summary:restore")).json()

    assert [(restored[s]["of_version"], restored[s]["stale"]) for s in ("summary", "before")] == [(1, True), (2, False)]


@pytest.mark.parametrize(("headers", "status"), [({}, 403), (BEARER, 422)], ids=["anybody", "operator"])
async def test_a_dry_run_of_vectors_is_refused(notes: Desk, headers: dict[str, str], status: int) -> None:
    """Nothing is made anew by somebody who only wanted to count."""
    response = await notes.http.post("/v1/rerun", json={"where": "vectors", "dry_run": True}, headers=headers)

    assert response.status_code == status
    assert (await notes.http.get("/v1/jobs")).json()["jobs"] == []
