"""RAG's pages in process: what they show, take in and say of who answered."""

from __future__ import annotations

import asyncio

import pytest

from services.llm.errors import AllProvidersFailed, DeadError, ErrorType
from services.rag.ui_documents import SHOWN_CHARS
from tests.service.scripted import Desk, answer, ended, events
from tests.unit.rag.papers import encrypted_pdf

OURS = {"Origin": "http://service"}
TEXT = "The nightly backup of rack B starts at 02:40. Restores are run by Mara."


async def stored(rag: Desk, text: str = TEXT, title: str = "Rack manual") -> str:
    return str((await rag.http.post("/v1/documents", json={"title": title, "text": text})).json()["id"])


class TestAsking:
    async def test_without_javascript_the_whole_answer_comes_with_its_passages(self, rag: Desk) -> None:
        document = await stored(rag)
        rag.llm.answers = [answer("The nightly backup of rack B starts at 02:40 [1].")]
        told = await rag.http.post("/ui/", data={"question": "When does the backup start?"}, headers=OURS)

        start, end = 0, len("The nightly backup of rack B starts at 02:40.")
        assert f'href="/ui/documents/{document}?start={start}&amp;end={end}#passage"' in told.text
        assert "Answered by <strong>vllm</strong>, model tiny" in told.text

    async def test_the_stream_is_the_apis_and_its_end_is_a_piece_of_the_page(self, rag: Desk) -> None:
        await stored(rag)
        rag.llm.steps = ended(answer("The nightly backup of rack B starts at 02:40 [1]."))
        told = await rag.http.post("/ui/ask/stream", data={"question": "When does the backup start?"}, headers=OURS)

        seen = events(told.text)
        names = [name for name, _ in seen]
        assert names[0] == "retrieved" and names[-2:] == ["citations", "done"] and set(names[1:-2]) == {"token"}
        assert "Rack manual" in seen[-1][1]["html"] and "#passage" in seen[-1][1]["html"]

    async def test_a_fallback_is_told_in_words(self, rag: Desk) -> None:
        await stored(rag)
        dead = DeadError("refused", provider="vllm", type=ErrorType.CONNECT)
        rag.llm.answers = [answer("At 02:40 [1].", provider="ollama", error=dead)]
        told = await rag.http.post("/ui/", data={"question": "When does the backup start?"}, headers=OURS)
        assert "vLLM did not answer: nobody listened at its address; Ollama did." in told.text

    async def test_no_engine_at_all_is_a_page_with_the_causes(self, rag: Desk) -> None:
        await stored(rag)
        dead = DeadError("refused", provider="vllm", type=ErrorType.CONNECT)
        rag.llm.answers = [AllProvidersFailed((dead,))]
        told = await rag.http.post("/ui/", data={"question": "When does the backup start?"}, headers=OURS)
        assert told.status_code == 503 and "vllm: connect" in told.text and "page Engines" in told.text

    @pytest.mark.parametrize("sent", [{}, {"question": " "}, {"question": "x", "k": "many"}, {"question": "x" * 1001}])
    async def test_a_form_is_held_to_the_apis_rules(self, rag: Desk, sent: dict[str, str]) -> None:
        told = await rag.http.post("/ui/", data=sent, headers=OURS)
        assert told.status_code in (400, 422) and "<h1>" in told.text
        assert rag.llm.requests == []


