"""The measurement of ingestion against a real RAG in a process of its own: all is counted, and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.evaluation.ingest_run import Footprint, quarters
from services.evaluation.ingesting import IngestError, ingested, texts_of
from services.evaluation.uploads import File
from services.settings import Settings
from services.stack.own_service import own_service
from tests.conftest import Quiet

PAGE = b"<html><body><p>Two.</p></body></html>"
FILES = {"a.md": b"# A\n\nOne.", "b.html": PAGE, "c.txt": b"\0\1\2\3", "d.md": b"# A\n\nOne."}


def named() -> Iterator[tuple[File, bytes]]:
    for name, data in FILES.items():
        yield File(path=Path("/nowhere") / name), data


@pytest.fixture
def env() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin"}


async def test_a_run_counts_what_was_stored_refused_and_there_already(settings: Settings, env: dict[str, str]) -> None:
    """Documents with their bytes and chunks, a failed job by its code; memory and the store's files were seen."""
    with own_service(settings, "rag", Quiet(), env=env, over={}) as rag:
        home = rag.store.parents[1]

        def look() -> Footprint:
            (service, children), (store, log) = rag.memory(), rag.store_bytes()
            held = {"service": service.anonymous, "children": children.anonymous, "service_files": service.files}
            return Footprint(at_s=0, **held, store=store, log=log, cpu_s=rag.cpu_s())

        run = await ingested(rag.url, "bench", named(), look, lambda line: None)
        texts = await texts_of(rag.url, run.documents)
        again = await ingested(rag.url, "again", named(), look, lambda line: None)

    assert (len(again.documents), again.same, dict(again.failed)) == (2, 1, {"binary-not-text": 1})
    assert sorted(text for one in texts for text in one) == ["# A\n\nOne.", "Two."]
    assert (len(run.documents), run.chunks, run.bytes) == (2, 2, len(FILES["a.md"]) + len(FILES["b.html"]))
    assert dict(run.failed) == {"binary-not-text": 1}
    assert run.took_s > 0
    assert run.seen[-1].service > 2**20
    assert run.seen[-1].service_files > 2**20
    assert run.busy_s.keys() == {"read", "cut", "embed", "store"}
    assert min(run.busy_s["read"], run.busy_s["cut"], run.busy_s["store"]) > 0 == run.busy_s["embed"]
    assert run.seen[-1].store > 0
    assert run.cpu_s >= 0
    assert sum(quarter.documents for quarter in quarters(run)) == 2
    assert not home.exists()


async def test_documents_without_vectors_are_no_figure_of_a_run_with_them(
    settings: Settings, env: dict[str, str]
) -> None:
    """RAG stores a document all the same where its embedder is down, and embeds it later."""
    over = {"EMBED_MODEL": "minilm", "EMBED_PROVIDERS": "ollama"}
    with own_service(settings, "rag", Quiet(), env=env, over=over) as rag:
        look = Footprint(at_s=0, service=0, children=0)
        with pytest.raises(IngestError, match="stored without vectors"):
            await ingested(rag.url, "bench", named(), lambda: look, lambda line: None, embeds=True)


async def test_a_service_that_is_gone_is_told(settings: Settings) -> None:
    with pytest.raises(IngestError, match="RAG does not answer"):
        await ingested("http://127.0.0.1:9", "bench", named(), lambda: Footprint(at_s=0, service=0, children=0), print)
