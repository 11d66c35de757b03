"""Questions to one's notes: answers that rest on sentences which are there, or none at all."""

from __future__ import annotations

import pytest

from services.llm.errors import DeadError
from services.notes.passages import PASSAGE_BYTES
from tests.service.scripted import Desk, answer, cut, ended, events

LONG = "# Fans\n" + "Nothing of note here. " * 60 + "\n# Swap\nMara is away. Ivo swaps the fan of gpu-2 on Thursday.\n"
ASK = {"question": "Who swaps the fan?", "k": 2}


async def add(notes: Desk, title: str, text: str) -> str:
    return str((await notes.http.post("/v1/notes", json={"title": title, "text": text})).json()["id"])


class TestAnswers:
    async def test_the_citation_is_the_sentence_of_the_note_that_the_answer_rests_on(self, notes: Desk) -> None:
        """Exactly at its place, even deep in a long note; the note was read again to see it there."""
        await add(notes, "Lunch", "Soup.")
        note = await add(notes, "Plan", LONG)
        notes.llm.answers = [answer("Ivo swaps it [1].")]
        response = await notes.http.post("/v1/ask", json=ASK)

        body = response.json()
        [cited] = body["citations"]
        assert (body["answerable"], cited["note_id"], cited["verified"]) == (True, note, True)
        assert cited["quote"] == LONG[cited["start"] : cited["end"]] == "Ivo swaps the fan of gpu-2 on Thursday."
        assert body["llm"]["provider"] == response.headers["x-llm-provider"] == "vllm"

    async def test_the_model_is_shown_the_fitting_passages_only(self, notes: Desk) -> None:
        """Numbered, with their titles; no more than asked for, none of a note without the words."""
        await add(notes, "Plan", LONG)
        await add(notes, "Lunch", "Soup.")
        await notes.http.post("/v1/ask", json={**ASK, "k": 1})

        said = notes.llm.requests[0].messages[-1].content
        assert said.startswith("Question: Who swaps the fan?\n\nPassages:\n[1] Plan: ")
        assert "Ivo swaps the fan" in said
        assert "[2]" not in said
        assert "Soup" not in said
        assert len(said) < PASSAGE_BYTES + 100

    async def test_where_no_note_has_a_word_of_it_no_model_is_asked(self, notes: Desk) -> None:
        await add(notes, "Lunch", "Soup.")
        body = (await notes.http.post("/v1/ask", json=ASK)).json()

        assert (body["answerable"], body["citations"], body["llm"], notes.llm.requests) == (False, [], None, [])

    @pytest.mark.parametrize("said", ["not stated", "Not stated.", "This is not mentioned in the passages.", " "])
    async def test_a_model_that_finds_nothing_cites_nothing(self, notes: Desk, said: str) -> None:
        await add(notes, "Plan", LONG)
        notes.llm.answers = [answer(said)]
        body = (await notes.http.post("/v1/ask", json=ASK)).json()

        assert (body["answerable"], body["citations"]) == (False, [])

    async def test_a_strict_answer_is_none_where_the_passages_do_not_bear_it_out(self, notes: Desk) -> None:
        """A number that no passage has was made up; without strict it comes, for the reader to judge."""
        await add(notes, "Plan", LONG)
        notes.llm.answers = [answer("Ivo swaps the fan of gpu-7.")]
        loose = (await notes.http.post("/v1/ask", json=ASK)).json()
        strict = (await notes.http.post("/v1/ask", json={**ASK, "strict": True})).json()
        notes.llm.answers = [answer("Ivo swaps the fan of gpu-2.")]
        borne_out = (await notes.http.post("/v1/ask", json={**ASK, "strict": True})).json()

        assert "gpu-7" in loose["answer"]
        assert (strict["answerable"], strict["citations"]) == (False, [])
        assert "gpu-7" not in strict["answer"]
        assert (borne_out["answer"], borne_out["answerable"]) == ("Ivo swaps the fan of gpu-2.", True)

    async def test_an_archived_note_answers_nothing(self, notes: Desk) -> None:
        note = await add(notes, "Plan", LONG)
        await notes.http.put(f"/v1/notes/{note}/archived", json={"archived": True})

        assert (await notes.http.post("/v1/ask", json=ASK)).json()["llm"] is None

    async def test_what_no_window_holds_is_413(self, notes: Desk) -> None:
        """Nothing is cut in silence."""
        await add(notes, "Plan", LONG)
        response = await notes.http.post("/v1/ask", json={"question": "fan " * 250, "max_tokens": 1024, "k": 20})
        none = await notes.http.post("/v1/ask", json={"question": "€" * 900 + " fan", "max_tokens": 1024})

        assert (response.status_code, none.status_code) == (200, 413)

    @pytest.mark.parametrize("body", [{}, {"question": ""}, {"question": "x", "k": 0}, {"question": "x", "k": 21}])
    async def test_nonsense_is_422(self, notes: Desk, body: dict[str, object]) -> None:
        assert (await notes.http.post("/v1/ask", json=body)).status_code == 422


class TestStreams:
    async def test_passages_come_first_then_tokens_citations_and_the_end(self, notes: Desk) -> None:
        await add(notes, "Plan", LONG)
        notes.llm.steps = ended(answer("Ivo swaps it."))
        told = events((await notes.http.post("/v1/ask", json={**ASK, "stream": True})).text)

        assert [name for name, _ in told] == ["retrieved", "token", "token", "token", "citations", "done"]
        assert told[0][1]["passages"][0]["title"] == "Plan"
        assert told[-2][1]["citations"] == told[-1][1]["citations"]
        assert (told[-1][1]["answer"], told[-1][1]["outcome"]) == ("Ivo swaps it.", "complete")

    async def test_nothing_found_ends_the_stream_as_well(self, notes: Desk) -> None:
        told = events((await notes.http.post("/v1/ask", json={**ASK, "stream": True})).text)

        assert [name for name, _ in told] == ["retrieved", "citations", "done"]
        assert not told[-1][1]["answerable"]

    @pytest.mark.parametrize("error", [DeadError("gone"), cut("Ivo")])
    async def test_a_stream_that_fails_says_so_last(self, notes: Desk, error: Exception) -> None:
        await add(notes, "Plan", LONG)
        notes.llm.steps = [error]
        told = events((await notes.http.post("/v1/ask", json={**ASK, "stream": True})).text)

        assert [name for name, _ in told] == ["retrieved", "error"]
        assert told[-1][1]["type"].startswith("urn:cutover:problem:")
