"""Notes are found on both stores by words and meaning, among those of a tag, as deep as there are any."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.notes.notebook import StoredNotebooks
from services.notes.passages import passages
from services.notes.store import Kind, Note, NoteHit, Sought, TagState
from services.notes.tables import JOBS
from services.notes.which import ANY, Place, Which
from services.notes.workspace_notebook import StoredNotebook
from services.store import lexical
from services.store.blend import CANDIDATES
from services.store.clock import utc_now
from services.store.vectors import Space

SPACE = Space(name="three", dimension=3)
NEAR = Sought(space=SPACE, vector=(1, 0, 0))
RACK = Which(tag="rack")


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
def notebook(notebooks: StoredNotebooks) -> StoredNotebook:
    return notebooks.of("ours")


async def meant(store: StoredNotebooks, title: str, text: str, *vector: float) -> Note:
    """A note whose passages all have this vector; by a job, which is claimed here as the worker does."""
    notebook = store.of("ours")
    note = await notebook.add(title, text)
    job = await store.database.write(lambda c: JOBS.claim(c, at=utc_now(), lease_s=60))
    assert job is not None
    found = passages(note)
    await notebook.embedded(note.id, found, SPACE, [vector for _ in found], job=job)
    return note


async def tagged(notebook: StoredNotebook, note: Note, tag: str = "rack") -> Note:
    await notebook.judged(note.id, [tag], TagState.ACCEPTED)
    return note


async def through(
    notebook: StoredNotebook, words: str, limit: int, meaning: Sought | None = None, which: Which = ANY
) -> list[NoteHit]:
    """Every hit, page by page."""
    found: list[NoteHit] = []
    while True:
        after = Place(rank=found[-1].rank, note_id=found[-1].id) if found else None
        page = await notebook.search(words, limit, meaning, which=which, after=after)
        found += page
        if len(page) < limit:
            return found


class TestByWords:
    async def test_the_tag_is_looked_for_in_every_note(self, notebook: StoredNotebook) -> None:
        """However many better ones lack it, only suggest it, or are archived."""
        for _ in range(CANDIDATES + 5):
            await notebook.add("fan", "fan")
        away = await tagged(notebook, await notebook.add("fan", "fan"))
        await notebook.archive(away.id, is_archived=True)
        worst = [await tagged(notebook, await notebook.add("A", f"fan {'and many words ' * 40}")) for _ in range(3)]

        assert sorted(h.id for h in await through(notebook, "fan", 2, which=RACK)) == sorted(n.id for n in worst)
        assert [h.id for h in await notebook.search("fan", 9, which=Which(tag="rack", archived=True))] == [away.id]
        assert await notebook.search("fan", 9, which=Which(tag="nobody")) == []

    async def test_a_tag_that_was_merged_means_what_it_became(self, notebook: StoredNotebook) -> None:
        note = await tagged(notebook, await notebook.add("fan", "fan"))
        await notebook.merge(["rack"], "shelf")
        assert [h.id for h in await notebook.search("fan", 9, which=RACK)] == [note.id]

    async def test_pages_go_on_to_the_last_note_and_hold_each_once(self, notebook: StoredNotebook) -> None:
        """In the order of one large page, ranks counted on."""
        for n in range(23):
            await notebook.add(f"n{n}", "fan " + "other words " * n)
        whole, parts = await notebook.search("fan", 100), await through(notebook, "fan", 5)

        assert (len(whole), parts) == (23, whole)
        assert [h.rank for h in parts] == list(range(1, 24))
        assert sorted((h.score for h in parts), reverse=True) == [h.score for h in parts]

    async def test_the_words_that_tell_most_come_first_on_every_page(
        self, notebook: StoredNotebook, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where they run out in the middle of a page, notes with any of the words follow, none of them twice."""
        monkeypatch.setattr(lexical, "RANKED_ROWS", 10)
        common = [(await notebook.add(f"c{n}", "fan " * (n + 1))).id for n in range(12)]
        rare = [(await notebook.add(f"r{n}", f"pump {'fan ' * n}")).id for n in range(3)]
        found = [h.id for h in await through(notebook, "fan pump", 2)]

        assert set(found[:3]) == set(rare)
        assert (len(found), set(found)) == (15, {*common, *rare})

    async def test_what_comes_and_goes_between_two_pages_neither_repeats_nor_hides_others(
        self, notebook: StoredNotebook
    ) -> None:
        """The next page begins behind the note that was shown last, wherever it stands by then."""
        notes = [await notebook.add(f"n{n}", "fan " + "other words " * n) for n in range(9)]
        first = await notebook.search("fan", 3)
        after = Place(rank=first[-1].rank, note_id=first[-1].id)
        rest = [h.id for h in await notebook.search("fan", 3, after=after)]
        await notebook.add("fan", "fan fan")
        assert [h.id for h in await notebook.search("fan", 3, after=after)] == rest
        await notebook.delete(notes[0].id)
        await notebook.delete(notes[1].id)
        assert [h.id for h in await notebook.search("fan", 3, after=after)] == rest
        await notebook.add("fan", "fan fan")
        await notebook.delete(after.note_id)
        assert [h.id for h in await notebook.search("fan", 3, after=after)] == rest


class TestByMeaning:
    async def test_the_tag_is_looked_for_in_every_note(self, embedding: StoredNotebooks) -> None:
        """By meaning as by words."""
        ours = embedding.of("ours")
        for _ in range(CANDIDATES + 1):
            await meant(embedding, "fan", "fan", 1, 0, 0)
        far = await tagged(ours, await meant(embedding, "A", "two", 0.1, 1, 0))
        worded = await tagged(ours, await ours.add("B", f"fan {'of many words ' * 40}"))

        assert {h.id for h in await through(ours, "fan", 1, NEAR, RACK)} == {far.id, worded.id}

    async def test_behind_the_nearest_come_all_the_others_with_a_word(self, embedding: StoredNotebooks) -> None:
        """Each once, in the order of one large page, and none scored above one before it."""
        ours = embedding.of("ours")
        near = [await meant(embedding, f"n{n}", "two", 1, n / 100, 0) for n in range(5)]
        worded = [(await ours.add("B", f"fan {'words ' * (n % 7)}")).id for n in range(CANDIDATES + 30)]
        parts = await through(ours, "fan", 40, NEAR)

        assert [h.id for h in parts] == [h.id for h in await ours.search("fan", 999, NEAR)]
        assert sorted(h.id for h in parts) == sorted([*worded, *(n.id for n in near)])
        assert sorted((h.score for h in parts), reverse=True) == [h.score for h in parts]
