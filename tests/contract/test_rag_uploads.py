"""A file from its upload to its deletion, through the whole service, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from services.rag import app as rag_app
from services.settings import load
from tests.service.scripted import ScriptedClient, served
from tests.service.test_rag_ingest import ended, texts, upload
from tests.unit.rag.papers import encrypted_pdf, pdf


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
