"""RAG's store on SQLite and on PostgreSQL: documents, passages, collections, uploads, and nobody else's rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select, text

from services.rag.chunking import Span
from services.rag.parsed import Source
from services.rag.store import CollectionGone, NameTaken, NewDocument
from services.rag.store_documents import StoredDocuments, WorkspaceDocuments
from services.rag.store_tables import REPLIES, UPLOAD
from services.store.vectors import ForeignSpace, Space
from tests.contract.stored import NEW, SPACE, SPANS, TEXT, answered


class TestDocuments:
    async def test_a_document_is_kept_with_all_that_is_known_of_it(self, mine: WorkspaceDocuments) -> None:
        """Its source, its pages, and passages that are exact spans of its text."""
        document, is_new = await mine.put(NEW)
        assert is_new
        assert await mine.get(document.id) == document
        assert (document.text, document.pages, document.source) == (TEXT, NEW.pages, "manual.pdf")
        assert (document.chars, document.chunks, document.is_embedded) == (32, 2, True)
        chunks = await mine.chunks(document.id)
        assert [(c.chunk, c.page, c.text) for c in chunks] == [(0, 1, "Alpha pump one."), (1, 2, "Beta valve two.")]
        assert all(TEXT[c.start : c.end] == c.text for c in chunks)

    async def test_the_same_content_is_kept_once_in_a_collection(self, mine: WorkspaceDocuments) -> None:
        """And may be in another one as well."""
        first, _ = await mine.put(NEW)
        again, is_new = await mine.put(NEW)
        part = await mine.add_collection("C")
        other, is_other_new = await mine.put(replace(NEW, collection=part.id))
        assert (again, is_new, is_other_new) == (first, False, True)
        assert other.id != first.id

    async def test_a_source_that_is_known_is_found_without_reading_it(self, mine: WorkspaceDocuments) -> None:
        """By its hash, within its collection."""
        document, _ = await mine.put(NEW)
        known = await mine.known("h", "")
        assert known is not None
        assert known.id == document.id
        assert await mine.known("h", "c") is None

    async def test_pages_of_a_list_hold_each_document_once(self, mine: WorkspaceDocuments) -> None:
        """Oldest first."""
        ids = [(await mine.add(f"T{n}", TEXT, SPANS))[0].id for n in range(5)]
        first = await mine.page(3, 0)
        rest = await mine.page(3, first[-1].number)
        assert [d.id for d in (*first, *rest)] == ids
        assert await mine.page(3, 0, collection="c") == []

    async def test_new_passages_replace_the_old_ones(self, mine: WorkspaceDocuments) -> None:
        """As a re-index makes them; the text, its pages and its id stay."""
        document, _ = await mine.put(NEW)
        cut = NewDocument(title="x", text="x", spans=[Span(start=6, end=10)], vectors=[[1.0, *[0.0] * 7]], space=SPACE)
        again = await mine.reindex(document.id, cut)
        assert again is not None
        assert (again.id, again.text, again.title, again.chunks) == (document.id, TEXT, "Manual", 1)
        assert [c.text for c in await mine.chunks(document.id)] == ["pump"]
        assert await mine.search("valve", 5) == []
        assert [h.text for h in await mine.nearest(SPACE, NEW.vectors[1], 5)] == ["pump"]
        assert await mine.reindex("nothing", cut) is None

    async def test_a_deleted_document_is_gone_from_every_index(self, mine: WorkspaceDocuments) -> None:
        """Words, meaning, passages, and its source is unknown again."""
        document, _ = await mine.put(NEW)
        assert await mine.delete(document.id)
        assert not await mine.delete(document.id)
        assert await mine.search("pump", 5) == []
        assert await mine.nearest(SPACE, NEW.vectors[0], 5) == []
        assert await mine.chunks(document.id) == []
        assert await mine.known("h", "") is None

    async def test_a_document_without_passages_is_kept(self, mine: WorkspaceDocuments) -> None:
        """There may be nothing to cut."""
        document, _ = await mine.add("T", " ", [])
        assert document.chunks == 0


class TestSearch:
    async def test_hits_say_where_they_stand(self, mine: WorkspaceDocuments) -> None:
        """By words and by meaning alike: document, passage, span, page."""
        document, _ = await mine.put(NEW)
        by_words, by_meaning = await mine.search("valve", 5), await mine.nearest(SPACE, NEW.vectors[1], 5)
        assert [(h.document_id, h.chunk, h.start, h.end, h.page, h.text) for h in by_words] == [
            (document.id, 1, 17, 32, 2, "Beta valve two.")
        ]
        assert [h.chunk for h in by_meaning] == [1, 0]
        assert [h.score for h in by_meaning] == pytest.approx([1, 0], abs=1e-6)

    async def test_the_title_finds_as_well(self, mine: WorkspaceDocuments) -> None:
        """Every passage of the document."""
        await mine.put(NEW)
        assert len(await mine.search("manual", 5)) == 2

    async def test_a_collection_is_searched_alone(self, mine: WorkspaceDocuments) -> None:
        """Both ways; without one, all are."""
        await mine.put(NEW)
        part = await mine.add_collection("C")
        other, _ = await mine.put(replace(NEW, collection=part.id))
        assert {h.document_id for h in await mine.search("pump", 9, part.id)} == {other.id}
        assert {h.document_id for h in await mine.nearest(SPACE, NEW.vectors[0], 9, part.id)} == {other.id}
        assert len(await mine.search("pump", 9)) == 2

    async def test_another_space_is_refused_until_all_are_made_anew(self, store: StoredDocuments) -> None:
        """Then each document of each workspace has a job for that, is found by words meanwhile, and takes the space."""
        mine, other = store.of("default"), Space(name="n@1:8:unit", dimension=8)
        document, _ = await mine.put(NEW)
        with pytest.raises(ForeignSpace, match="cutover reindex rag"):
            await mine.reindex(document.id, replace(NEW, space=other))
        kept = await mine.get(document.id)
        assert kept is not None
        assert (kept.is_embedded, await store.space()) == (True, SPACE)
        theirs, _ = await store.of("other").put(NEW)
        assert await store.reindex_all("reindex") == 2
        waiting = await mine.get(document.id)
        assert waiting is not None
        assert (waiting.is_embedded, len(await mine.search("pump", 9))) == (False, 1)
        [job] = await store.of("other").jobs(9)
        assert (job.kind, job.payload["document_id"]) == ("reindex", theirs.id)
        again = await mine.reindex(document.id, replace(NEW, space=other))
        assert again is not None
        assert (again.is_embedded, await store.space()) == (True, other)


class TestWorkspaces:
    async def test_one_workspace_sees_nothing_of_another(self, store: StoredDocuments) -> None:
        """Whatever it asks, by any id that it may have learnt."""
        mine, theirs = store.of("default"), store.of("other")
        collection = await theirs.add_collection("C")
        document, _ = await theirs.put(NEW)
        job = await theirs.enqueue(kind="x", payload={})
        assert await mine.get(document.id) is None
        assert (await mine.page(9, 0), await mine.chunks(document.id), await mine.search("pump", 9)) == ([], [], [])
        assert await mine.nearest(SPACE, NEW.vectors[0], 9) == []
        assert await mine.known("h", "") is None
        assert (await mine.collections(), await mine.collection(collection.id)) == ([], None)
        assert (await mine.job(job.id), await mine.jobs(9)) == (None, [])
        assert not await mine.delete(document.id)
        assert not await mine.delete_collection(collection.id)
        assert not await mine.forget_job(job.id)
        assert await mine.rename_collection(collection.id, "D") is None
        assert await theirs.get(document.id) == document

    async def test_equal_documents_of_two_workspaces_are_two(self, store: StoredDocuments) -> None:
        """Deleting one leaves the other."""
        mine, theirs = store.of("default"), store.of("other")
        document, _ = await mine.put(NEW)
        _, is_new = await theirs.put(NEW)
        assert is_new
        await mine.delete(document.id)
        assert len(await theirs.search("pump", 9)) == 1


class TestCollections:
    async def test_a_collection_is_made_renamed_and_counted(self, mine: WorkspaceDocuments) -> None:
        """Its documents stay in it."""
        made = await mine.add_collection("Manuals")
        await mine.put(replace(NEW, collection=made.id))
        renamed = await mine.rename_collection(made.id, "Guides")
        assert renamed is not None
        assert (renamed.name, renamed.documents) == ("Guides", 1)
        assert await mine.collections() == [renamed]

    async def test_a_name_is_given_once(self, mine: WorkspaceDocuments) -> None:
        """To a new one or by renaming; its own name is no other's."""
        one = await mine.add_collection("A")
        two = await mine.add_collection("B")
        with pytest.raises(NameTaken):
            await mine.add_collection("A")
        with pytest.raises(NameTaken):
            await mine.rename_collection(two.id, "A")
        assert await mine.rename_collection(one.id, "A") == one

    async def test_its_documents_go_with_it(self, mine: WorkspaceDocuments) -> None:
        """And no others."""
        made = await mine.add_collection("A")
        inside, _ = await mine.put(replace(NEW, collection=made.id))
        outside, _ = await mine.put(NEW)
        assert await mine.delete_collection(made.id)
        assert await mine.get(inside.id) is None
        assert [h.document_id for h in await mine.search("pump", 9)] == [outside.id]

    async def test_one_of_very_many_documents_can_be_deleted(self, store: StoredDocuments) -> None:
        """More than a statement may have parameters, on either database; in one write all the same."""
        mine = store.of("default")
        made = await mine.add_collection("A")
        outside, _ = await mine.put(NEW)
        counted = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 66000)"
        values = "'d' || i, 'default', :into, 'T', 'Words.', 6, '', '', '', '[]', 0, '' FROM n"
        columns = "id, workspace, collection, title, text, chars, source, media_type, content_hash, pages, is_embedded"
        filling = text(f"{counted} INSERT INTO document ({columns}, created_at) SELECT {values}")
        await store.database.write(lambda c: c.execute(filling, {"into": made.id}))
        assert await mine.delete_collection(made.id)
        assert [d.id for d in await mine.page(9, 0)] == [outside.id]

    async def test_nothing_is_stored_in_one_that_is_not_there(self, store: StoredDocuments) -> None:
        """Never was, was deleted, or is another workspace's: searches of the whole workspace would find it."""
        mine, theirs = store.of("default"), await store.of("other").add_collection("A")
        gone = await mine.add_collection("A")
        await mine.delete_collection(gone.id)
        for collection in ("nothing", gone.id, theirs.id):
            with pytest.raises(CollectionGone):
                await mine.put(replace(NEW, collection=collection))
        assert await mine.page(9, 0) == []

    async def test_its_unfinished_jobs_and_what_was_answered_go_with_it(self, store: StoredDocuments) -> None:
        """The files that were to come into it, and answers that quote its documents; those of others stay."""
        mine = store.of("default")
        kept, gone = await mine.add_collection("A"), await mine.add_collection("B")
        jobs, documents = [], []
        for made in (kept, gone):
            payload = {"name": gone.id, "collection": made.id}
            jobs.append(await mine.stage(Source(data=b"x", name="x"), kind="ingest", payload=payload))
            document, _ = await mine.put(replace(NEW, collection=made.id))
            documents.append(document.id)
            await store.database.write(partial(answered, document.id))
        assert await mine.delete_collection(gone.id)
        assert [j.id for j in await mine.jobs(9)] == [jobs[0].id]
        assert await store.database.read(lambda c: c.execute(select(UPLOAD.c.job)).scalars().all()) == [jobs[0].id]
        assert await store.database.read(lambda c: c.execute(select(REPLIES.table.c.key)).scalars().all()) == [
            documents[0]
        ]
