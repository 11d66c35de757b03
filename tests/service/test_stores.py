"""The stores: what was said to be kept is kept, and what was deleted is gone. Killed ones: tests/contract."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ner.grounding import Mention
from services.ner.producers import Made
from services.ner.store import Graph, Graphs
from services.notes.notebook import StoredNotebooks
from services.notes.store import Notebook, Summary, VersionConflict
from services.rag.chunking import passages
from services.rag.store import Documents
from services.rag.store_documents import StoredDocuments
from services.store.sqlite import url_of
from services.web.provenance import Producer

SECRET, STEM = "xylophonically", "xylophon"
TEXT = f"The word is {SECRET}.\n\n" + "Filler words stand here. " * 60
MADE = Producer(provider="vllm", engine="vllm", model="tiny", prompt_version="1", at="now")
READ = Made(**MADE.model_dump())


class TestReopened:
    async def test_documents_survive(self, tmp_path: Path) -> None:
        """What one process stored the next one finds, by id and by word."""
        async with documents(tmp_path) as store:
            kept, _ = await store.add("A", TEXT, passages(TEXT))

        async with documents(tmp_path) as store:
            assert await store.get(kept.id) == kept
            assert [h.document_id for h in await store.search(SECRET, 3)] == [kept.id]

    async def test_notes_and_their_summaries_survive(self, tmp_path: Path) -> None:
        """Version, text and summary are as they were."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", TEXT)
            kept = await store.summarised(note.id, Summary(text="s", of_version=1, producer=MADE))

        async with notebook(tmp_path) as store:
            assert await store.get(note.id) == kept

    async def test_the_graph_survives(self, tmp_path: Path) -> None:
        """Documents are as they were."""
        async with graph(tmp_path) as store:
            document, _ = await store.put(TEXT, [], [], READ)

        async with graph(tmp_path) as store:
            assert await store.document(document.id) == (document, [])


class TestDeleted:
    async def test_no_byte_of_a_deleted_document_stays(self, tmp_path: Path) -> None:
        """Not in the tables, not in the word index, not in free pages, not in the write-ahead log."""
        async with documents(tmp_path) as store:
            await store.add("Other", "Stays.", passages("Stays."))
            document, _ = await store.add("A", TEXT, passages(TEXT))
            assert held(tmp_path)
            await store.delete(document.id)
            assert not held(tmp_path)

    async def test_no_byte_of_a_deleted_note_stays(self, tmp_path: Path) -> None:
        """The same for a note and its summary."""
        async with notebook(tmp_path) as store:
            await store.add("Other", "Stays.")
            note = await store.add("A", TEXT)
            await store.summarised(note.id, Summary(text=SECRET, of_version=1, producer=MADE))
            assert held(tmp_path)
            await store.delete(note.id)
            assert not held(tmp_path)

    async def test_no_byte_of_a_retracted_document_stays(self, tmp_path: Path) -> None:
        """The same for what NER has read."""
        word = Mention(text=SECRET, type="product", start=12, end=12 + len(SECRET))
        async with graph(tmp_path) as store:
            document, _ = await store.put(TEXT, [word], [], READ)
            assert held(tmp_path)
            await store.delete(document.id)
            assert not held(tmp_path)


@contextlib.asynccontextmanager
async def graph(folder: Path) -> AsyncIterator[Graph]:
    async with Graphs(url_of(folder / "ner.db")) as store:
        yield store.of("default")


@contextlib.asynccontextmanager
async def documents(folder: Path) -> AsyncIterator[Documents]:
    async with StoredDocuments(url_of(folder / "rag.db")) as store:
        yield store.of("default")


@contextlib.asynccontextmanager
async def notebook(folder: Path) -> AsyncIterator[Notebook]:
    async with StoredNotebooks(url_of(folder / "notes.db")) as store:
        yield store.of("default")


def held(folder: Path) -> bool:
    """Whether any file of `folder` holds the secret word, whole or as the index stems it."""
    return any(STEM.encode() in file.read_bytes() for file in folder.iterdir())


class TestNotebook:
    async def test_a_slow_summary_of_an_old_version_replaces_no_newer_one(self, tmp_path: Path) -> None:
        """Two summaries at once: the one of the newer version stays, whichever ends last."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", "one")
            await store.save(note.id, "A", "two", expected=1)
            await store.summarised(note.id, Summary(text="of two", of_version=2, producer=MADE))
            late = await store.summarised(note.id, Summary(text="of one", of_version=1, producer=MADE))

            assert late is not None
            assert late.summary is not None
            assert late.summary.text == "of two"

    async def test_of_two_saves_over_one_version_one_wins(self, tmp_path: Path) -> None:
        """The second is told the version that is there now, and changes nothing."""
        async with notebook(tmp_path) as store:
            note = await store.add("A", "one")
            await store.save(note.id, "A", "two", expected=1)
            with pytest.raises(VersionConflict) as conflict:
                await store.save(note.id, "A", "three", expected=1)
            kept = await store.get(note.id)

            assert (conflict.value.current, kept and kept.text) == (2, "two")
