"""What NER may rely on from its graph, on SQLite and on PostgreSQL: evidence, retraction, merges, homonyms, walks."""

from __future__ import annotations

import pytest

from services.ner.graph import EndPattern, GraphError, Pattern
from services.ner.grounding import Fact, Mention, Name
from services.ner.shape import DEFAULT, FACTS, Predicate, Shape
from services.ner.store import Graph, Graphs
from tests.contract.reading import FIRM, PERSON, PLACE, facts, ids, made_by, read

MARA = {"Mara Quill": PERSON, "Tessel": FIRM}
WORKS = ("Mara Quill", "works_for", "Tessel")


class TestEvidence:
    async def test_a_fact_shows_who_found_it_where(self, graph: Graph) -> None:
        """Two documents, two producers, one fact; each quote is what stands in its document."""
        first = await read(graph, "Mara Quill joined Tessel.", MARA, WORKS)
        second = await read(graph, "At Tessel sits Mara Quill.", MARA, WORKS, provider="ollama")
        [fact] = await graph.relations(Pattern(), 10, None)
        found = await graph.provenance(fact.id)

        assert found is not None
        assert (found[0].evidence, [(e.document_id, e.quote, e.producer) for e in found[1]]) == (
            2,
            [
                (first, "Mara Quill joined Tessel.", made_by()),
                (second, "At Tessel sits Mara Quill.", made_by("ollama")),
            ],
        )

    async def test_a_quote_behind_wide_characters_is_cut_right(self, graph: Graph) -> None:
        """Places count characters on both databases, never bytes."""
        text = "𝄞 æøå. Mara Quill joined Tessel. 𝄞"
        await read(graph, text, MARA, WORKS)
        found = await graph.provenance(1)

        assert found is not None
        assert [e.quote for e in found[1]] == [text]

    async def test_deleting_retracts_what_nothing_else_supports(self, graph: Graph) -> None:
        """The fact lives on with one quote less, then goes with the last; so do the entities."""
        first = await read(graph, "Mara Quill joined Tessel.", MARA, WORKS)
        second = await read(graph, "Mara Quill is with Tessel in Brenn.", {**MARA, "Brenn": PLACE}, WORKS)

        assert await graph.delete(second)
        assert await facts(graph) == [(*WORKS, 1)]
        assert set(await ids(graph)) == set(MARA)
        assert await graph.delete(first)
        assert (await facts(graph), await ids(graph), await graph.delete(first)) == ([], {}, False)

    async def test_what_is_said_twice_is_kept_once(self, graph: Graph) -> None:
        """The same place under two spellings of one key, the same quote for the same fact."""
        text = "Tessel paid Mara Quill."
        mentions = [Mention(text="Tessel", type=FIRM, start=0, end=6)] * 2
        mentions.append(Mention(text="Mara Quill", type=PERSON, start=12, end=22))
        ends = Name(text="Tessel", type=FIRM), Name(text="MARA QUILL", type=PERSON)
        paid = Fact(subject=ends[0], predicate="paid", object=ends[1], quote=text, start=0, end=len(text))
        await graph.put(text, mentions, [paid, paid], made_by())

        assert {e.name: e.mentions for e in await graph.entities("", None, 10, None)} == {"Tessel": 1, "Mara Quill": 1}
        assert await facts(graph) == [("Tessel", "paid", "Mara Quill", 1)]

    async def test_a_name_on_every_line_of_a_long_text_is_kept(self, graph: Graph) -> None:
        """Fifty thousand places, in one transaction like any other."""
        text = "e\n" * 50_000
        await read(graph, text, {"e": PERSON})

        assert [e.mentions for e in await graph.entities("", None, 10, None)] == [50_000]

    async def test_reading_again_replaces_what_was_found(self, graph: Graph) -> None:
        """By whoever reads now: no fact of the older reading stays."""
        text = "Mara Quill joined Tessel in Brenn."
        await read(graph, text, MARA, WORKS)
        await read(graph, text, {"Tessel": FIRM, "Brenn": PLACE}, ("Tessel", "located_in", "Brenn"), provider="ollama")

        assert await facts(graph) == [("Tessel", "located_in", "Brenn", 1)]
        assert set(await ids(graph)) == {"Tessel", "Brenn"}


class TestWorkspaces:
    async def test_one_sees_nothing_of_another(self, graphs: Graphs) -> None:
        """Not by lists, not by number, not by merging, not by the same text."""
        mine, theirs = graphs.of("mine"), graphs.of("theirs")
        document = await read(mine, "Mara Quill joined Tessel.", MARA, WORKS)
        await read(mine, "Mara Quil called.", {"Mara Quil": PERSON})
        [first, second, *_] = sorted((await ids(mine)).values())
        [candidate] = await mine.candidates(10, None)

        assert (await ids(theirs), await facts(theirs), await theirs.candidates(10, None)) == ({}, [], [])
        assert (await theirs.document(document), await theirs.entity(first)) == (None, None)
        assert (await theirs.provenance(1), await theirs.neighbours(first, 3, 10)) == (None, None)
        assert await theirs.paths(first, second, 3, 10) is None
        assert not await theirs.delete(document)
        for refused in (theirs.merge(first, [second], across_types=True), theirs.reject(candidate.id)):
            with pytest.raises(GraphError, match="no "):
                await refused
        await read(theirs, "Mara Quill joined Tessel.", MARA)
        assert len(await facts(mine)) == 1


