"""What an answer may claim: quotes that are there, a plain no, nothing made up, nothing of a document not shown."""

from __future__ import annotations

from typing import Any

import pytest

from services.llm.types import ChatRequest
from services.web.cited import is_supported, says_nothing
from tests.service.scripted import Desk, answer, ended, events

BACKUPS = "The nightly backup of rack B starts at 02:40."
MANY = " ".join(f"word{chr(97 + n // 8)}{chr(97 + n % 8)}" for n in range(40)) + "."
"""More words than a search takes."""


async def store(rag: Desk, title: str, text: str) -> str:
    return str((await rag.http.post("/v1/documents", json={"title": title, "text": text})).json()["id"])


async def asked(rag: Desk, question: str = "When does the backup start?", **fields: Any) -> dict[str, Any]:
    response = await rag.http.post("/v1/ask", json={"question": question, **fields})
    assert response.status_code == 200
    return dict(response.json())


class TestVerified:
    async def test_a_quote_is_looked_up_in_the_stored_document(self, rag: Desk) -> None:
        """At its offsets, after the answer."""
        identifier = await store(rag, "Backups", f"Intro.\n\n{BACKUPS}")
        [citation] = (await asked(rag))["citations"]
        text = (await rag.http.get(f"/v1/documents/{identifier}")).json()["text"]

        assert citation["verified"]
        assert text[citation["start"] : citation["end"]] == citation["quote"]

    @pytest.mark.parametrize("strict", [False, True])
    async def test_a_document_that_went_meanwhile_is_not_verified(self, rag: Desk, strict: bool) -> None:
        """Deleted between the search and the answer: said so, and by a strict answer not used."""
        identifier = await store(rag, "Backups", BACKUPS)
        before = rag.llm.chat

        async def chat(request: ChatRequest) -> Any:
            await rag.http.delete(f"/v1/documents/{identifier}")
            return await before(request)

        rag.llm.chat = chat  # type: ignore[method-assign]
        rag.llm.answers = [answer("It starts at 02:40.")]
        body = await asked(rag, strict=strict)

        assert [c["verified"] for c in body["citations"]] == ([] if strict else [False])
        assert body["answerable"] is not strict


class TestAnswerable:
    @pytest.mark.parametrize("said", ["not stated", "Not stated.", "It is not stated in the passages.", "  "])
    async def test_a_model_that_says_so_is_believed(self, rag: Desk, said: str) -> None:
        """No citations for nothing; the model's words stay, and who said them."""
        await store(rag, "Backups", BACKUPS)
        rag.llm.answers = [answer(said)]
        body = await asked(rag)

        assert (body["answerable"], body["citations"]) == (False, [])
        assert body["llm"]["provider"] == "vllm"

    def test_an_answer_that_only_mentions_it_is_an_answer(self) -> None:
        assert not says_nothing("The start is 02:40; the end is not stated.")


class TestStrict:
    async def test_what_the_passages_bear_out_is_answered(self, rag: Desk) -> None:
        await store(rag, "Backups", BACKUPS)
        rag.llm.answers = [answer("The nightly backup starts at 02:40 [1].")]
        body = await asked(rag, strict=True)

        assert (body["answerable"], [c["n"] for c in body["citations"]]) == (True, [1])

    async def test_what_is_made_up_is_not_answered(self, rag: Desk) -> None:
        """Without strict the same answer comes, for the reader to judge."""
        await store(rag, "Backups", BACKUPS)
        rag.llm.answers = [answer("The nightly backup starts at 03:15.")]

        assert (await asked(rag))["answerable"]
        strict = await asked(rag, strict=True)
        assert (strict["answerable"], strict["citations"]) == (False, [])
        assert "03:15" not in strict["answer"]

    async def test_a_strict_stream_shows_no_token_that_is_taken_back(self, rag: Desk) -> None:
        """The answer is judged before its reader sees any of it."""
        await store(rag, "Backups", BACKUPS)
        rag.llm.steps = ended(answer("Starts at 03:15."))
        response = await rag.http.post("/v1/ask", json={"question": "backup start?", "stream": True, "strict": True})

        assert "03:15" not in response.text
        assert [name for name, _ in events(response.text)] == ["retrieved", "token", "citations", "done"]

    @pytest.mark.parametrize(
        ("said", "is_so"),
        [
            ("The backup starts at 02:40.", True),
            ("Rack B, at 02:40 [1].", True),
            ("The backup of rack C starts at 05:40.", False),
            ("Zebras won the race yesterday.", False),
            ("Yes.", False),
            (f"{MANY} At 02:40.", True),
            (f"{MANY} At 05:40.", False),
            ("", False),
        ],
    )
    def test_support_is_words_and_every_number(self, said: str, is_so: bool) -> None:
        assert is_supported(said, [BACKUPS, MANY]) is is_so
