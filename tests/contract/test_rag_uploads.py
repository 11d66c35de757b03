"""A file from its upload to its deletion, through the whole service, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from services.rag import app as rag_app
from services.settings import load
from tests.service.scripted import ScriptedClient, served
from tests.service.test_rag_ingest import ended, texts, upload
from tests.unit.rag.papers import encrypted_pdf, pdf

NUL_IDS: tuple[tuple[str, str, dict[str, str] | None], ...] = (
    ("GET", "/v1/documents/a%00", None),
    ("DELETE", "/v1/documents/a%00", None),
    ("GET", "/v1/documents/a%00/chunks", None),
    ("POST", "/v1/documents/a%00/reindex", None),
    ("GET", "/v1/documents?collection=a%00", None),
    ("GET", "/v1/jobs/a%00", None),
    ("POST", "/v1/jobs/a%00/retry", None),
    ("DELETE", "/v1/jobs/a%00", None),
    ("GET", "/v1/collections/a%00", None),
    ("PUT", "/v1/collections/a%00", {"name": "A"}),
    ("DELETE", "/v1/collections/a%00", None),
    ("POST", "/v1/documents", {"title": "A", "text": "Words.", "collection": "a\0"}),
    ("POST", "/v1/documents", {"url": "https://example.org/", "collection": "a\0"}),
    ("POST", "/v1/search", {"query": "zebra", "collection": "a\0"}),
    ("POST", "/v1/ask", {"question": "zebra", "collection": "a\0"}),
)
"""Requests whose id no store can hold."""


async def test_a_file_is_taken_read_found_and_forgotten(store_url: str, tmp_path: Path) -> None:
    """Pages, reasons and the place of each passage are the same on both."""
    llm = ScriptedClient()
    settings = load({"CUTOVER_HOME": str(tmp_path), "RAG_STORE_URL": store_url})
    async with served(rag_app.build(settings, client=llm), llm) as rag:
        good = await ended(rag, (await upload(rag, "a.pdf", pdf("Zebra one.", "Zebra two."))).json()["id"])
        bad = await ended(rag, (await upload(rag, "b.pdf", encrypted_pdf())).json()["id"])
        path = f"/v1/documents/{good['document_id']}"
        [chunk] = (await rag.http.get(f"{path}/chunks")).json()["chunks"]
        again = await upload(rag, "a.pdf", pdf("Zebra one.", "Zebra two."))
        found = await texts(rag, "zebra")
        await rag.http.delete(path)

        assert (good["state"], bad["error"]["code"]) == ("done", "pdf-encrypted")
        assert (chunk["text"], chunk["page"], found) == ("Zebra one.\n\nZebra two.", 1, [chunk["text"]])
        assert (again.status_code, again.json()["id"]) == (200, good["document_id"])
        assert await texts(rag, "zebra") == []
        assert (await rag.http.get(f"{path}/chunks")).status_code == 404


async def test_an_id_that_no_store_can_hold_is_the_callers_fault(store_url: str, tmp_path: Path) -> None:
    """PostgreSQL takes no NUL: that is no reason to call the store ill."""
    llm = ScriptedClient()
    settings = load({"CUTOVER_HOME": str(tmp_path), "RAG_STORE_URL": store_url})
    async with served(rag_app.build(settings, client=llm), llm) as rag:
        answered = [(await rag.http.request(method, path, json=body)).status_code for method, path, body in NUL_IDS]

    assert answered == [422] * len(NUL_IDS)