class TestLooking:
    async def test_patterns_find_what_fits(self, graph: Graph) -> None:
        """By type, part of a name, predicate, document, provider, and how often it is said."""
        one = await read(graph, "Mara Quill joined Tessel.", MARA, WORKS)
        await read(graph, "Mara Quill left Tessel.", MARA, WORKS, provider="ollama")
        names = {"Tessel": FIRM, "Brenn": PLACE}
        await read(graph, "Tessel sits in Brenn.", names, ("Tessel", "located_in", "Brenn"))
        located = ("Tessel", "located_in", "Brenn", 1)

        assert await facts(graph, Pattern(object=EndPattern(type=PLACE))) == [located]
        assert await facts(graph, Pattern(subject=EndPattern(name="QUILL"))) == [(*WORKS, 2)]
        assert await facts(graph, Pattern(subject=EndPattern(name="%"))) == []
        assert await facts(graph, Pattern(predicates=("located_in", "met"))) == [located]
        assert await facts(graph, Pattern(document_id=one, provider="vllm")) == [(*WORKS, 1)]
        assert await facts(graph, Pattern(provider="ollama")) == [(*WORKS, 1)]
        assert await facts(graph, Pattern(least_evidence=2)) == [(*WORKS, 2)]
        known = await ids(graph)
        assert len(await facts(graph, Pattern(entity=known["Tessel"]))) == 2
        assert await facts(graph, Pattern(object=EndPattern(id=known["Tessel"]))) == [(*WORKS, 2)]

    async def test_neighbours_come_by_distance(self, graph: Graph) -> None:
        """As far as asked, the nearest first, and with the facts between them; a cut says so."""
        names = dict.fromkeys("ABCDE", PERSON)
        chain = [(a, "met", b) for a, b in ("AB", "BC", "CD", "DE", "CA")]
        await read(graph, "A B C D E", names, *chain)
        known = await ids(graph)
        around = await graph.neighbours(known["A"], 2, 10)
        cut = await graph.neighbours(known["A"], 3, 3)

        assert around is not None
        assert [(n.name, n.depth) for n in around.nodes] == [("A", 0), ("B", 1), ("C", 1), ("D", 2)]
        assert [(r.subject.name, r.object.name) for r in around.relations] == [
            ("A", "B"),
            ("B", "C"),
            ("C", "D"),
            ("C", "A"),
        ]
        assert not around.is_cut
        assert cut is not None
        assert ([n.name for n in cut.nodes], cut.is_cut) == (["A", "B", "C"], True)

    async def test_the_shortest_ways_are_found(self, graph: Graph) -> None:
        """All of them, over facts in either direction, through merged names; none where nothing hangs together."""
        names = dict.fromkeys("ABCDEF", PERSON)
        await read(graph, "A B C D E F", names, *[(a, "met", b) for a, b in ("AB", "AC", "DB", "DC", "DE")])
        known = await ids(graph)

        async def ways(one: str, other: str, longest: int = 4) -> list[list[str]]:
            found = await graph.paths(known[one], known[other], longest, 10)
            assert found is not None
            return [[r.subject.name + r.object.name for r in way] for way in found]

        assert sorted(await ways("A", "E")) == [["AB", "DB", "DE"], ["AC", "DC", "DE"]]
        assert (await ways("A", "E", longest=2), await ways("A", "F"), await ways("A", "A")) == ([], [], [])
        await graph.merge(known["F"], [known["E"]], across_types=False)
        assert len(await ways("A", "F")) == 2
        assert await graph.paths(known["A"], 999, 4, 10) is None

    async def test_entities_are_paged_by_how_often_they_are_named(self, graph: Graph) -> None:
        """Every one once."""
        await read(graph, "A A B B C D", dict.fromkeys("ABCD", PERSON))
        seen, after = [], None
        while page := await graph.entities("", PERSON, 1, after):
            seen += [e.name for e in page]
            after = (page[-1].mentions, page[-1].id)

        assert seen == ["A", "B", "C", "D"]


class TestShapes:
    async def test_shapes_are_kept_by_name(self, graphs: Graphs) -> None:
        """Beside the built-in ones, which stay; another workspace has its own."""
        graph = graphs.of("mine")
        fleet = Shape(
            name="fleet", entity_types=("ship",), predicates=(Predicate(name="calls_at", subjects=("ship",)),)
        )

        assert await graph.keep_shape(fleet)
        assert await graph.shapes() == [DEFAULT, FACTS, fleet]
        assert (await graph.shape("fleet"), await graphs.of("theirs").shape("fleet")) == (fleet, None)
        assert not await graph.keep_shape(Shape(name="fleet", entity_types=("port",)))
        with pytest.raises(GraphError, match="built in"):
            await graph.keep_shape(Shape(name="facts", entity_types=("x",)))
        assert (await graph.delete_shape("fleet"), await graph.delete_shape("fleet")) == (True, False)
