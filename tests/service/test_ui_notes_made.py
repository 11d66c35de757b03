"""What models make of notes, on the pages: summaries, tags, jobs and answers, and who made them or why nobody did."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.llm.errors import DeadError
from services.llm.types import Answer, ChatRequest
from services.notes import app as notes_app
from services.settings import load
from tests.service.scripted import Desk, ScriptedClient, answer, ended, events, served
from tests.service.test_ui_notes import FAN, HOSTILE, OWN, add, seen, send

HTMX = {**OWN, "HX-Request": "true"}


def tags(*new: str) -> Answer:
    return answer(json.dumps({"new": list(new)}))


async def piece(notes: Desk, path: str, **fields: str) -> tuple[int, str]:
    """What htmx gets, which is a part of a page."""
    response = await notes.http.post(f"/ui/{path}", data=fields, headers=HTMX)
    assert "<html" not in response.text
    return response.status_code, response.text


class TestSummaries:
    async def test_a_summary_says_who_made_it_and_turns_stale(self, notes: Desk) -> None:
        """Right after it was made with all attempts, later with its producer."""
        note = await add(notes)
        notes.llm.answers = [answer("Fan swap.", provider="ollama", error=DeadError("gone", provider="vllm"))]
        status, page = await send(notes, f"notes/{note}/summary")
        later = await seen(notes, f"notes/{note}")
        await notes.http.put(f"/v1/notes/{note}", json=FAN, headers={"If-Match": "*"})
        old = await seen(notes, f"notes/{note}")

        assert (status, "vLLM did not answer" in page, "Ollama did" in page) == (200, True, True)
        assert all(said in later for said in ("Fan swap.", ">fresh<", "<strong>ollama</strong>", "model tiny"))
        assert (">stale<" in old, "made of version 1; the note is at version 2 now" in old) == (True, True)

    async def test_a_summary_that_nobody_made_says_why_and_leaves_the_old_one(self, notes: Desk) -> None:
        """Both to a browser with scripts and to one without."""
        note = await add(notes)
        await send(notes, f"notes/{note}/summary")
        notes.llm.answers = [DeadError("gone", provider="ollama")]
        for status, page in (await send(notes, f"notes/{note}/summary"), await piece(notes, f"notes/{note}/summary")):
            assert status == 503
            assert all(said in page for said in ("No summary was made", "No engine could answer", "An answer."))

    async def test_a_part_that_is_asked_for_as_a_page_leads_to_the_note(self, notes: Desk) -> None:
        """A reload after a form was sent, for example."""
        note = await add(notes)
        for part in ("summary", "tags", "suggest"):
            response = await notes.http.get(f"/ui/notes/{note}/{part}")
            assert (response.status_code, response.headers["location"]) == (303, f"/ui/notes/{note}")


class TestTags:
    async def test_suggestions_are_accepted_and_dismissed_one_by_one(self, notes: Desk) -> None:
        """A dismissed one is not suggested again."""
        note = await add(notes)
        notes.llm.answers = [tags("fan", "rack")]
        _, page = await piece(notes, f"notes/{note}/suggest")
        assert ("2 suggested" in page, 'aria-label="accept fan"' in page) == (True, True)

        await piece(notes, f"notes/{note}/tags", tag="fan", word="accept")
        _, page = await piece(notes, f"notes/{note}/tags", tag="rack", word="reject")
        _, again = await piece(notes, f"notes/{note}/suggest")

        assert ("Dismissed: rack" in page, 'aria-label="remove fan"' in page) == (True, True)
        assert "suggests no tag that was not judged already" in again

    async def test_own_tags_are_stored_in_their_one_form(self, notes: Desk) -> None:
        note = await add(notes)
        await send(notes, f"notes/{note}/tags", own="#GPU Fan, work/Rack ,")

        assert re.findall(r"/ui/\?tag=([^\"]*)", await seen(notes, f"notes/{note}")) == ["gpu-fan", "work/rack"]

    @pytest.mark.parametrize("own", ["", "#!", "x" * 301])
    async def test_what_is_no_tag_is_told_beside_the_field(self, notes: Desk, own: str) -> None:
        """And stays in it."""
        note = await add(notes)
        status, page = await piece(notes, f"notes/{note}/tags", own=own)

        assert (status, 'role="alert" id="problems"' in page, f'value="{own}"' in page) == (422, True, True)

    async def test_merged_tags_are_one_everywhere(self, notes: Desk) -> None:
        note = await add(notes)
        await send(notes, f"notes/{note}/tags", own="fans")
        status, page = await send(notes, "tags", tags="fans", into="Cooling")

        assert (status, "fans became cooling; 1 note has it now" in page) == (200, True)
        assert (await send(notes, "tags", tags="gone", into="x"))[0] == 422
        assert (await send(notes, "tags", into="x"))[0] == 422


class TestJobs:
    @pytest.fixture
    async def busy(self, tmp_path: Path) -> AsyncIterator[Desk]:
        """Notes that asks for a summary after each save; no engine answers."""
        llm = ScriptedClient()
        llm.answers = [DeadError("gone", provider="ollama")]
        settings = load({"CUTOVER_HOME": str(tmp_path), "NOTES_AFTER_SAVE": "summary"})
        async with served(notes_app.build(settings, client=llm), llm) as desk:
            yield desk

    async def test_a_note_says_what_is_being_made_and_asks_again_by_itself(self, busy: Desk) -> None:
        """The summary's part of the page is fetched anew while a job is under way."""
        note = await add(busy)
        page = await seen(busy, f"notes/{note}")

        assert "A new summary is" in page
        assert f'hx-get="/ui/notes/{note}/summary" hx-trigger="every 2s"' in page
        assert "Standup</a>" in await seen(busy, "jobs")
        assert "of <a" not in await seen(busy, "jobs?state=done")

    async def test_what_is_stale_is_made_anew(self, notes: Desk) -> None:
        note = await add(notes)
        await send(notes, f"notes/{note}/summary")
        await notes.http.put(f"/v1/notes/{note}", json=FAN, headers={"If-Match": "*"})

        assert "1 job asked for" in (await send(notes, "jobs", where="stale"))[1]
        assert "Nothing is to be made anew" in (await send(notes, "jobs", where="failed"))[1]

    @pytest.mark.parametrize("fields", [{"where": ""}, {"where": "vectors"}, {"where": "model"}, {"where": "x"}])
    async def test_what_a_page_may_not_ask_for_is_refused(self, notes: Desk, fields: dict[str, str]) -> None:
        """Vectors are every workspace's and need the admin token, which no browser has."""
        assert (await send(notes, "jobs", **fields))[0] == 422


