"""Names that somebody else saw in a document, on both stores: accepted, rejected, taken back, and gone with it."""

from __future__ import annotations

import pytest

from services.ner.graph import GraphError, Wanted
from services.ner.grounding import Mention, occurrences
from services.ner.name_candidates import NameCandidate, State, proposed
from services.ner.shape import DEFAULT
from services.ner.store import Graph, Graphs
from services.ner.tables import NAME_CANDIDATE, NAME_PLACE, READING
from services.ner.writing import document_id
from tests.contract.reading import FIRM, PERSON, PLACE, ids, made_by, read

TEXT = "Mara met Tessel in Brenn. Tessel paid."
SPACY = made_by("spacy")


async def saw(graph: Graph, names: dict[str, str], *, found: tuple[str, ...] = ("Mara",), text: str = TEXT) -> str:
    """The id of a document in which the model `found` these persons, and somebody else saw `names`."""
    mentions = [Mention(text=n, type=PERSON, start=a, end=b) for n in found for a, b in occurrences(text, n)]
    seen = [Mention(text=n, type=t, start=text.index(n), end=text.index(n) + len(n)) for n, t in names.items()]
    document, _ = await graph.put(text, mentions, [], made_by(), (proposed(text, seen, DEFAULT), SPACY))
    return document.id


async def candidates(graph: Graph, document: str, state: State | None = State.OPEN) -> list[NameCandidate]:
    found = await graph.name_candidates(document)
    assert found is not None
    return [one for one in found if state in (None, one.state)]


async def mentions(graph: Graph, document: str) -> list[tuple[str, int, str]]:
    """Each mention with its place, and who accepted it."""
    found = await graph.document(document)
    assert found is not None
    return [(m.text, m.start, m.producer.accepted_by if m.producer else "") for m in found[1]]


async def test_an_accepted_name_is_an_entity_at_all_its_places(graph: Graph) -> None:
    """As a name of the model is; the mentions say who saw it and who accepted it. Accepting twice is once."""
    document = await saw(graph, {"Tessel": FIRM})
    [one] = await candidates(graph, document)
    before = await ids(graph)
    accepted = [await graph.accept_name(document, one.id, "ana") for _ in range(2)]
    found = await graph.entity((await ids(graph))["Tessel"])

    assert (list(before), one.places) == (["Mara"], ((9, 15), (26, 32)))
    assert [(a.state, a.judged_by, a.entity) for a in accepted] == 2 * [("accepted", "ana", found and found[0].id)]
    assert found is not None
    assert [(p.start, p.end, p.text) for p in found[2]] == [(9, 15, "Tessel"), (26, 32, "Tessel")]
    assert found[2][0].producer == SPACY.model_copy(update={"accepted_by": "ana"})
    assert await mentions(graph, document) == [("Mara", 0, ""), ("Tessel", 9, "ana"), ("Tessel", 26, "ana")]
    assert [(d.mentions, d.producer) for d in await graph.documents(10, None)] == [(3, made_by())]


async def test_a_rejected_one_is_not_proposed_again(graph: Graph) -> None:
    """Not when the text is read anew and it is seen again; another name of the text is."""
    document = await saw(graph, {"Tessel": FIRM})
    [one] = await candidates(graph, document)
    await graph.reject_name(document, one.id, "ana")
    await saw(graph, {"Tessel": FIRM, "Brenn": PLACE})

    assert [(c.text, c.state) for c in await candidates(graph, document, None)] == [
        ("Tessel", "rejected"),
        ("Brenn", "open"),
    ]
    assert list(await ids(graph)) == ["Mara"]


async def test_both_are_taken_back(graph: Graph) -> None:
    """The entity goes with its last mention, and the candidate is open as it was. Undoing twice is once."""
    document = await saw(graph, {"Tessel": FIRM, "Brenn": PLACE})
    before = await candidates(graph, document)
    await graph.accept_name(document, before[0].id, "ana")
    await graph.reject_name(document, before[1].id, "ana")
    for one in (*before, *before):
        await graph.undo_name(document, one.id)

    assert await candidates(graph, document, None) == before
    assert (list(await ids(graph)), await mentions(graph, document)) == (["Mara"], [("Mara", 0, "")])


async def test_what_was_said_is_not_said_over(graph: Graph) -> None:
    """The other thing is said after an undo; a candidate of another document or workspace is none."""
    document = await saw(graph, {"Tessel": FIRM, "Brenn": PLACE})
    other = await read(graph, "Ivo slept.", {"Ivo": PERSON})
    firm, place = await candidates(graph, document)
    await graph.accept_name(document, firm.id, "ana")
    await graph.reject_name(document, place.id, "ana")

    for act, code in (
        (graph.reject_name(document, firm.id, "ana"), "accepted"),
        (graph.accept_name(document, place.id, "ana"), "rejected"),
        (graph.accept_name(other, firm.id, "ana"), "not-found"),
        (graph.undo_name(document, 999), "not-found"),
    ):
        with pytest.raises(GraphError) as refused:
            await act
        assert refused.value.code == code


