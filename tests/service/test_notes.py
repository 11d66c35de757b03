"""Notes: save, page, find, delete, and summaries that know when they are stale."""

from __future__ import annotations

import pytest

from services.llm.errors import DeadError
from services.llm.types import Role
from services.notes.prompts import PROMPT_VERSION
from tests.service.scripted import Desk, Hang, answer, leaving

FAN = {"title": "Standup", "text": "Ivo swaps the fan of gpu-2 on Thursday."}


async def add(notes: Desk, **fields: str) -> str:
    return str((await notes.http.post("/v1/notes", json={**FAN, **fields})).json()["id"])


class TestSaving:
    async def test_a_new_note_is_201_with_its_first_version(self, notes: Desk) -> None:
        """The ETag is the version."""
        response = await notes.http.post("/v1/notes", json=FAN)

        body = response.json()
        assert (response.status_code, body["version"], response.headers["etag"]) == (201, 1, '"1"')
        assert response.headers["location"] == f"/v1/notes/{body['id']}"
        assert (await notes.http.get(f"/v1/notes/{body['id']}")).json() == body

    async def test_a_save_asks_no_model(self, notes: Desk) -> None:
        """Notes can be written while every engine is down."""
        notes.llm.answers = [DeadError("gone")]
        identifier = await add(notes)
        saved = await notes.http.put(f"/v1/notes/{identifier}", json=FAN, headers={"If-Match": "*"})

        assert (saved.status_code, notes.llm.requests) == (200, [])

    async def test_a_save_over_the_version_read_makes_a_new_one(self, notes: Desk) -> None:
        """If-Match with the current ETag saves."""
        identifier = await add(notes)
        changed = {"title": "Standup", "text": "Mara swaps it."}
        response = await notes.http.put(f"/v1/notes/{identifier}", json=changed, headers={"If-Match": '"1"'})

        assert (response.status_code, response.headers["etag"], response.json()["text"]) == (
            200,
            '"2"',
            "Mara swaps it.",
        )

    @pytest.mark.parametrize("tag", ['"7"', 'W/"1"', '"x"', "1", '"1", "2"'])
    async def test_a_save_over_another_version_is_412(self, notes: Desk, tag: str) -> None:
        """Whoever saved in between loses nothing; weak and foreign tags match nothing."""
        identifier = await add(notes)
        response = await notes.http.put(
            f"/v1/notes/{identifier}", json={**FAN, "text": "mine"}, headers={"If-Match": tag}
        )

        assert (response.status_code, response.json()["current"]) == (412, '"1"')
        assert (await notes.http.get(f"/v1/notes/{identifier}")).json()["text"] == FAN["text"]

    async def test_a_save_without_a_version_is_428(self, notes: Desk) -> None:
        """A blind save has to say that it is one."""
        response = await notes.http.put(f"/v1/notes/{await add(notes)}", json=FAN)

        assert (response.status_code, response.json()["type"]) == (428, "urn:cutover:problem:if-match-missing")

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/summary")])
    async def test_an_unknown_note_is_404(self, notes: Desk, method: str, path: str) -> None:
        """Also for a summary: no model is asked about nothing."""
        body = FAN if method == "PUT" else None
        response = await notes.http.request(method, f"/v1/notes/none{path}", json=body, headers={"If-Match": "*"})

        assert (response.status_code, notes.llm.requests) == (404, [])

    async def test_a_deleted_note_is_found_nowhere(self, notes: Desk) -> None:
        """Gone from its id, the list and the search."""
        identifier = await add(notes)

        assert (await notes.http.delete(f"/v1/notes/{identifier}")).status_code == 204
        assert (await notes.http.get(f"/v1/notes/{identifier}")).status_code == 404
        assert (await notes.http.get("/v1/notes")).json() == {"notes": [], "next": None}
        assert (await notes.http.get("/v1/search", params={"q": "fan"})).json() == {
            "hits": [],
            "by": "words",
            "next": None,
        }


class TestPaging:
    async def test_pages_follow_each_other_without_gap_or_repeat(self, notes: Desk) -> None:
        """`next` of one page is `after` of the next, and null on the last one."""
        for i in range(5):
            await add(notes, title=f"n{i}")
        titles, after = [], ""
        while after is not None:
            page = (await notes.http.get("/v1/notes", params={"limit": 2, "after": after})).json()
            titles.append([n["title"] for n in page["notes"]])
            after = page["next"]

        assert titles == [["n0", "n1"], ["n2", "n3"], ["n4"]]

    @pytest.mark.parametrize(
        ("params", "status"),
        [
            ({"limit": 0}, 422),
            ({"limit": 101}, 422),
            ({"limit": "x"}, 422),
            ({"after": "x"}, 400),
            ({"after": "-1"}, 400),
        ],
    )
    async def test_a_nonsense_page_is_refused(self, notes: Desk, params: dict[str, str | int], status: int) -> None:
        """Bounds and cursors are checked."""
        assert (await notes.http.get("/v1/notes", params=params)).status_code == status


