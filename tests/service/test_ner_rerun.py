"""Documents read anew by who read them: counted first, in jobs, with what people said of them kept."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import update

from services.llm.errors import CallerError, ContextTooLong, ErrorType, PartialError
from services.llm.types import ChatRequest
from services.ner.schemas import MOST_TOKENS, PLAIN_TOKENS, Read
from services.ner.store import Graphs
from services.ner.tables import READING
from tests.service.scripted import Desk, Hang, answer

MARA = json.dumps({"entities": [{"text": "Mara", "type": "person"}]})


async def read(ner: Desk, text: str, provider: str, **more: Any) -> str:
    """The id of a document that `provider` read."""
    ner.llm.answers = [answer(MARA, provider=provider)]
    return str((await ner.http.post("/v1/documents", json={"text": text, **more})).json()["id"])


async def rerun(ner: Desk, where: str, *, dry_run: bool = False) -> int:
    response = await ner.http.post("/v1/rerun", json={"where": where, "dry_run": dry_run})
    assert response.status_code == 202
    return int(response.json()["jobs"])


async def forget_params(ner: Desk) -> None:
    """As a row is that was migrated."""
    store = ner.app.state.room.store
    assert isinstance(store, Graphs)
    await store.database.write(lambda c: c.execute(update(READING).values(params="")))


def sampled(request: ChatRequest) -> dict[str, Any]:
    """The sampling fields of a request, as JSON has them."""
    return dict(json.loads(json.dumps(asdict(request.sampling))))


async def ended(ner: Desk) -> list[dict[str, Any]]:
    """The jobs, when none is left to do; one that waits for its next attempt has ended too, and says why."""
    async with asyncio.timeout(120):
        while True:
            jobs = (await ner.http.get("/v1/jobs")).json()["jobs"]
            if all(job["state"] in ("done", "failed") or job["error_code"] for job in jobs):
                return list(jobs)
            await asyncio.sleep(0.01)


async def test_a_dry_run_counts_and_asks_nobody(ner: Desk) -> None:
    await read(ner, "Mara slept.", "ollama")
    await read(ner, "Mara woke.", "vllm")
    wheres = ("provider=ollama", "provider!=ollama", "model=tiny", "outdated", "failed")
    counts = [await rerun(ner, where, dry_run=True) for where in wheres]

    assert (counts, (await ner.http.get("/v1/jobs")).json()["jobs"]) == ([1, 1, 2, 0, 0], [])


async def test_what_one_engine_read_is_read_by_the_other(ner: Desk) -> None:
    """With what it looked for the first time; the others stay as they are."""
    old = await read(ner, "Mara slept.", "ollama", relations=True)
    await read(ner, "Mara woke.", "vllm")
    ner.llm.answers = [answer(MARA, provider="vllm")]
    asked = len(ner.llm.requests)
    count = await rerun(ner, "provider=ollama")
    [job] = await ended(ner)
    made_by = (await ner.http.get(f"/v1/documents/{old}")).json()["producer"]

    assert (count, job["document_id"], job["state"]) == (1, old, "done")
    assert (made_by["provider"], made_by["prompt_version"], len(ner.llm.requests)) == ("vllm", "facts-1", asked + 1)
    assert await rerun(ner, "provider=ollama", dry_run=True) == 0


async def test_a_failed_reading_leaves_the_old_one(ner: Desk) -> None:
    """And says why; it can be asked for again."""
    old = await read(ner, "Mara slept.", "ollama")
    ner.llm.answers = [CallerError("the prompt is refused")]
    await rerun(ner, "provider=ollama")
    [job] = await ended(ner)
    document = (await ner.http.get(f"/v1/documents/{old}")).json()

    assert (job["state"], job["error_message"]) == ("failed", "the prompt is refused")
    assert (document["producer"]["provider"], len(document["entities"])) == ("ollama", 1)
    assert await rerun(ner, "failed", dry_run=True) == 1


async def test_what_people_said_stays(ner: Desk) -> None:
    """A split and its label, here; a merge is kept by the names in the same way."""
    await read(ner, "Mara slept.", "ollama")
    second = await read(ner, "Mara woke.", "ollama")
    await ner.http.post("/v1/entities/1:split", json={"mentions": [{"document_id": second}], "label": "Brenn"})
    ner.llm.answers = [answer(MARA, provider="vllm")]
    await rerun(ner, "provider=ollama")
    await ended(ner)
    entities = (await ner.http.get("/v1/entities")).json()["entities"]

    assert sorted((e["name"], e["mentions"]) for e in entities) == [("Mara", 1), ("Mara (Brenn)", 1)]


async def test_a_document_that_is_deleted_meanwhile_stays_deleted(ner: Desk) -> None:
    """True delete: its job is gone with it, whatever the model still answers."""
    old = await read(ner, "Mara slept.", "ollama")
    ner.llm.answers = [Hang()]
    await rerun(ner, "provider=ollama")
    async with asyncio.timeout(120):
        await ner.llm.hanging.wait()
    await ner.http.delete(f"/v1/documents/{old}")

    assert (await ner.http.get("/v1/jobs")).json()["jobs"] == []
    assert (await ner.http.get(f"/v1/documents/{old}")).status_code == 404


async def test_a_schema_that_is_gone_is_said(ner: Desk) -> None:
    """Reading for something else would put other things in the place of what was found."""
    await ner.http.put("/v1/schemas/people", json={"entity_types": ["person"]})
    await read(ner, "Mara slept.", "ollama", schema="people")
    await ner.http.delete("/v1/schemas/people")
    await rerun(ner, "provider=ollama")
    [job] = await ended(ner)

    assert (job["state"], job["error_code"]) == ("failed", "schema-missing")


async def test_a_schema_without_predicates_is_not_asked_for_relations(ner: Desk) -> None:
    """An engine could choose from none. The API refuses the same."""
    await ner.http.put("/v1/schemas/people", json={"entity_types": ["person"], "predicates": [{"name": "met"}]})
    await read(ner, "Mara slept.", "ollama", schema="people")
    await ner.http.put("/v1/schemas/people", json={"entity_types": ["person"]})
    asked = len(ner.llm.requests)
    await rerun(ner, "outdated")
    [job] = await ended(ner)

    assert (job["state"], job["error_code"], len(ner.llm.requests)) == ("failed", "no-predicates", asked)


async def test_it_is_asked_as_it_was_the_first_time(ner: Desk) -> None:
    """With every sampling field, the schema and the limit of its answer; the producer says them, then and now."""
    old = await read(ner, "Mara slept.", "ollama", schema="facts", relations=False, max_tokens=77)
    ner.llm.answers = [answer(MARA, provider="vllm")]
    first = (await ner.http.get(f"/v1/documents/{old}")).json()["producer"]["params"]
    await rerun(ner, "provider=ollama")
    await ended(ner)
    then, now = ner.llm.requests
    said = (await ner.http.get("/v1/entities/1")).json()["mentions"][0]["producer"]["params"]

    assert (now.sampling, now.messages, now.schema) == (then.sampling, then.messages, then.schema)
    assert said == first == {"schema": "facts", "relations": False, "sampling": sampled(then)}


async def test_another_limit_holds_where_it_is_told(ner: Desk) -> None:
    """And is what the next rerun keeps, for it is what the document was read with by then."""
    await read(ner, "Mara slept.", "ollama", max_tokens=77)
    ner.llm.answers = [answer(MARA, provider="vllm")]
    for more in ({"max_tokens": 300}, {}):
        await ner.http.post("/v1/rerun", json={"where": "model=tiny", **more})
        await ended(ner)

    assert [r.sampling.max_tokens for r in ner.llm.requests] == [77, 300, 300]
    assert (await ner.http.post("/v1/rerun", json={"where": "failed", "max_tokens": 0})).status_code == 422


async def test_what_is_kept_is_not_raised_in_silence(ner: Desk) -> None:
    """An answer that it cuts fails the job, which says what to change; the old reading stays."""
    old = await read(ner, "Mara slept.", "ollama", max_tokens=77)
    ner.llm.answers = [PartialError("cut at max_tokens", text="", provider="vllm", type=ErrorType.BAD_RESPONSE)]
    await rerun(ner, "provider=ollama")
    [job] = await ended(ner)

    assert job["error_message"] == "cut at max_tokens; it was asked with max_tokens=77, and a rerun takes another one"
    assert (await ner.http.get(f"/v1/documents/{old}")).json()["producer"]["provider"] == "ollama"


class TestFromBefore:
    """A reading that a NER of before stored does not say how it was asked."""

    async def test_a_long_answer_has_all_the_room_there_is(self, ner: Desk) -> None:
        """A cut answer is asked for once more, with the most."""
        await read(ner, "Mara slept.", "ollama", max_tokens=MOST_TOKENS)
        await forget_params(ner)
        cut = PartialError("cut at max_tokens", text="", provider="vllm", type=ErrorType.BAD_RESPONSE)
        ner.llm.answers = [cut, answer(MARA, provider="vllm")]
        await rerun(ner, "provider=ollama")
        [job] = await ended(ner)

        assert (job["state"], job["attempts"]) == ("done", 1)
        assert [r.sampling.max_tokens for r in ner.llm.requests[-2:]] == [PLAIN_TOKENS, MOST_TOKENS]
        assert str(MOST_TOKENS) in str(Read.model_json_schema()["properties"]["max_tokens"])

    async def test_a_schema_of_ones_own_has_the_most_at_once(self, ner: Desk) -> None:
        """Its lists may be long; where the window does not hold that much, the usual has to do."""
        await ner.http.put("/v1/schemas/people", json={"entity_types": ["person"], "max_entities": 50})
        await read(ner, "Mara slept.", "ollama", schema="people")
        await forget_params(ner)
        ner.llm.answers = [ContextTooLong("it does not fit"), answer(MARA, provider="vllm")]
        await rerun(ner, "provider=ollama")
        [job] = await ended(ner)

        assert job["state"] == "done"
        assert [r.sampling.max_tokens for r in ner.llm.requests[-2:]] == [MOST_TOKENS, PLAIN_TOKENS]


async def test_a_changed_schema_makes_readings_outdated(ner: Desk) -> None:
    await ner.http.put("/v1/schemas/people", json={"entity_types": ["person"]})
    await read(ner, "Mara slept.", "vllm", schema="people")
    before = await rerun(ner, "outdated", dry_run=True)
    await ner.http.put("/v1/schemas/people", json={"entity_types": ["person", "place"]})

    assert (before, await rerun(ner, "outdated", dry_run=True)) == (0, 1)


@pytest.mark.parametrize("where", ["", "all", "stale", "provider", "vectors"])
async def test_nonsense_is_422(ner: Desk, where: str) -> None:
    assert (await ner.http.post("/v1/rerun", json={"where": where})).status_code == 422