class TestQuestions:
    async def test_an_answer_without_scripts_is_whole_with_its_places(self, notes: Desk) -> None:
        """A citation opens the note with the passage marked."""
        note = await add(notes)
        notes.llm.answers = [answer("Ivo swaps it [1].")]
        _, page = await send(notes, "ask", question="Who swaps the fan?")
        [(start, end)] = re.findall(rf"/ui/notes/{note}\?start=(\d+)&amp;end=(\d+)&amp;version=1#passage", page)
        address = f"notes/{note}?start={start}&end={end}&version=1"
        opened = await seen(notes, address)
        changed = {**FAN, "text": f"A line before it.\n{FAN['text']}"}
        await notes.http.put(f"/v1/notes/{note}", json=changed, headers={"If-Match": "*"})
        later = await seen(notes, address)

        assert "Ivo swaps it [1]." in page
        assert f'<mark id="passage" tabindex="-1">{FAN["text"]}</mark>' in opened and "since it was cited" not in opened
        assert ("<mark" in later, "saved since it was cited" in later) == (False, True)
        assert f"/ui/notes/{note}/history?version=1" in later

    async def test_what_a_note_does_not_say_any_more_is_no_link_to_a_place(
        self, notes: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Saved between the answer and its citations: other words would be marked there."""
        note = await add(notes)

        async def saved_meanwhile(_: ChatRequest) -> Answer:
            await notes.http.put(f"/v1/notes/{note}", json={**FAN, "text": "Nobody."}, headers={"If-Match": "*"})
            return answer("Ivo swaps it [1].")

        monkeypatch.setattr(notes.llm, "chat", saved_meanwhile)
        _, page = await send(notes, "ask", question="Who swaps the fan?")

        assert "does not say it there any more" in page
        assert f'href="/ui/notes/{note}"' in page and "start=" not in page

    @pytest.mark.parametrize("place", ["start=5&end=5", "start=9&end=3", "start=0&end=9999"])
    async def test_a_place_that_is_not_in_the_note_marks_nothing(self, notes: Desk, place: str) -> None:
        """The note may have become shorter since."""
        assert "<mark" not in await seen(notes, f"notes/{await add(notes)}?{place}")

    async def test_a_streamed_answer_ends_with_its_piece_of_the_page(self, notes: Desk) -> None:
        """And hostile words of a note and of a model are words in it."""
        await add(notes, title=HOSTILE, text=f"The fan {HOSTILE}")
        notes.llm.steps = ended(answer(f"Fan {HOSTILE} [1]"))
        response = await notes.http.post("/ui/ask/stream", data={"question": "Which fan?"}, headers=OWN)
        name, done = events(response.text)[-1]

        assert (name, "&lt;script&gt;alert" in done["html"], "<script" in done["html"]) == ("done", True, False)

    async def test_a_question_that_no_engine_answers_is_told_in_the_stream(self, notes: Desk) -> None:
        await add(notes)
        notes.llm.steps = [DeadError("gone", provider="ollama")]
        response = await notes.http.post("/ui/ask/stream", data={"question": "Which fan?"}, headers=OWN)

        name, problem = events(response.text)[-1]
        assert (name, problem["status"]) == ("error", 503)
