"""Entities that are the same, on both stores: merged, proposed, taken apart again."""

from __future__ import annotations

import pytest

from services.ner.graph import GraphError
from services.ner.store import Graph
from tests.contract.reading import FIRM, PERSON, PLACE, facts, ids, read, state

MARA = {"Mara Quill": PERSON, "Tessel": FIRM}
WORKS = ("Mara Quill", "works_for", "Tessel")


class TestMerges:
    async def test_two_names_become_one_entity(self, graph: Graph) -> None:
        """With the mentions, names and facts of both; what said the same of both is one fact."""
        await read(graph, "Mara Quill joined Tessel.", MARA, WORKS)
        await read(graph, "Quill, of Tessel.", {"Quill": PERSON, "Tessel": FIRM}, ("Quill", "works_for", "Tessel"))
        known = await ids(graph)
        await graph.merge(known["Mara Quill"], [known["Quill"]], across_types=False)
        found = await graph.entity(known["Quill"])

        assert found is not None
        entity, names, places = found
        assert (entity.name, entity.mentions, len(places)) == ("Mara Quill", 2, 2)
        assert [(n.name, n.mentions) for n in names] == [("Mara Quill", 1), ("Quill", 1)]
        assert await facts(graph) == [(*WORKS, 2)]

    async def test_a_merge_makes_no_self_loop(self, graph: Graph) -> None:
        """A fact between two names of one entity is not shown; it is back when the merge is undone."""
        names = {"Mara Quill": PERSON, "Quill": PERSON}
        await read(graph, "Mara Quill met Quill.", names, ("Mara Quill", "met", "Quill"))
        known = await ids(graph)
        [merge] = await graph.merge(known["Quill"], [known["Mara Quill"]], across_types=False)

        assert (await facts(graph), await graph.provenance(1)) == ([], None)
        around = await graph.neighbours(known["Quill"], 3, 10)
        assert around is not None
        assert ([n.name for n in around.nodes], around.relations) == (["Quill"], [])
        await graph.undo(merge.id)
        assert await facts(graph) == [("Mara Quill", "met", "Quill", 1)]

    async def test_undo_restores_exactly_in_any_order(self, graph: Graph) -> None:
        """Three entities in one, the first merge undone first: each step is as if the other had been alone."""
        text = "Ann Berg, Ann Borg and Ann Burg met Tessel."
        names = {"Ann Berg": PERSON, "Ann Borg": PERSON, "Ann Burg": PERSON, "Tessel": FIRM}
        await read(graph, text, names, ("Ann Berg", "met", "Tessel"), ("Ann Burg", "met", "Tessel"))
        known, before = await ids(graph), await state(graph)
        [inner] = await graph.merge(known["Ann Borg"], [known["Ann Berg"]], across_types=False)
        with_inner = await state(graph)
        [outer] = await graph.merge(known["Ann Burg"], [known["Ann Borg"]], across_types=False)

        assert set(await ids(graph)) == {"Ann Burg", "Tessel"}
        await graph.undo(outer.id)
        assert await state(graph) == with_inner
        await graph.merge(known["Ann Burg"], [known["Ann Borg"]], across_types=False)
        await graph.undo(inner.id)
        assert set(await ids(graph)) == {"Ann Berg", "Ann Burg", "Tessel"}
        [last, *_] = await graph.merges(10, None)
        assert (await graph.undo(last.id)).undone_at is not None
        assert await state(graph) == before

    async def test_what_is_read_later_stays_when_a_merge_is_undone(self, graph: Graph) -> None:
        """Each mention belongs to the name that was read."""
        await read(graph, "Ann Berg and Ann Borg.", {"Ann Berg": PERSON, "Ann Borg": PERSON})
        known = await ids(graph)
        [merge] = await graph.merge(known["Ann Berg"], [known["Ann Borg"]], across_types=False)
        await read(graph, "Ann Borg again.", {"Ann Borg": PERSON})
        await graph.undo(merge.id)

        found = await graph.entities("", None, 10, None)
        assert {e.name: e.mentions for e in found} == {"Ann Borg": 2, "Ann Berg": 1}

    async def test_a_merge_outlives_a_document_of_one_name(self, graph: Graph) -> None:
        """While any name of the entity is mentioned; with the last mention all goes, the log included."""
        first = await read(graph, "Ann Berg.", {"Ann Berg": PERSON})
        second = await read(graph, "Ann Borg.", {"Ann Borg": PERSON})
        known = await ids(graph)
        await graph.merge(known["Ann Berg"], [known["Ann Borg"]], across_types=False)
        await graph.delete(first)

        assert await ids(graph) == {"Ann Berg": known["Ann Berg"]}
        await graph.delete(second)
        assert (await ids(graph), await graph.merges(10, None)) == ({}, [])

    async def test_a_name_that_only_a_merge_kept_goes_when_it_is_undone(self, graph: Graph) -> None:
        """Nobody mentions it any more; it is in no list, and in no export either."""
        await read(graph, "Ann Berg.", {"Ann Berg": PERSON})
        second = await read(graph, "Ann Borg.", {"Ann Borg": PERSON})
        known = await ids(graph)
        [merge] = await graph.merge(known["Ann Berg"], [known["Ann Borg"]], across_types=False)
        await graph.delete(second)

        assert (await graph.undo(merge.id)).undone_at is not None
        assert [n.name for n in (await graph.whole(None, 10)).nodes] == ["Ann Berg"]
        assert await graph.entity(known["Ann Borg"]) is None

    async def test_types_are_kept_apart_unless_one_insists(self, graph: Graph) -> None:
        """And merging what is one already merges nothing."""
        await read(graph, "Tessel, the firm.", {"Tessel": FIRM})
        await read(graph, "Tessel, the town.", {"Tessel": PLACE})
        one, other = sorted(e.id for e in await graph.entities("", None, 10, None))

        with pytest.raises(GraphError, match="across_types"):
            await graph.merge(one, [other], across_types=False)
        assert len(await graph.merge(one, [other], across_types=True)) == 1
        assert await graph.merge(other, [one], across_types=False) == []


