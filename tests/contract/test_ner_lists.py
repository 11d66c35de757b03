"""What NER's pages list, on SQLite and on PostgreSQL: documents, and mentions with the words around them."""

from __future__ import annotations

from services.ner.listing import AROUND_CHARS, BEGINNING_CHARS
from services.ner.store import Graph
from tests.contract.reading import FIRM, PERSON, ids, made_by, read

MARA = {"Mara Quill": PERSON, "Tessel": FIRM}


class TestDocuments:
    async def test_the_newest_comes_first_with_who_read_it(self, graph: Graph) -> None:
        """Each with its beginning and the number of its mentions, none included."""
        first = await read(graph, "Mara Quill joined Tessel.", MARA)
        second = await read(graph, "x" * (BEGINNING_CHARS + 1), {}, provider="ollama")
        found = await graph.documents(10, None)

        assert [(d.id, len(d.beginning), d.mentions, d.producer) for d in found] == [
            (second, BEGINNING_CHARS, 0, made_by("ollama")),
            (first, 25, 2, made_by()),
        ]

    async def test_the_next_page_goes_on_behind_the_last_one(self, graph: Graph) -> None:
        """By the number of a document, which no other workspace's documents can be reached by."""
        first = await read(graph, "Mara Quill joined Tessel.", MARA)
        await read(graph, "Mara Quill left Tessel.", MARA)
        [newest] = await graph.documents(1, None)

        assert [d.id for d in await graph.documents(10, newest.number)] == [first]


class TestContexts:
    async def test_a_mention_comes_with_the_words_around_it(self, graph: Graph) -> None:
        """Cut at so many characters, wide ones counted once, on either side."""
        text = "𝄞" * (AROUND_CHARS + 5) + " Tessel pays. " + "æ" * (2 * AROUND_CHARS)
        document = await read(graph, text, {"Tessel": FIRM})
        [said] = await graph.contexts((await ids(graph))["Tessel"], 10)

        assert (said.document_id, said.before, said.text) == (document, "𝄞" * (AROUND_CHARS - 1) + " ", "Tessel")
        assert (text[said.start : said.end], said.after) == ("Tessel", text[said.end : said.end + AROUND_CHARS])

    async def test_a_name_at_either_end_has_nothing_beside_it(self, graph: Graph) -> None:
        """Nor has a number that is no entity any mention."""
        await read(graph, "Tessel", {"Tessel": FIRM})
        [said] = await graph.contexts((await ids(graph))["Tessel"], 10)

        assert (said.before, said.text, said.after) == ("", "Tessel", "")
        assert await graph.contexts(10_000, 10) == []