class TestDocuments:
    async def test_a_cited_passage_is_marked_where_it_is(self, rag: Desk) -> None:
        document = await stored(rag)
        told = (await rag.http.get(f"/ui/documents/{document}?start=46&end=71")).text
        assert '<mark id="passage" tabindex="-1">Restores are run by Mara.</mark>' in told

    async def test_a_passage_that_is_gone_is_told(self, rag: Desk) -> None:
        document = await stored(rag)
        told = (await rag.http.get(f"/ui/documents/{document}?start=900&end=950")).text
        assert "not in this document any more" in told and "<mark" not in told

    async def test_of_a_long_text_the_part_around_the_passage_is_shown(self, rag: Desk) -> None:
        text = "Filler. " * 40_000 + TEXT + " Filler." * 10_000
        document = await stored(rag, text)
        start = text.index("Restores")
        told = (await rag.http.get(f"/ui/documents/{document}?start={start}&end={start + 25}")).text
        assert '<mark id="passage" tabindex="-1">Restores are run by Mara.</mark>' in told
        assert len(told) < SHOWN_CHARS * 1.2 and "Earlier" in told and "Later" in told

    async def test_deleting_asks_first_and_then_deletes(self, rag: Desk) -> None:
        """On a page of its own: without JavaScript nothing else would ask."""
        document = await stored(rag)
        for path in ("/ui/documents", f"/ui/documents/{document}"):
            shown = (await rag.http.get(path)).text
            assert f'href="/ui/documents/{document}/delete"' in shown
            assert f'action="/ui/documents/{document}/delete"' not in shown
        asked = (await rag.http.get(f"/ui/documents/{document}/delete")).text
        assert "Delete this document?" in asked and "its 1 passage" in asked
        assert (await rag.http.get(f"/v1/documents/{document}")).status_code == 200
        gone = await rag.http.post(f"/ui/documents/{document}/delete", headers=OURS)
        assert (gone.status_code, gone.headers["location"]) == (303, "/ui/documents")
        assert (await rag.http.get(f"/v1/documents/{document}")).status_code == 404
        again = await rag.http.post(f"/ui/documents/{document}/delete", headers=OURS)
        assert again.status_code == 404 and "may have been deleted" in again.text
        assert (await rag.http.get(f"/ui/documents/{document}/delete")).status_code == 404

    async def test_the_form_of_a_text_takes_what_the_api_takes(self, rag: Desk) -> None:
        """Urlencoded, a Cyrillic letter would be six bytes of the body's limit."""
        shown = (await rag.http.get("/ui/documents")).text
        assert 'action="/ui/documents/text" enctype="multipart/form-data"' in shown
        sent = {"title": (None, "Long"), "text": (None, "\u0436" * 500_000), "collection": (None, "")}
        assert (await rag.http.post("/ui/documents/text", files=sent, headers=OURS)).status_code == 303

    async def test_a_failed_job_says_why_and_can_be_forgotten(self, rag: Desk) -> None:
        file = {"file": ("locked.pdf", encrypted_pdf())}
        taken = await rag.http.post("/ui/documents", files=file, data={"title": "", "collection": ""}, headers=OURS)
        assert (taken.status_code, taken.headers["location"]) == (303, "/ui/documents#jobs")
        for _ in range(3600):
            told = await rag.http.get("/ui/jobs", headers={"HX-Request": "true"})
            if "state-failed" in told.text:
                break
            await asyncio.sleep(0.05)
        assert "state-failed" in told.text and "locked.pdf" in told.text and "password" in told.text
        assert told.headers["hx-trigger"] == "jobsEnded" and "hx-get" not in told.text
        [job] = (await rag.http.get("/v1/jobs")).json()["jobs"]
        await rag.http.post(f"/ui/jobs/{job['id']}/forget", headers=OURS)
        assert "locked.pdf" not in (await rag.http.get("/ui/jobs")).text

    async def test_a_collection_is_made_renamed_and_deleted(self, rag: Desk) -> None:
        made = await rag.http.post("/ui/collections", data={"name": "Runbooks"}, headers=OURS)
        identifier = made.headers["location"].partition("=")[2]
        again = await rag.http.post("/ui/collections", data={"name": "Runbooks"}, headers=OURS)
        assert again.status_code == 409 and "already" in again.text
        text = {"title": "In it", "text": TEXT, "collection": identifier}
        await rag.http.post("/ui/documents/text", data=text, headers=OURS)
        await rag.http.post(f"/ui/collections/{identifier}/rename", data={"name": "Manuals"}, headers=OURS)
        assert "in Manuals" in (await rag.http.get(f"/ui/documents?collection={identifier}")).text
        assert f'action="/ui/collections/{identifier}/delete"' not in (await rag.http.get("/ui/documents")).text
        asked = (await rag.http.get(f"/ui/collections/{identifier}/delete")).text
        assert "<strong>Manuals</strong> will be gone for good, with 1 document." in asked
        await rag.http.post(f"/ui/collections/{identifier}/delete", headers=OURS)
        assert (await rag.http.get(f"/ui/collections/{identifier}/delete")).status_code == 404
        assert (await rag.http.get("/v1/documents")).json()["documents"] == []

    async def test_a_list_of_many_goes_on(self, rag: Desk) -> None:
        for number in range(21):
            await stored(rag, f"Text number {number}.", f"Document {number:02}")
        first = (await rag.http.get("/ui/documents")).text
        onward = first.partition('">Next page')[0].rpartition('href="')[2].replace("&amp;", "&")
        second = (await rag.http.get(onward)).text
        assert "Document 19" in first and "Document 20" not in first
        assert "Document 20" in second and "Document 19" not in second
