"""RAG's documents, search and whole answers."""

from __future__ import annotations

import pytest

from services.llm.errors import DeadError, ErrorType
from services.llm.registry import model
from services.llm.types import Rescue, Role
from tests.service.scripted import Desk, answer

BACKUPS = {"title": "Backups", "text": "The nightly backup of rack B starts at 02:40.\n\nIt is encrypted by Jonas."}
COFFEE = {"title": "Coffee", "text": "The coffee machine wants to be cleaned on Fridays."}


async def add(rag: Desk, document: dict[str, str] = BACKUPS) -> str:
    return str((await rag.http.post("/v1/documents", json=document)).json()["id"])


class TestDocuments:
    async def test_a_new_document_is_201_with_its_place(self, rag: Desk) -> None:
        """Posting a document stores it and says where it is."""
        response = await rag.http.post("/v1/documents", json=BACKUPS)

        body = response.json()
        assert (response.status_code, body["title"], body["chunks"]) == (201, "Backups", 1)
        assert response.headers["location"] == f"/v1/documents/{body['id']}"

    async def test_the_same_content_is_200_with_the_same_document(self, rag: Desk) -> None:
        """Posting the same title and text again changes nothing."""
        first = await rag.http.post("/v1/documents", json=BACKUPS)
        again = await rag.http.post("/v1/documents", json=BACKUPS)

        assert (again.status_code, again.json()) == (200, first.json())
        assert len((await rag.http.get("/v1/documents")).json()["documents"]) == 1

    async def test_a_document_is_read_back_whole(self, rag: Desk) -> None:
        """The stored text is the posted text."""
        response = await rag.http.get(f"/v1/documents/{await add(rag)}")

        assert (response.status_code, response.json()["text"]) == (200, BACKUPS["text"])

    async def test_documents_are_listed_oldest_first(self, rag: Desk) -> None:
        """The list keeps the order of coming."""
        await add(rag, COFFEE)
        await add(rag, BACKUPS)

        listed = (await rag.http.get("/v1/documents")).json()["documents"]
        assert [d["title"] for d in listed] == ["Coffee", "Backups"]

    async def test_a_deleted_document_is_found_nowhere(self, rag: Desk) -> None:
        """Deleting takes the document out of the list, the search and the answers."""
        identifier = await add(rag)

        assert (await rag.http.delete(f"/v1/documents/{identifier}")).status_code == 204
        assert (await rag.http.get(f"/v1/documents/{identifier}")).status_code == 404
        assert (await rag.http.post("/v1/search", json={"query": "backup"})).json()["hits"] == []

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_an_unknown_id_is_404(self, rag: Desk, method: str) -> None:
        """An id that names nothing is a problem document, not an empty answer."""
        response = await rag.http.request(method, "/v1/documents/nothing")

        assert (response.status_code, response.json()["type"]) == (404, "urn:cutover:problem:not-found")

    @pytest.mark.parametrize(
        "body",
        [
            {"title": "", "text": "x"},
            {"title": "x", "text": ""},
            {"title": "x", "text": " \n "},
            {"title": "x", "text": "a\0b"},
            {"title": "x" * 301, "text": "x"},
            {"title": "x", "text": "x" * 500_001},
            {"title": "x"},
            {"title": "x", "text": 7},
            {"title": "x", "text": "y", "tags": []},
        ],
    )
    async def test_a_document_that_is_not_one_is_422(self, rag: Desk, body: dict[str, object]) -> None:
        """Empty, oversized, wrongly typed and unknown fields are told by name."""
        response = await rag.http.post("/v1/documents", json=body)

        assert response.status_code == 422
        assert all(e["field"].startswith("body.") for e in response.json()["errors"])


class TestSearch:
    async def test_a_hit_is_an_exact_span_of_its_document(self, rag: Desk) -> None:
        """`start` and `end` cut the hit's text out of the document's."""
        identifier = await add(rag)
        [hit] = (await rag.http.post("/v1/search", json={"query": "when do backups start"})).json()["hits"]

        assert hit["document_id"] == identifier
        assert BACKUPS["text"][hit["start"] : hit["end"]] == hit["text"]

    async def test_the_better_passage_comes_first(self, rag: Desk) -> None:
        """Hits are ordered by score, best first."""
        await add(rag, {"title": "Friday", "text": "Backup tapes are old."})
        await add(rag)
        hits = (await rag.http.post("/v1/search", json={"query": "encrypted backup"})).json()["hits"]

        assert [h["title"] for h in hits] == ["Backups", "Friday"]
        assert hits[0]["score"] >= hits[1]["score"]

    @pytest.mark.parametrize("query", ["what is the", "zebra", "?!", '"', "_", "²", "\N{OK HAND SIGN}"])
    async def test_words_that_say_nothing_find_nothing(self, rag: Desk, query: str) -> None:
        """Stop words, unknown words and signs are an empty answer, not an error."""
        await add(rag)
        response = await rag.http.post("/v1/search", json={"query": query})

        assert (response.status_code, response.json()["hits"]) == (200, [])

    @pytest.mark.parametrize(
        "query",
        [
            'backup" OR "coffee',
            "backup AND NOT",
            "NEAR(backup coffee, 2)",
            "title:backup",
            "backup*",
            "^backup",
            "{title text} : backup",
            "(backup",
            "backup'; DROP TABLE document; --",
            "-backup + -",
            "backup " * 100,
        ],
    )
    async def test_hostile_words_are_only_words(self, rag: Desk, query: str) -> None:
        """Nothing that a person types is query syntax or SQL: it is searched for."""
        await add(rag)
        response = await rag.http.post("/v1/search", json={"query": query})

        assert (response.status_code, len(response.json()["hits"])) == (200, 1)

    @pytest.mark.parametrize("k", [0, 21, "3", None])
    async def test_a_silly_k_is_422(self, rag: Desk, k: object) -> None:
        """The number of passages is bounded."""
        assert (await rag.http.post("/v1/search", json={"query": "x", "k": k})).status_code == 422