class TestCandidates:
    async def test_likes_are_asked_about_and_nothing_is_merged(self, graph: Graph) -> None:
        """A look-alike first, with why; another type or another number is none."""
        await read(graph, "Tessel paid.", {"Tessel": FIRM})
        await read(graph, "Теssеl paid.", {"Теssеl": FIRM})
        await read(graph, "Tessels paid.", {"Tessels": FIRM})
        await read(graph, "Tessel again.", {"Tessel": PLACE})
        found = await graph.candidates(10, None)

        assert [(c.low.name, c.high.name, c.reason) for c in found][:1] == [("Tessel", "Теssеl", "lookalike")]
        assert {c.reason for c in found[1:]} == {"similar"}
        assert PLACE not in {end.type for c in found for end in (c.low, c.high)}
        assert len(await ids(graph)) == 3  # two of the four share a name, not a type

    async def test_accepting_merges_into_the_better_known(self, graph: Graph) -> None:
        """And the question is gone; undone, it is back."""
        await read(graph, "Mara Quil.", {"Mara Quil": PERSON})
        await read(graph, "Mara Quill and Mara Quill.", {"Mara Quill": PERSON})
        [candidate] = await graph.candidates(10, None)
        [merge] = await graph.accept(candidate.id)

        assert (merge.winner.name, await graph.candidates(10, None)) == ("Mara Quill", [])
        await graph.undo(merge.id)
        assert await graph.candidates(10, None) == [candidate]

    async def test_a_rejected_candidate_never_comes_back(self, graph: Graph) -> None:
        """Not when the documents are read again after deletion, nor by a third name that is merged with one of them."""
        names = {"Mara Quill": PERSON, "Mara Quil": PERSON}
        document = await read(graph, "Mara Quill, Mara Quil.", names)
        [candidate] = await graph.candidates(10, None)
        await graph.reject(candidate.id)
        await graph.delete(document)
        await read(graph, "Mara Quil, Mara Quill.", dict(reversed(names.items())))

        assert await graph.candidates(10, None) == []
        await read(graph, "Mara Quilll.", {"Mara Quilll": PERSON})
        known = await ids(graph)
        await graph.merge(known["Mara Quill"], [known["Mara Quilll"]], across_types=False)
        assert await graph.candidates(10, None) == []

    async def test_pages_hold_every_candidate_once(self, graph: Graph) -> None:
        """Those with the same score as well."""
        names = {f"Ann Berg{letter}": PERSON for letter in "abcdef"}
        await read(graph, ", ".join(names), names)
        every = await graph.candidates(100, None)
        seen, after = [], None
        while page := await graph.candidates(2, after):
            seen += page
            after = (round(page[-1].score * 1000), page[-1].id)

        assert seen == every
        assert len(every) > 4