class TestSearch:
    async def test_a_note_is_found_by_its_words_with_the_place(self, notes: Desk) -> None:
        """Stemming finds `swap` in `swaps`; the snippet shows where."""
        identifier = await add(notes)
        [hit] = (await notes.http.get("/v1/search", params={"q": "who will swap"})).json()["hits"]

        assert hit["id"] == identifier
        assert "swaps the fan" in hit["snippet"]

    async def test_a_changed_note_is_found_by_its_new_words_only(self, notes: Desk) -> None:
        """The index follows the save."""
        identifier = await add(notes)
        await notes.http.put(f"/v1/notes/{identifier}", json={**FAN, "text": "All quiet."}, headers={"If-Match": "*"})

        assert (await notes.http.get("/v1/search", params={"q": "fan"})).json() == {
            "hits": [],
            "by": "words",
            "next": None,
        }
        assert len((await notes.http.get("/v1/search", params={"q": "quiet"})).json()["hits"]) == 1

    @pytest.mark.parametrize("q", ['"', "fan* OR (", "title:fan NEAR", "\x00fan"])
    async def test_hostile_words_are_only_words(self, notes: Desk, q: str) -> None:
        """Nothing that a person types is query syntax."""
        await add(notes)

        assert (await notes.http.get("/v1/search", params={"q": q})).status_code in (200, 422)

    async def test_a_search_for_nothing_is_422(self, notes: Desk) -> None:
        """An empty query is told, not answered with everything."""
        assert (await notes.http.get("/v1/search", params={"q": ""})).status_code == 422


class TestSummaries:
    async def test_a_text_is_summarised_and_not_stored(self, notes: Desk) -> None:
        """The body says who wrote it; no note appears."""
        notes.llm.answers = [answer(" Ivo swaps a fan. ")]
        response = await notes.http.post("/v1/summarize", json={"text": "Ivo swaps the fan.", "max_tokens": 9})

        assert response.json()["summary"] == "Ivo swaps a fan."
        assert response.json()["llm"]["provider"] == response.headers["x-llm-provider"] == "vllm"
        assert (await notes.http.get("/v1/notes")).json()["notes"] == []
        [request] = notes.llm.requests
        assert ([m.role for m in request.messages], request.sampling.max_tokens) == ([Role.SYSTEM, Role.USER], 9)

    @pytest.mark.parametrize("body", [{"text": ""}, {"text": " "}, {"text": "x", "max_tokens": 0}, {}])
    async def test_nothing_to_summarise_is_422(self, notes: Desk, body: dict[str, object]) -> None:
        """Empty texts never reach a model."""
        response = await notes.http.post("/v1/summarize", json=body)

        assert (response.status_code, notes.llm.requests) == (422, [])

    async def test_a_stored_summary_knows_its_producer_and_version(self, notes: Desk) -> None:
        """So that one can compare engines later, or run it again."""
        notes.llm.answers = [answer("Fan swap.", provider="ollama")]
        identifier = await add(notes)
        posted = await notes.http.post(f"/v1/notes/{identifier}/summary")
        kept = (await notes.http.get(f"/v1/notes/{identifier}")).json()["summary"]

        producer = kept["producer"]
        assert (kept["text"], kept["of_version"], kept["stale"]) == ("Fan swap.", 1, False)
        assert (producer["provider"], producer["model"], producer["prompt_version"]) == (
            "ollama",
            "tiny",
            PROMPT_VERSION,
        )
        assert (posted.json()["summary"], posted.json()["llm"]["provider"]) == (kept, "ollama")

    async def test_a_summary_of_an_older_version_is_stale(self, notes: Desk) -> None:
        """It stays, marked, until somebody asks for a new one."""
        identifier = await add(notes)
        await notes.http.post(f"/v1/notes/{identifier}/summary")
        await notes.http.put(f"/v1/notes/{identifier}", json=FAN, headers={"If-Match": '"1"'})
        was = (await notes.http.get(f"/v1/notes/{identifier}")).json()["summary"]["stale"]
        await notes.http.post(f"/v1/notes/{identifier}/summary")
        now = (await notes.http.get(f"/v1/notes/{identifier}")).json()["summary"]["stale"]

        assert (was, now) == (True, False)

    async def test_a_failed_summary_leaves_the_note_alone(self, notes: Desk) -> None:
        """The older summary stays when no engine answers."""
        identifier = await add(notes)
        before = (await notes.http.post(f"/v1/notes/{identifier}/summary")).json()["summary"]
        notes.llm.answers = [DeadError("gone")]

        assert (await notes.http.post(f"/v1/notes/{identifier}/summary")).status_code == 503
        assert (await notes.http.get(f"/v1/notes/{identifier}")).json()["summary"] == before

    async def test_a_caller_who_leaves_gets_no_summary_stored(self, notes: Desk) -> None:
        """The engine's work is cancelled, and nothing is kept of it."""
        identifier = await add(notes)
        notes.llm.answers = [Hang()]
        await leaving(notes.app, f"/v1/notes/{identifier}/summary", {}, when=notes.llm.hanging)

        assert notes.llm.left_early.is_set()
        assert (await notes.http.get(f"/v1/notes/{identifier}")).json()["summary"] is None
