"""A reader says whether an answer helped: by the API and on the page, with who made the answer."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from services.rag import app as rag_app
from services.rag.schemas_feedback import MAX_COMMENT_CHARS
from services.settings import Settings
from services.web.key_file import change
from services.web.keys import Key, digest
from tests.service.scripted import Desk, ScriptedClient, answer, ended, events, served

OURS = {"Origin": "http://service"}
PART = {**OURS, "HX-Request": "true"}
TEXT = "The nightly backup of rack B starts at 02:40. Restores are run by Mara."
ASKED = "When does the backup start?"


async def answered(rag: Desk, provider: str = "vllm", digest: str = "8b7a") -> dict[str, Any]:
    """The answer of `/v1/ask`, and what a reader sends of it."""
    await rag.http.post("/v1/documents", json={"title": "Rack manual", "text": TEXT})
    rag.llm.answers = [answer("It starts at 03:40 [1].", provider=provider, digest=digest)]
    body: dict[str, Any] = (await rag.http.post("/v1/ask", json={"question": ASKED})).json()
    return {
        "question": ASKED,
        "answer": body["answer"],
        "request_id": body["llm"]["request_id"],
        "producer": body["producer"],
        "wrong_citation": body["citations"][0],
        "rating": "down",
        "comment": "The manual says 02:40.",
    }


class TestTheApi:
    async def test_an_answer_says_who_made_it_and_a_reader_what_it_is_worth(self, rag: Desk) -> None:
        """Fields of the answer go back as they came; its words are not kept."""
        said = await answered(rag)
        told = await rag.http.post("/v1/feedback", json=said)
        kept = told.json()

        assert (told.status_code, told.headers["location"]) == (201, f"/v1/feedback/{kept['id']}")
        assert (kept["producer"], kept["reader"]) == (said["producer"], "anonymous")
        named = {name: kept["producer"][name] for name in ("provider", "model", "digest", "prompt_version")}
        assert named == {"provider": "vllm", "model": "tiny", "digest": "8b7a", "prompt_version": "ask-1"}
        assert kept["producer"]["params_hash"]
        assert set(kept["wrong_citation"]) == {"n", "document_id", "start", "end"}
        assert "03:40" not in told.text
        assert (await rag.http.get(told.headers["location"])).json() == kept
        assert (await rag.http.get("/v1/feedback")).json() == {"feedback": [kept], "next": None}

    async def test_a_changed_mind_takes_the_place_of_the_first(self, rag: Desk) -> None:
        said = await answered(rag)
        first = await rag.http.post("/v1/feedback", json=said)
        again = await rag.http.post("/v1/feedback", json={**said, "rating": "up", "comment": None})

        assert (first.status_code, again.status_code) == (201, 200)
        assert (again.json()["id"], again.json()["rating"], again.json()["comment"]) == (first.json()["id"], "up", "")
        assert len((await rag.http.get("/v1/feedback")).json()["feedback"]) == 1

    async def test_a_retry_with_its_key_gets_the_first_answer_until_that_is_deleted(self, rag: Desk) -> None:
        said, key = await answered(rag), {"Idempotency-Key": "k1"}
        first = await rag.http.post("/v1/feedback", json=said, headers=key)
        again = await rag.http.post("/v1/feedback", json=said, headers=key)
        assert (again.status_code, again.headers["idempotent-replayed"], again.json()) == (201, "true", first.json())
        gone = await rag.http.delete(f"/v1/feedback/{first.json()['id']}")
        assert gone.status_code == 204
        assert (await rag.http.delete(f"/v1/feedback/{first.json()['id']}")).status_code == 404
        anew = await rag.http.post("/v1/feedback", json=said, headers=key)
        assert anew.json()["id"] != first.json()["id"]

    async def test_the_summary_sets_both_engines_side_by_side(self, rag: Desk) -> None:
        for provider, ratings in (("vllm", ("up", "up")), ("ollama", ("down",))):
            for n, rating in enumerate(ratings):
                said = {**await answered(rag, provider), "rating": rating, "request_id": f"{provider}-{n}"}
                await rag.http.post("/v1/feedback", json=said)
        told = (await rag.http.get("/v1/feedback/summary")).json()["producers"]

        assert [(t["provider"], t["up"], t["down"], t["helped"]["value"]) for t in told] == [
            ("ollama", 0, 1, 0),
            ("vllm", 2, 0, 1),
        ]
        assert told[0]["helped"]["high"] > told[1]["helped"]["low"], "three ratings prove nothing"

    async def test_equal_answers_of_two_engines_are_rated_apart(self, rag: Desk) -> None:
        """Also by a caller that keeps no id of its requests."""
        for provider in ("vllm", "ollama"):
            said = {**await answered(rag, provider), "rating": "up", "request_id": ""}
            assert (await rag.http.post("/v1/feedback", json=said)).status_code == 201
        told = (await rag.http.get("/v1/feedback/summary")).json()["producers"]

        assert [(t["provider"], t["up"]) for t in told] == [("ollama", 1), ("vllm", 1)]

    async def test_pages_go_on_and_keep_to_their_filters(self, rag: Desk) -> None:
        said = await answered(rag)
        for n in range(3):
            await rag.http.post("/v1/feedback", json={**said, "request_id": f"r{n}"})
        first = (await rag.http.get("/v1/feedback", params={"limit": 2, "rating": "down"})).json()
        onward = {"limit": 2, "rating": "down", "after": first["next"]}
        rest = (await rag.http.get("/v1/feedback", params=onward)).json()
        other = await rag.http.get("/v1/feedback", params={**onward, "rating": "up"})

        assert [f["request_id"] for f in (*first["feedback"], *rest["feedback"])] == ["r2", "r1", "r0"]
        assert (rest["next"], other.status_code) == (None, 400)
        assert (await rag.http.get("/v1/feedback?provider=ollama")).json()["feedback"] == []

    async def test_an_answer_without_a_model_can_be_judged(self, rag: Desk) -> None:
        """That nothing was found may be what was wrong."""
        told = (await rag.http.post("/v1/ask", json={"question": "Who painted the Mona Lisa?"})).json()
        assert (told["llm"], told["producer"]) == (None, None)
        said = {"question": "Who?", "answer": told["answer"], "producer": None, "rating": "down"}
        assert (await rag.http.post("/v1/feedback", json=said)).json()["producer"] is None
        [tally] = (await rag.http.get("/v1/feedback/summary")).json()["producers"]
        assert (tally["provider"], tally["down"]) == ("", 1)

    @pytest.mark.parametrize(
        ("wrong", "status"),
        [
            ({"rating": "sideways"}, 422),
            ({"comment": "x" * (MAX_COMMENT_CHARS + 1)}, 422),
            ({"comment": "\0"}, 422),
            ({"request_id": "a b"}, 422),
            ({"producer": {"provider": "", "engine": "", "model": "", "prompt_version": "", "at": ""}}, 422),
            ({"wrong_citation": {"n": 1, "document_id": "nowhere", "start": 0, "end": 1}}, 404),
            ({"mood": "bad"}, 422),
        ],
        ids=["rating", "comment-long", "comment-nul", "request", "producer", "document", "unknown"],
    )
    async def test_what_it_does_not_take_is_refused_and_not_kept(
        self, rag: Desk, wrong: dict[str, Any], status: int
    ) -> None:
        said = await answered(rag)
        assert (await rag.http.post("/v1/feedback", json={**said, **wrong})).status_code == status
        assert (await rag.http.get("/v1/feedback")).json()["feedback"] == []

    async def test_ratings_are_counted(self, rag: Desk) -> None:
        """From zero, each that was taken in."""
        assert 'rag_feedback_total{rating="up"} 0.0' in (await rag.http.get("/metrics")).text
        await rag.http.post("/v1/feedback", json=await answered(rag))
        assert 'rag_feedback_total{rating="down"} 1.0' in (await rag.http.get("/metrics")).text

    async def test_each_key_has_its_own_word_in_its_own_workspace(
        self, settings: Settings, llm: ScriptedClient, tmp_path: Path
    ) -> None:
        names = {"ana": "team-a", "bo": "team-a", "eve": "team-b"}
        keys = [Key(name=n, workspace=w, digest=digest(f"key-{n}"), created_at="2026-01-01") for n, w in names.items()]
        change(settings.api_keys.file, lambda _: keys)
        async with served(rag_app.build(settings, client=llm), llm) as desk:
            said = {"question": "When?", "answer": "At 03:40.", "rating": "up"}
            seen: dict[str, Any] = {}
            for name in names:
                bearer = {"Authorization": f"Bearer key-{name}"}
                assert (await desk.http.post("/v1/feedback", json=said, headers=bearer)).status_code == 201
                seen[name] = (await desk.http.get("/v1/feedback", headers=bearer)).json()["feedback"]

        assert [f["reader"] for f in seen["bo"]] == ["bo", "ana"]
        assert [f["reader"] for f in seen["eve"]] == ["eve"]


class TestThePage:
    async def form(self, rag: Desk) -> dict[str, str]:
        """What the form under a streamed answer holds."""
        await rag.http.post("/v1/documents", json={"title": "Rack manual", "text": TEXT})
        rag.llm.steps = ended(answer('It "starts" at <03:40> [1].'))
        told = await rag.http.post("/ui/ask/stream", data={"question": ASKED}, headers=OURS)
        return fields(events(told.text)[-1][1]["html"])

    async def test_the_form_holds_the_answer_and_the_piece_says_what_was_kept(self, rag: Desk) -> None:
        form = await self.form(rag)
        sent = {**form, "rating": "down", "comment": " It is 02:40. "}
        piece = await rag.http.post("/ui/feedback", data=sent, headers=PART)

        assert "Kept: it did not help, citation [1] is wrong, with your comment." in piece.text
        assert re.search(r'id="feedback-down"[^>]* aria-pressed="true"', piece.text)
        assert "<h1>" not in piece.text
        [kept] = (await rag.http.get("/v1/feedback")).json()["feedback"]
        assert (kept["question"], kept["comment"], kept["producer"]["provider"]) == (ASKED, "It is 02:40.", "vllm")

    async def test_a_word_is_taken_back(self, rag: Desk) -> None:
        """The piece is as it was before; taken back twice it is gone as well."""
        piece = await rag.http.post("/ui/feedback", data={**await self.form(rag), "rating": "up"}, headers=PART)
        found = re.search(r'hx-post="([^"]+/delete)"', piece.text)
        assert found is not None
        for _ in range(2):
            gone = await rag.http.post(found[1], headers=PART)
            assert gone.status_code == 200 and "Kept" not in gone.text and "Take it back" not in gone.text
        assert (await rag.http.get("/v1/feedback")).json()["feedback"] == []

    async def test_without_javascript_it_leads_to_the_page_of_feedback(self, rag: Desk) -> None:
        """Where it stands by who made the answer, and can be deleted after a question."""
        await rag.http.post("/v1/documents", json={"title": "Rack manual", "text": TEXT})
        rag.llm.answers = [answer("At 02:40 [1].", provider="ollama")]
        shown = await rag.http.post("/ui/", data={"question": ASKED}, headers=OURS)
        told = await rag.http.post("/ui/feedback", data={**fields(shown.text), "rating": "up"}, headers=OURS)
        assert (told.status_code, told.headers["location"]) == (303, "/ui/feedback")
        listed = (await rag.http.get("/ui/feedback")).text
        assert "ollama (ollama)" in listed and "100 %, 21 to 100 %" in listed and ASKED in listed
        found = re.search(r'href="(/ui/feedback/[0-9a-f]+/delete)"', listed)
        assert found is not None
        assert "Delete this feedback?" in (await rag.http.get(found[1])).text
        gone = await rag.http.post(found[1], headers=OURS)
        assert (gone.status_code, gone.headers["location"]) == (303, "/ui/feedback")
        assert "Nobody has said anything yet." in (await rag.http.get("/ui/feedback")).text

    @pytest.mark.parametrize("held", ["{", "[]", "", "[" * 100_000], ids=["cut", "list", "none", "deep"])
    async def test_a_form_that_holds_no_answer_is_refused(self, rag: Desk, held: str) -> None:
        told = await rag.http.post("/ui/feedback", data={"answered": held, "rating": "up"}, headers=OURS)
        assert told.status_code == 422 and "<h1>" in told.text

    async def test_only_a_page_of_this_origin_may_send_it(self, rag: Desk) -> None:
        sent = {**await self.form(rag), "rating": "up"}
        told = await rag.http.post("/ui/feedback", data=sent, headers={"Origin": "http://elsewhere"})
        assert told.status_code == 403

    async def test_a_long_list_goes_on(self, rag: Desk) -> None:
        for n in range(21):
            await rag.http.post("/v1/feedback", json={"question": f"Question {n:02}?", "answer": "A", "rating": "up"})
        first = (await rag.http.get("/ui/feedback")).text
        onward = first.partition('">Next page')[0].rpartition('href="')[2].replace("&amp;", "&")
        assert "Question 01?" in first and "Question 00?" not in first
        assert "Question 00?" in (await rag.http.get(onward)).text


def fields(page: str) -> dict[str, str]:
    """The hidden field of the form under an answer, and its last citation chosen as the wrong one."""
    held = re.search(r'name="answered" value="([^"]*)"', page)
    places = re.findall(r'<option value="([^"]+)">\[\d+\]', page)
    assert held is not None and json.loads(html.unescape(held[1]))["question"] == ASKED
    return {"answered": html.unescape(held[1]), "wrong": html.unescape(places[-1])}
