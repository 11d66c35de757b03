"""NER's pages of texts and documents, without a browser: what is marked, what is kept apart, what is never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.llm.errors import AllProvidersFailed, DeadError, ErrorType
from services.ner.grounding import Mention, Why
from services.ner.shape import EntityType
from services.ner.ui import WHYS
from services.ner.ui_marks import HUES, Piece, hue, pieces
from tests.service.scripted import Desk, answer

TEXT = "Mara Quill works for Tessel. Tessel makes Lubrex 40."
OURS = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = "<img src=x onerror=alert(1)>\"'&<script>alert(2)</script>"


def found(names: dict[str, str], *facts: tuple[str, str, str, str]) -> str:
    keys = ("quote", "subject", "predicate", "object")
    return json.dumps(
        {
            "entities": [{"text": t, "type": k} for t, k in names.items()],
            "relations": [dict(zip(keys, fact, strict=True)) for fact in facts],
        }
    )


async def sent(ner: Desk, path: str, status: int = 200, **fields: str) -> str:
    """The page that a form leads to, after its redirect."""
    reply = await ner.http.post(f"/ui{path}", data=fields, headers=OURS)
    if reply.status_code == 303:
        reply = await ner.http.get(reply.headers["Location"])
    assert reply.status_code == status, reply.text
    return str(reply.text)


async def seen(ner: Desk, path: str, status: int = 200, **params: Any) -> str:
    reply = await ner.http.get(f"/ui{path}", params=params or None)
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, "text/html; charset=utf-8"), reply.text
    return str(reply.text)


async def read(ner: Desk, text: str, names: dict[str, str], *facts: tuple[str, str, str, str]) -> str:
    """The id of a document of the API, so that pages show what it stored."""
    ner.llm.answers = [answer(found(names, *facts))]
    reply = await ner.http.post("/v1/documents", json={"text": text, "relations": True})
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


class TestMarks:
    def test_the_pieces_are_the_whole_text(self) -> None:
        """With names that overlap, and a passage across them."""
        mentions = [
            Mention(text="Mara Quill", type="person", start=0, end=10),
            Mention(text="Quill", type="place", start=5, end=10),
        ]
        cut = pieces(TEXT, mentions, (5, 15))

        assert "".join(p.text for p in cut) == TEXT
        assert cut[:3] == [
            Piece(text="Mara ", types=("person",)),
            Piece(text="Quill", types=("person", "place"), ends=tuple(mentions), is_cited=True, is_first_cited=True),
            Piece(text=" work", is_cited=True),
        ]

    @pytest.mark.parametrize("cited", [(3, 3), (9, 4), (0, 1000), (-1, 4)])
    def test_a_passage_outside_of_the_text_is_none(self, cited: tuple[int, int]) -> None:
        """A link may be old, and a document read anew."""
        assert not any(p.is_cited for p in pieces(TEXT, [], cited))

    def test_an_empty_text_has_no_pieces(self) -> None:
        assert pieces("", []) == []

    def test_each_usual_type_has_a_colour_of_its_own(self) -> None:
        """Another type has one of the rest, always the same."""
        usual = [hue(str(kind)) for kind in EntityType]

        assert len(set(usual)) == len(usual)
        assert hue("ship") == hue("ship") not in usual
        assert all(0 <= hue(kind) < HUES for kind in ("ship", "port", "æ"))


class TestLooking:
    async def test_names_are_marked_and_say_who_found_them(self, ner: Desk) -> None:
        """Nothing is stored by looking."""
        ner.llm.answers = [answer(found({"Mara Quill": "person", "Gandalf": "person"}))]
        page = await sent(ner, "/", text=TEXT, act="look")

        assert '<mark class="name kind-0">Mara Quill<small class="type"> person</small></mark>' in page
        assert "Answered by <strong>vllm</strong>" in page
        assert "the model made them up" in page
        assert "<li>Gandalf</li>" in page
        assert "Nothing was read yet" in await seen(ner, "/documents")

    async def test_facts_come_with_quotes_and_refused_ones_with_the_reason(self, ner: Desk) -> None:
        """By the schema that was chosen."""
        names = {"Mara Quill": "person", "Tessel": "organisation"}
        works = ("Mara Quill works for Tessel.", "Mara Quill", "works_for", "Tessel")
        made_up = ("Mara Quill left Tessel.", "Mara Quill", "works_for", "Tessel")
        ner.llm.answers = [answer(found(names, works, made_up))]
        page = await sent(ner, "/", text=TEXT, schema="facts", act="look")

        assert "<blockquote>Mara Quill works for Tessel.</blockquote>" in page
        assert WHYS[Why.NO_QUOTE] in page
        assert '<option value="facts" selected>' in page

    async def test_reading_keeps_the_document(self, ner: Desk) -> None:
        """Under its id, which the page links; read twice it is told to be known."""
        ner.llm.answers = [answer(found({"Tessel": "organisation"}))]
        first = await sent(ner, "/", text=TEXT, act="read")
        again = await sent(ner, "/", text=TEXT, act="read")
        [document] = (await ner.http.get("/v1/documents")).json()["documents"]

        assert "Read into the graph." in first
        assert f"/ui/documents/{document['id']}" in first
        assert "This text was known" in again

    async def test_line_breaks_of_a_browser_count_once(self, ner: Desk) -> None:
        """Forms send CR LF; places are those of the text that was typed."""
        ner.llm.answers = [answer(found({"Tessel": "organisation"}))]
        await sent(ner, "/", text="One.\r\nTessel.", act="read")
        [document] = (await ner.http.get("/v1/documents")).json()["documents"]
        kept = (await ner.http.get(f"/v1/documents/{document['id']}")).json()

        assert (kept["text"], kept["entities"][0]["start"]) == ("One.\nTessel.", 5)

    @pytest.mark.parametrize(
        ("text", "schema", "status"), [("   ", "", 422), (TEXT, "nowhere", 404), (TEXT, "No Slug", 422)]
    )
    async def test_what_was_typed_is_still_there_after_a_refusal(
        self, ner: Desk, text: str, schema: str, status: int
    ) -> None:
        """With the reason in words beside it."""
        page = await sent(ner, "/", status, text=text, schema=schema, act="look")

        assert "Nothing was read." in page
        assert f">\n{text}</textarea>" in page

    async def test_a_dead_engine_loses_no_text(self, ner: Desk) -> None:
        """The page says who did not answer, and where to look."""
        ner.llm.answers = [AllProvidersFailed((DeadError("down", provider="vllm", type=ErrorType.CONNECT),))]
        page = await sent(ner, "/", 503, text=TEXT, act="read")

        assert "vllm: connect" in page
        assert (TEXT in page, "Engines" in page) == (True, True)

    async def test_a_fallback_is_told_in_words(self, ner: Desk) -> None:
        error = DeadError("down", provider="vllm", type=ErrorType.CONNECT)
        ner.llm.answers = [answer(found({"Tessel": "organisation"}), provider="ollama", error=error)]
        page = await sent(ner, "/", text=TEXT, act="look")

        assert "vLLM did not answer" in page
        assert "Ollama did." in page


class TestDocuments:
    async def test_the_cited_passage_is_marked(self, ner: Desk) -> None:
        """With the id that the page jumps to; names in it keep their type."""
        document = await read(ner, TEXT, {"Tessel": "organisation"})
        page = await seen(ner, f"/documents/{document}", start=11, end=28)

        assert 'id="passage"' in page
        assert '<mark class="cited">works for </mark>' in page
        assert '<mark class="name kind-1 cited">Tessel' in page
        assert "Made by <strong>vllm</strong>" in page

    async def test_the_next_page_of_the_list_follows(self, ner: Desk) -> None:
        """The newest first."""
        for number in range(26):
            await read(ner, f"Text {number} of Tessel.", {"Tessel": "organisation"})
        first = await seen(ner, "/documents")
        onward = first.split('rel="next" href="?')[1].split('"')[0].replace("&amp;", "&")
        second = await seen(ner, f"/documents?{onward}")

        assert ("Text 25 of" in first, "Text 0 of" in first) == (True, False)
        assert ("Text 0 of" in second, "Text 1 of" in second) == (True, False)

    async def test_deleting_asks_first_and_then_deletes(self, ner: Desk) -> None:
        """Without any script."""
        document = await read(ner, TEXT, {"Tessel": "organisation"})
        asks = await seen(ner, f"/documents/{document}/delete")
        after = await sent(ner, f"/documents/{document}/delete")

        assert "Its 2 mentions go with it" in asks
        assert "Nothing was read yet" in after
        assert "Not found" in await seen(ner, f"/documents/{document}", 404)
        assert "Not found" in await sent(ner, f"/documents/{document}/delete", 404)

    async def test_a_document_of_no_storable_name_is_refused(self, ner: Desk) -> None:
        """PostgreSQL takes no NUL; the store must not be asked for one."""
        await seen(ner, "/?document_id=%00", 422)

    async def test_another_site_cannot_delete(self, ner: Desk) -> None:
        """Nor a page of another port of this host."""
        document = await read(ner, TEXT, {"Tessel": "organisation"})
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {}):
            refused = await ner.http.post(f"/ui/documents/{document}/delete", headers=headers)
            assert refused.status_code == 403

        assert (await ner.http.get(f"/v1/documents/{document}")).status_code == 200