class TestAsk:
    async def test_an_answer_says_what_it_rests_on_and_who_gave_it(self, rag: Desk) -> None:
        """Answer, citation and provenance come together, in the body and in short on the headers."""
        identifier = await add(rag)
        rag.llm.answers = [answer("It starts at 02:40.")]
        response = await rag.http.post("/v1/ask", json={"question": "When does the backup start?"})

        body = response.json()
        assert (body["answer"], body["answerable"]) == ("It starts at 02:40.", True)
        assert body["citations"] == [
            {
                "n": 1,
                "document_id": identifier,
                "title": "Backups",
                "chunk": 0,
                "start": 0,
                "end": 45,
                "quote": "The nightly backup of rack B starts at 02:40.",
                "page": None,
                "verified": True,
            }
        ]
        assert body["llm"]["attempts"][0]["error"] is None
        headers = response.headers
        assert (headers["x-llm-provider"], headers["x-llm-model"], headers["x-llm-attempts"]) == ("vllm", "tiny", "1")

    async def test_a_fallback_answer_tells_what_went_wrong_before(self, rag: Desk) -> None:
        """The attempts show the failed one with its cause."""
        await add(rag)
        refused = DeadError("refused", provider="vllm", type=ErrorType.CONNECT)
        rag.llm.answers = [answer("At 02:40.", provider="ollama", error=refused)]
        response = await rag.http.post("/v1/ask", json={"question": "When does the backup start?"})

        told = response.json()["llm"]
        assert [(a["provider"], a["error"]) for a in told["attempts"]] == [("vllm", "connect"), ("ollama", None)]
        assert (told["fallback_reason"], response.headers["x-llm-attempts"]) == ("connect", "2")

    async def test_without_passages_no_model_is_asked(self, rag: Desk) -> None:
        """A question that the documents do not touch is said to be unanswerable."""
        response = await rag.http.post("/v1/ask", json={"question": "Who won the zebra race?"})

        body = response.json()
        assert (body["answerable"], body["citations"], body["llm"], rag.llm.requests) == (False, [], None, [])
        assert "nothing" in body["answer"]

    async def test_the_model_gets_a_system_message_and_the_question_before_the_passages(self, rag: Desk) -> None:
        """Both engines add their own system message where there is none, so there always is one."""
        await add(rag)
        await rag.http.post("/v1/ask", json={"question": "When does the backup start?", "max_tokens": 7})

        [request] = rag.llm.requests
        system, user = request.messages
        assert (system.role, user.role) == (Role.SYSTEM, Role.USER)
        assert user.content.index("When does") < user.content.index("02:40")
        assert (request.sampling.max_tokens, request.rescue) == (7, Rescue.RESTART)

    async def test_an_answer_with_marks_cites_only_what_it_marks(self, rag: Desk) -> None:
        """`[2]` in the answer is the second passage."""
        await add(rag)
        await add(rag, {"title": "Restore", "text": "A backup is restored by Mara."})
        rag.llm.answers = [answer("Mara does [2].")]
        body = (await rag.http.post("/v1/ask", json={"question": "Who restores a backup?"})).json()

        assert [c["n"] for c in body["citations"]] == [2]

    async def test_passages_that_do_not_surely_fit_are_left_out(self, rag: Desk) -> None:
        """The prompt stays inside the window even if every byte were a token."""
        for i in range(20):
            await add(rag, {"title": f"Backup {i}", "text": "Backup words. " * 40})
        await rag.http.post("/v1/ask", json={"question": "backup", "k": 20, "max_tokens": 100})

        [request] = rag.llm.requests
        bytes_sent = sum(len(m.content.encode()) + 16 for m in request.messages)
        assert bytes_sent + 100 <= model("smollm2-135m").context
        assert request.messages[1].content.count("Backup words") > 40

    async def test_a_question_beside_which_no_passage_fits_is_413(self, rag: Desk) -> None:
        """What does not fit is refused, never cut in silence."""
        await add(rag, {"title": "Backup", "text": "\N{WARNING SIGN} backup " * 60})
        question = "backup " + "\N{WARNING SIGN}" * 990
        response = await rag.http.post("/v1/ask", json={"question": question, "max_tokens": 1024})

        assert (response.status_code, response.json()["type"]) == (413, "urn:cutover:problem:context-too-long")
