"""Which documents are read anew, and the job that ends with its result, on both stores."""

from __future__ import annotations

import pytest

from services.ner.grounding import Mention
from services.ner.store import Graph, Graphs
from services.ner.tables import JOBS
from services.store.jobs import Job, JobError, LeaseLost
from tests.contract.reading import PERSON, ids, made_by, read

NAMES = {"Mara": PERSON}
NOW = "2026-01-01T00:00:00.000+00:00"


async def claimed(graphs: Graphs) -> Job:
    job = await graphs.database.write(lambda c: JOBS.claim(c, at=NOW, lease_s=60.0))
    assert job is not None
    return job


async def again(graph: Graph, text: str, job: Job) -> None:
    """What the other engine found in the text: one name less."""
    await graph.put_again(text, [Mention(text="slept", type=PERSON, start=5, end=10)], [], made_by("vllm"), job)


async def test_they_are_chosen_by_who_read_them(graph: Graph, graphs: Graphs) -> None:
    """A dry run asks for nothing, asking twice is asking once, and another workspace has none."""
    await read(graph, "Mara slept.", NAMES, provider="ollama")
    await read(graph, "Mara woke.", NAMES, provider="vllm")
    dry = await graph.rerun("provider!=vllm", is_dry_run=True)
    none = await graph.jobs(10, before=None, state=None)
    twice = [await graph.rerun("provider!=vllm", is_dry_run=False) for _ in range(2)]

    assert (dry, none, twice) == (1, [], [1, 1])
    assert len(await graph.jobs(10, before=None, state=None)) == 1
    assert await graphs.of("theirs").rerun("provider!=vllm", is_dry_run=False) == 0


async def test_a_digest_is_known_by_how_it_begins(graph: Graph) -> None:
    """As lists of models show it; a percent sign in it is no wildcard."""
    digest = "8b7a" + 60 * "0"
    mention = Mention(text="Mara", type=PERSON, start=0, end=4)
    await graph.put("Mara slept.", [mention], [], made_by("ollama").model_copy(update={"digest": digest}))
    await read(graph, "Mara woke.", NAMES)
    wheres = ("digest=8b7a", f"digest={digest}", "digest!=8b7a", "digest=b7a", "digest=%7a")

    assert [await graph.rerun(where, is_dry_run=True) for where in wheres] == [1, 1, 1, 0, 0]


async def test_a_document_that_failed_twice_is_one(graph: Graph, graphs: Graphs) -> None:
    """Another rerun was asked for while the first ran; both gave up. The next one takes the place of both."""
    await read(graph, "Mara slept.", NAMES, provider="ollama")
    jobs = []
    for _ in range(2):
        await graph.rerun("provider=ollama", is_dry_run=False)
        jobs.append(await claimed(graphs))
    for job in jobs:
        error = JobError("caller", "refused", permanent=True)
        await graphs.database.write(lambda c, job=job, error=error: JOBS.failed(c, job, error, at=NOW))

    assert await graph.rerun("failed", is_dry_run=False) == 1
    assert [j.state for j in await graph.jobs(10, before=None, state=None)] == ["queued"]


async def test_the_result_and_the_end_of_its_job_come_together(graph: Graph, graphs: Graphs) -> None:
    """What was found before is gone with it."""
    document = await read(graph, "Mara slept.", NAMES, provider="ollama")
    await graph.rerun("provider=ollama", is_dry_run=False)
    job = await claimed(graphs)
    await again(graph, "Mara slept.", job)
    found = await graph.document(document)

    assert found is not None
    assert (found[0].producer.provider, list(await ids(graph))) == ("vllm", ["slept"])
    assert [j.state for j in await graph.jobs(10, before=None, state=None)] == ["done"]


async def test_a_deleted_document_does_not_come_back(graph: Graph, graphs: Graphs) -> None:
    """Its job is gone with it, so a late result finds its lease lost and writes nothing."""
    document = await read(graph, "Mara slept.", NAMES, provider="ollama")
    await graph.rerun("provider=ollama", is_dry_run=False)
    job = await claimed(graphs)
    await graph.delete(document)
    with pytest.raises(LeaseLost):
        await again(graph, "Mara slept.", job)

    assert (await graph.document(document), await ids(graph)) == (None, {})
