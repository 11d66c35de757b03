"""Notes by meaning on both stores: vectors of each note, of one space, made anew as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.notes.notebook import StoredNotebooks
from services.notes.passages import passages
from services.notes.store import (
    Kind,
    Note,
    Notebook,
    Sought,
)
from services.notes.tables import JOBS
from services.store.blend import CANDIDATES
from services.store.clock import utc_now
from services.store.vectors import ForeignSpace, Space

SPACE = Space(name="three", dimension=3)


@pytest.fixture
async def notebooks(store_url: str) -> AsyncIterator[StoredNotebooks]:
    async with StoredNotebooks(store_url) as store:
        yield store


@pytest.fixture
async def embedding(store_url: str) -> AsyncIterator[StoredNotebooks]:
    """The same, asking for vectors after each save."""
    async with StoredNotebooks(store_url, after_save=[Kind.VECTORS]) as store:
        yield store


@pytest.fixture
def notebook(notebooks: StoredNotebooks) -> Notebook:
    return notebooks.of("ours")


class TestMeaning:
    """Vectors come by a job, which is claimed here as the worker does."""

    async def meant(self, store: StoredNotebooks, workspace: str, title: str, text: str, *vector: float) -> Note:
        """A note whose passages all have this vector."""
        notebook = store.of(workspace)
        note = await notebook.add(title, text)
        await self.embedded(store, notebook, note, *vector)
        return note

    async def embedded(self, store: StoredNotebooks, notebook: Notebook, note: Note, *vector: float) -> None:
        job = await store.database.write(lambda c: JOBS.claim(c, at=utc_now(), lease_s=60))
        assert job is not None
        found = passages(note)
        await notebook.embedded(note.id, found, SPACE, [vector for _ in found], job=job)

    async def test_the_nearest_notes_come_first_and_words_count_as_well(self, embedding: StoredNotebooks) -> None:
        """Of two that mean the same, the one with the word; none of another workspace."""
        same = await self.meant(embedding, "ours", "A", "one", 1, 0, 0)
        named = await self.meant(embedding, "ours", "B", "fan", 1, 0, 0)
        far = await self.meant(embedding, "ours", "C", "two", 0, 1, 0)
        await self.meant(embedding, "theirs", "D", "fan", 1, 0, 0)
        hits = await embedding.of("ours").search("fan", 9, Sought(space=SPACE, vector=(1, 0, 0)))

        assert [h.id for h in hits] == [named.id, same.id, far.id]

    async def test_archived_notes_take_no_place_of_others(self, embedding: StoredNotebooks) -> None:
        """Neither by meaning nor by words, however many of them are better."""
        ours = embedding.of("ours")
        for _ in range(CANDIDATES + 1):
            note = await self.meant(embedding, "ours", "fan", "fan", 1, 0, 0)
            await ours.archive(note.id, is_archived=True)
        near = await self.meant(embedding, "ours", "A", "two", 0.5, 1, 0)
        worded = await ours.add("B", f"fan {'of many words ' * 40}")
        hits = await ours.search("fan", 9, Sought(space=SPACE, vector=(1, 0, 0)))

        assert {h.id for h in hits} == {near.id, worded.id}

    async def test_vectors_of_a_version_that_is_gone_are_not_kept(self, embedding: StoredNotebooks) -> None:
        """Nor those of a deleted note."""
        ours = embedding.of("ours")
        gone = await self.meant(embedding, "ours", "A", "one", 1, 0, 0)
        late = await ours.add("B", "two")
        await ours.save(late.id, "B", "three", expected=1)
        await self.embedded(embedding, ours, late, 1, 0, 0)
        await ours.delete(gone.id)

        assert await ours.search("nothing", 9, Sought(space=SPACE, vector=(1, 0, 0))) == []

    async def test_all_vectors_can_be_made_anew_in_another_space(self, embedding: StoredNotebooks) -> None:
        """For every workspace, because the store has one space."""
        await self.meant(embedding, "ours", "A", "one", 1, 0, 0)
        await self.meant(embedding, "theirs", "B", "two", 1, 0, 0)
        other = Sought(space=Space(name="two", dimension=2), vector=(1, 0))
        with pytest.raises(ForeignSpace, match="rerun"):
            await embedding.of("ours").search("x", 9, other)

        assert await embedding.of("ours").vectors_anew() == 2
        assert await embedding.of("ours").search("x", 9, other) == []
