"""What a reading was asked for is kept with it, on both stores; a database from before gets room for it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from services.llm.types import Sampling
from services.ner.graph import Pattern
from services.ner.producers import Params
from services.ner.shape import DEFAULT, FACTS, Shape
from services.ner.store import Graph, Graphs
from services.ner.tables import JOBS
from tests.contract.reading import PERSON, made_by, read

NOW = "2026-01-01T00:00:00.000+00:00"
PARAMS = Params(schema="facts", relations=True, sampling=Sampling(max_tokens=77, temperature=0.5, seed=3, stop=("\n",)))
NAMES = {"Mara": PERSON, "Ivo": PERSON}


async def test_every_derived_row_says_how_it_was_asked(graph: Graph) -> None:
    """The document, its place in the list, each mention and each piece of evidence."""
    made = made_by().model_copy(update={"params": PARAMS})
    document = await read(graph, "Mara met Ivo.", NAMES, ("Mara", "met", "Ivo"), made=made)
    found, entity = await graph.document(document), await graph.entity(1)
    [fact] = await graph.relations(Pattern(), 10, None)
    shown = await graph.provenance(fact.id)

    assert found is not None
    assert entity is not None
    assert shown is not None
    said = [d.producer for d in await graph.documents(10, None)]
    said += [found[0].producer, entity[2][0].producer, shown[1][0].producer]
    said += [c.producer for c in await graph.contexts(1, 10)]
    assert said == 5 * [made]


@pytest.mark.parametrize(
    ("shape", "relations"), [(FACTS, False), (FACTS, True), (DEFAULT, False)], ids=["facts-names", "facts", "default"]
)
async def test_what_was_looked_for_is_found_again(graph: Graph, shape: Shape, relations: bool) -> None:
    """Also where the prompt version alone would not tell: facts' words without facts have that of names."""
    params = PARAMS.model_copy(update={"shape": shape.name, "relations": relations})
    made = made_by().model_copy(update={"params": params, "prompt_version": "entities-2"})

    assert await graph.asked(made) == (shape, relations)


async def test_a_limit_that_was_told_travels_with_the_job(graph: Graph, graphs: Graphs) -> None:
    """Asked for again without one, the job is asked for without; deleting the document takes it along."""
    document = await read(graph, "Mara slept.", {"Mara": PERSON}, provider="ollama")
    payloads = []
    for most in (300, None, 200):
        await graph.rerun("provider=ollama", is_dry_run=False, max_tokens=most)
        payloads += [dict(job.payload) for job in await graph.jobs(10, before=None, state=None)]
    await graph.delete(document)

    assert [p.pop("document") for p in payloads] == 3 * [document]
    assert payloads == [{"max_tokens": 300}, {}, {"max_tokens": 200}]
    assert await graphs.database.read(lambda c: JOBS.is_due(c, at=NOW)) is False


async def test_a_database_from_before_is_led_over(store_url: str) -> None:
    """Its readings stay, and say nothing of what nobody kept."""
    async with Graphs(store_url) as old:
        document = await read(old.of("default"), "Mara slept.", {"Mara": PERSON})
        for line in ("DROP COLUMN params", "DROP COLUMN accepted_by"):
            await old.database.write(lambda c, line=line: c.execute(text(f"ALTER TABLE reading {line}")))
        keep = "PRAGMA user_version=3" if store_url.startswith("sqlite") else "UPDATE schema_version SET version = 3"
        await old.database.write(lambda c: c.execute(text(keep)))
    async with Graphs(store_url) as graphs:
        found = await graphs.of("default").document(document)

    assert found is not None
    assert (found[0].producer, [m.text for m in found[1]]) == (made_by(), ["Mara"])
    assert (found[0].producer.params, found[0].producer.accepted_by) == (None, "")
