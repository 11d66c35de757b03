"""Homonyms on both stores: split, read anew, never merged over, taken together again."""

from __future__ import annotations

import pytest

from services.ner.graph import GraphError, Wanted
from services.ner.store import Graph, Graphs
from tests.contract.reading import FIRM, PERSON, facts, ids, read, state

JOHN = {"John Smith": PERSON, "Tessel": FIRM}
WORKS = ("John Smith", "works_for", "Tessel")
ONE, OTHER = "John Smith joined Tessel.", "John Smith left Tessel."


async def two(graph: Graph) -> tuple[int, str]:
    """The number of a John Smith whom two documents name, and the second document's id."""
    await read(graph, ONE, JOHN, WORKS)
    document = await read(graph, OTHER, JOHN, WORKS)
    return (await ids(graph))["John Smith"], document


async def test_a_split_parts_mentions_and_facts(graph: Graph) -> None:
    """Each has its own; both are found by the name, and told apart by what a person called the other."""
    john, document = await two(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    found = await graph.entities("john smith", None, 10, None)

    assert split.source is not None
    assert (split.source.id, split.made.name, split.made.type, split.places) == (john, "John Smith (Brenn)", PERSON, 1)
    assert [(e.name, e.mentions) for e in found] == [("John Smith", 1), ("John Smith (Brenn)", 1)]
    assert [e.name for e in await graph.entities("brenn", None, 10, None)] == ["John Smith (Brenn)"]
    assert await facts(graph) == [(*WORKS, 1), ("John Smith (Brenn)", "works_for", "Tessel", 1)]
    assert await graph.splits(10, None) == [split]


async def test_undoing_gives_back_exactly_what_was(graph: Graph) -> None:
    """And the split is gone."""
    john, document = await two(graph)
    before = await state(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    undone = await graph.undo_split(split.id)

    assert (undone, await facts(graph)) == (split, [(*WORKS, 2)])
    assert [e.name for e in await graph.entities("john", None, 10, None)] == ["John Smith"]
    assert (await state(graph))[0] == before[0]
    with pytest.raises(GraphError):
        await graph.undo_split(split.id)


async def test_both_stay_apart_when_documents_are_read_anew(graph: Graph) -> None:
    """As a re-run with a better model does; a new document's John Smith is the one without a label."""
    john, document = await two(graph)
    await graph.split(john, [Wanted(document_id=document)], "Brenn")
    before = await facts(graph)
    for text in (OTHER, ONE, OTHER):
        await read(graph, text, JOHN, WORKS, provider="ollama")

    assert sorted(await facts(graph)) == sorted(before)
    await read(graph, "John Smith met Tessel.", JOHN, WORKS)
    assert (await facts(graph))[0][3] + (await facts(graph))[1][3] == 3
    assert {e.name: e.mentions for e in await graph.entities("john", None, 10, None)} == {
        "John Smith": 2,
        "John Smith (Brenn)": 1,
    }


async def test_two_in_one_document_are_parted_by_place(graph: Graph) -> None:
    """One mention stays, the other goes."""
    text = "John Smith met his namesake John Smith."
    document = await read(graph, text, {"John Smith": PERSON})
    john = (await ids(graph))["John Smith"]
    split = await graph.split(john, [Wanted(document_id=document, start=28)], "junior")
    found = await graph.entity(split.made.id)

    assert found is not None
    assert [(p.start, p.text) for p in found[2]] == [(28, "John Smith")]


async def test_nothing_merges_over_a_split(graph: Graph) -> None:
    """Neither by hand nor through a third name that is like both; a candidate never joins them."""
    john, document = await two(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    await read(graph, "Jon Smith slept.", {"Jon Smith": PERSON})
    third = (await ids(graph))["Jon Smith"]
    with pytest.raises(GraphError, match="undo that split first") as refused:
        await graph.merge(john, [split.made.id], across_types=True)
    await graph.merge(john, [third], across_types=False)

    assert refused.value.code == "kept-apart"
    assert await graph.candidates(10, None) == []
    with pytest.raises(GraphError, match="undo that split first"):
        await graph.merge(split.made.id, [third], across_types=False)
    await graph.undo_split(split.id)
    assert [e.mentions for e in await graph.entities("john", None, 10, None)] == [3]


async def test_one_that_was_merged_is_not_undone_under_it(graph: Graph) -> None:
    """The merge is undone first; then everything is as it was."""
    john, document = await two(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    await read(graph, "J. Smith slept.", {"J. Smith": PERSON})
    [merge] = await graph.merge(split.made.id, [(await ids(graph))["J. Smith"]], across_types=False)
    with pytest.raises(GraphError) as refused:
        await graph.undo_split(split.id)

    assert refused.value.code == "merged"
    await graph.undo(merge.id)
    await graph.undo_split(split.id)
    assert (await ids(graph))["John Smith"] == john


async def test_the_rest_keeps_its_name_when_the_source_is_gone(graph: Graph) -> None:
    """And takes the plain one back when the split is undone: nobody else has it."""
    john, document = await two(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    first = next(d.document_id for d in (await graph.entity(john) or ((), (), ()))[2])
    await graph.delete(first)

    assert [s.source for s in await graph.splits(10, None)] == [None]
    await graph.undo_split(split.id)
    assert {e.name for e in await graph.entities("john", None, 10, None)} == {"John Smith"}


async def test_a_name_that_comes_back_is_still_kept_apart(graph: Graph) -> None:
    """As after a rerun by a model that misses it, and another by one that does not."""
    john, document = await two(graph)
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    await read(graph, ONE, {"Tessel": FIRM})
    gone = [s.source for s in await graph.splits(10, None)]
    await read(graph, ONE, JOHN, WORKS)
    back = (await ids(graph))["John Smith"]

    assert (gone, await graph.candidates(10, None)) == ([None], [])
    assert [s.source and s.source.id for s in await graph.splits(10, None)] == [back]
    with pytest.raises(GraphError, match="undo that split first"):
        await graph.merge(back, [split.made.id], across_types=False)


@pytest.mark.parametrize("is_gone", [False, True], ids=["source there", "source gone"])
async def test_undoing_one_split_keeps_the_other(graph: Graph, is_gone: bool) -> None:
    """Of one that was split off twice over, and of two whose name is gone: what is one again stays apart from it."""
    john, document = await two(graph)
    third = await read(graph, "John Smith slept.", JOHN)
    wanted = [Wanted(document_id=d) for d in (document, third)]
    first = await graph.split(john, wanted[:1] if is_gone else wanted, "Brenn")
    second = await graph.split(john if is_gone else first.made.id, wanted[1:], "junior")
    if is_gone:
        await read(graph, ONE, {"Tessel": FIRM})
    await graph.undo_split(first.id)
    now = (await ids(graph))["John Smith"]

    assert [s.source and s.source.id for s in await graph.splits(10, None)] == [now]
    assert await graph.candidates(10, None) == []
    with pytest.raises(GraphError, match="undo that split first"):
        await graph.merge(now, [second.made.id], across_types=False)


async def test_a_deleted_document_takes_its_split_along(graph: Graph) -> None:
    """With the last mention of what was split off; nothing of it stays."""
    john, document = await two(graph)
    await graph.split(john, [Wanted(document_id=document)], "Brenn")
    await graph.delete(document)

    assert (await graph.splits(10, None), list(await ids(graph))) == ([], ["John Smith", "Tessel"])


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ([Wanted(document_id="nobody")], "not-its-mention"),
        ([Wanted(document_id="", start=3)], "not-its-mention"),
        ([Wanted(document_id="")], "nothing-left"),
    ],
    ids=["no document", "no mention there", "all of them"],
)
async def test_a_split_that_makes_no_sense_changes_nothing(graph: Graph, wanted: list[Wanted], code: str) -> None:
    document = await read(graph, ONE, JOHN, WORKS)
    before, john = await state(graph), (await ids(graph))["John Smith"]
    asked = [Wanted(document_id=w.document_id or document, start=w.start) for w in wanted]
    with pytest.raises(GraphError) as refused:
        await graph.split(john, asked, "Brenn")

    assert (refused.value.code, await state(graph)) == (code, before)


async def test_another_workspace_splits_nothing_here(graphs: Graphs, graph: Graph) -> None:
    john, document = await two(graph)
    theirs = graphs.of("theirs")
    split = await graph.split(john, [Wanted(document_id=document)], "Brenn")
    for refused in (theirs.split(john, [Wanted(document_id=document)], "x"), theirs.undo_split(split.id)):
        with pytest.raises(GraphError, match="no "):
            await refused

    assert await theirs.splits(10, None) == []