async def test_a_workspace_sees_and_judges_its_own(graphs: Graphs, graph: Graph) -> None:
    document = await saw(graph, {"Tessel": FIRM})
    [one] = await candidates(graph, document)
    theirs = graphs.of("theirs")

    assert await theirs.name_candidates(document) is None
    with pytest.raises(GraphError):
        await theirs.accept_name(document, one.id, "eve")


async def test_an_accepted_name_outlives_a_reading(graph: Graph) -> None:
    """Found by the model as well it is counted once, is the same entity with its merges, and is back when it is not."""
    document = await saw(graph, {"Tessel": PERSON})
    [one] = await candidates(graph, document)
    await graph.accept_name(document, one.id, "ana")
    known = await ids(graph)
    await graph.merge(known["Mara"], [known["Tessel"]], across_types=False)
    states = []
    for found in (("Mara", "Tessel"), ("Mara",)):
        await saw(graph, {"Tessel": PERSON}, found=found)
        states.append(await mentions(graph, document))
    everything = await graph.entity(known["Tessel"])

    assert states == [
        [("Mara", 0, ""), ("Tessel", 9, ""), ("Tessel", 26, "")],
        [("Mara", 0, ""), ("Tessel", 9, "ana"), ("Tessel", 26, "ana")],
    ]
    assert everything is not None
    assert {n.id for n in everything[1]} == set(known.values())


async def test_a_split_holds_for_an_accepted_name(graph: Graph) -> None:
    """One of its places means another thing: also after the text is read anew, and until the acceptance is undone."""
    document = await saw(graph, {"Tessel": FIRM})
    [one] = await candidates(graph, document)
    await graph.accept_name(document, one.id, "ana")
    await graph.split((await ids(graph))["Tessel"], [Wanted(document_id=document, start=26)], "bank")
    await saw(graph, {"Tessel": FIRM})
    counts = {e.name: e.mentions for e in await graph.entities("", None, 10, None)}
    await graph.undo_name(document, one.id)

    assert counts == {"Mara": 1, "Tessel": 1, "Tessel (bank)": 1}
    assert list(await ids(graph)) == ["Mara"]


async def test_what_the_model_finds_is_no_candidate(graph: Graph) -> None:
    """It is one again where the next reading does not find it; what nobody sees any more goes."""
    document = await saw(graph, {"Tessel": PERSON, "Brenn": PLACE}, found=("Mara", "Tessel"))
    first = [c.text for c in await candidates(graph, document)]
    await read(graph, TEXT, {"Mara": PERSON})
    second = [c.text for c in await candidates(graph, document)]
    await saw(graph, {"Brenn": PLACE})

    assert (first, second) == (["Brenn"], ["Tessel", "Brenn"])
    assert [c.text for c in await candidates(graph, document)] == ["Brenn"]


async def test_all_goes_with_the_document(graph: Graph, graphs: Graphs) -> None:
    """True delete: no row of it stays, and a text that comes again is asked about again."""
    document = await saw(graph, {"Tessel": FIRM, "Brenn": PLACE})
    firm, place = await candidates(graph, document)
    await graph.accept_name(document, firm.id, "ana")
    await graph.reject_name(document, place.id, "ana")
    assert await graph.delete(document)
    tables = (NAME_CANDIDATE, NAME_PLACE, READING)
    left = [await graphs.database.read(lambda c, t=t: len(c.execute(t.select()).all())) for t in tables]

    assert (left, await ids(graph), await graph.name_candidates(document_id(TEXT))) == ([0, 0, 0], {}, None)
    await saw(graph, {"Tessel": FIRM})
    assert [c.text for c in await candidates(graph, document)] == ["Tessel"]


async def test_a_look_alike_is_told_as_one_of_the_model_is(graph: Graph) -> None:
    """A forged name becomes an entity of its own, and a person is asked whether the two are one."""
    await read(graph, "Tessel paid.", {"Tessel": FIRM})
    text = "Теssеl paid."
    document = await saw(graph, {"Теssеl": FIRM}, found=(), text=text)
    [one] = await candidates(graph, document)
    await graph.accept_name(document, one.id, "ana")
    [pair] = await graph.candidates(10, None)

    assert (pair.low.name, pair.high.name, pair.reason) == ("Tessel", "Теssеl", "lookalike")


async def test_another_spelling_is_the_same_entity(graph: Graph) -> None:
    """Case, width and invisible characters aside, as for names of the model."""
    await read(graph, "Tessel paid.", {"Tessel": FIRM})
    document = await saw(graph, {"TES\u00adSEL": FIRM}, found=(), text="Then TES\u00adSEL paid.")
    [one] = await candidates(graph, document)
    await graph.accept_name(document, one.id, "ana")

    assert [(e.name, e.mentions) for e in await graph.entities("", None, 10, None)] == [("Tessel", 2)]
