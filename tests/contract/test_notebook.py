"""Notes on both stores: history, links, tags that merge, and workspaces that never see one another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.notes.notebook import StoredNotebooks
from services.notes.store import (
    Kind,
    Link,
    Note,
    Notebook,
    NoteTag,
    NothingBefore,
    Summary,
    TagCount,
    TagState,
    UnknownTags,
)
from services.web.provenance import Producer

MADE = Producer(provider="vllm", engine="vllm", model="tiny", prompt_version="1", at="now", params_hash="ab")


@pytest.fixture
async def notebooks(store_url: str) -> AsyncIterator[StoredNotebooks]:
    async with StoredNotebooks(store_url) as store:
        yield store


@pytest.fixture
def notebook(notebooks: StoredNotebooks) -> Notebook:
    return notebooks.of("ours")


def suggested(*tags: str) -> list[NoteTag]:
    return [NoteTag(tag=t, state=TagState.SUGGESTED, of_version=1, producer=MADE) for t in tags]


def states(note: Note | None) -> dict[str, str]:
    assert note is not None
    return {t.tag: str(t.state) for t in note.tags}


class TestNotes:
    async def test_every_save_stays_in_the_history(self, notebook: Notebook) -> None:
        """Newest first, titles as well."""
        note = await notebook.add("A", "one")
        await notebook.save(note.id, "B", "two", expected=1)

        assert [(v.version, v.title, v.text) for v in await notebook.history(note.id)] == [
            (2, "B", "two"),
            (1, "A", "one"),
        ]

    async def test_an_archived_note_is_only_out_of_the_lists(self, notebook: Notebook) -> None:
        note, other = await notebook.add("A", "shelved words"), await notebook.add("B", "words")
        archived = await notebook.archive(note.id, is_archived=True)

        assert archived is not None
        assert (archived.version, archived.is_archived, await notebook.get(note.id)) == (1, True, archived)
        assert [n.id for n in await notebook.page(9, 0, archived=False)] == [other.id]
        assert [h.id for h in await notebook.search("words", 9)] == [other.id]
        assert len(await notebook.page(9, 0)) == 2

    async def test_links_lead_both_ways_and_follow_the_saves(self, notebook: Notebook) -> None:
        """By the title, whatever the case; where there is no such note the name stays."""
        plan = await notebook.add("Big plan", "x")
        note = await notebook.add("Standup", "See [[big Plan]] and [[Nowhere]].")

        assert await notebook.links(note) == (
            [Link(name="big plan", note_id=plan.id), Link(name="nowhere", note_id=None)],
            [],
        )
        assert await notebook.links(plan) == ([], [note.id])
        await notebook.save(note.id, "Standup", "No more.", expected=1)
        assert await notebook.links(plan) == ([], [])

    async def test_a_note_may_have_more_links_than_a_statement_parameters(self, notebook: Notebook) -> None:
        """PostgreSQL's are 65,535."""
        last = await notebook.add("\u4e00\u4fff", "x")
        names = [f"\u4e00{chr(0x4E00 + n)}" for n in range(16_384)] + [f"a{n:x}" for n in range(50_000)]
        note = await notebook.add("Index", "".join(f"[[{name}]]" for name in names))
        links, _ = await notebook.links(note)

        assert [link.name for link in links] == names
        assert [link.name for link in links if link.note_id == last.id] == [last.title]

    async def test_another_workspace_sees_nothing_and_touches_nothing(self, notebooks: StoredNotebooks) -> None:
        """Neither by id, list, word, link, history nor tag."""
        ours, theirs = notebooks.of("ours"), notebooks.of("theirs")
        note = await ours.add("Secret", "xylophone [[Secret]]")
        await ours.judged(note.id, ["hush"], TagState.ACCEPTED)
        their = await theirs.add("Other", "[[Secret]]")

        assert (await theirs.get(note.id), await theirs.history(note.id)) == (None, [])
        assert (await theirs.search("xylophone", 9), await theirs.tags()) == ([], [])
        assert [n.id for n in await theirs.page(9, 0)] == [their.id]
        assert await theirs.links(their) == ([Link(name="secret", note_id=None)], [])
        assert await theirs.save(note.id, "x", "x", expected=None) is None
        assert await theirs.archive(note.id, is_archived=True) is None
        assert await theirs.judged(note.id, ["x"], TagState.ACCEPTED) is None
        assert not await theirs.delete(note.id)
        with pytest.raises(UnknownTags):
            await theirs.merge(["hush"], "loud")
        assert await ours.links(note) == ([Link(name="secret", note_id=note.id)], [])

    async def test_a_summary_is_kept_beside_the_one_that_replaced_it(self, notebook: Notebook) -> None:
        """Found by who made it, counted without a job, turned round by a person."""
        note = await notebook.add("a", "b")
        by = {name: MADE.model_copy(update={"provider": name}) for name in ("ollama", "vllm")}
        first, second = (Summary(text=name, of_version=1, producer=made) for name, made in by.items())
        with pytest.raises(NothingBefore):
            await notebook.restore_summary(note.id)
        await notebook.summarised(note.id, first)
        counted = await notebook.rerun("provider=ollama", is_dry_run=True)
        await notebook.summarised(note.id, second)

        assert (dict(counted), dict(await notebook.rerun("provider=ollama"))) == ({Kind.SUMMARY: 1}, {})
        assert await notebook.jobs(10, before=None, state=None) == []
        assert await notebook.summary_before(note.id) == first
        restored = await notebook.restore_summary(note.id)
        assert restored is not None
        assert (restored.summary, await notebook.summary_before(note.id)) == (first, second)

    async def test_a_summary_that_is_older_than_the_note_is_stale(self, notebook: Notebook) -> None:
        note = await notebook.add("A", "one")
        fresh = await notebook.summarised(note.id, Summary(text="s", of_version=1, producer=MADE))
        saved = await notebook.save(note.id, "A", "two", expected=1)

        assert fresh is not None
        assert saved is not None
        assert (fresh.is_stale, saved.is_stale, saved.summary) == (False, True, fresh.summary)


class TestTheNewestFirst:
    async def test_pages_follow_each_other_without_gap_or_repeat(self, notebook: Notebook) -> None:
        """A page begins below the number of the last note of the page before."""
        for title in "abcde":
            await notebook.add(title, "x")
        titles: list[list[str]] = []
        before = None
        while page := await notebook.newest(2, before):
            titles.append([n.title for n in page])
            before = page[-1].number

        assert titles == [["e", "d"], ["c", "b"], ["a"]]

    async def test_a_tag_leaves_those_that_accepted_it_under_any_of_its_names(self, notebook: Notebook) -> None:
        """A suggestion is none yet, and a rejected tag none any more."""
        accepted, waits, rejected = [await notebook.add(title, "x") for title in ("yes", "perhaps", "no")]
        await notebook.judged(accepted.id, ["fans"], TagState.ACCEPTED)
        await notebook.suggested(waits.id, suggested("fans"))
        await notebook.judged(rejected.id, ["fans"], TagState.REJECTED)
        await notebook.merge(["fans"], "cooling")

        for name in ("fans", "cooling"):
            assert [n.title for n in await notebook.newest(9, None, tag=name)] == ["yes"]
        assert await notebook.newest(9, None, tag="unknown") == []

    async def test_archived_notes_are_a_list_of_their_own_and_so_is_each_workspace(
        self, notebooks: StoredNotebooks
    ) -> None:
        ours, theirs = notebooks.of("ours"), notebooks.of("theirs")
        kept, away = await ours.add("kept", "x"), await ours.add("away", "x")
        await ours.archive(away.id, is_archived=True)
        await theirs.judged((await theirs.add("theirs", "x")).id, ["t"], TagState.ACCEPTED)
        await ours.judged(kept.id, ["t"], TagState.ACCEPTED)

        assert [n.title for n in await ours.newest(9, None)] == ["kept"]
        assert [n.title for n in await ours.newest(9, None, archived=True)] == ["away"]
        assert [n.title for n in await ours.newest(9, None, tag="t")] == ["kept"]


class TestTags:
    async def test_a_new_suggestion_takes_the_place_of_an_old_one_only(self, notebook: Notebook) -> None:
        """What a person accepted or rejected stays, and is not suggested again."""
        note = await notebook.add("A", "x")
        await notebook.suggested(note.id, suggested("old", "good", "bad"))
        await notebook.judged(note.id, ["good"], TagState.ACCEPTED)
        await notebook.judged(note.id, ["bad"], TagState.REJECTED)
        again = await notebook.suggested(note.id, suggested("new", "good", "bad"))

        assert states(again) == {"good": "accepted", "bad": "rejected", "new": "suggested"}
        assert again is not None
        assert {t.producer for t in again.tags} == {MADE}

    async def test_a_person_may_add_a_tag_of_their_own(self, notebook: Notebook) -> None:
        note = await notebook.add("A", "x")
        tagged = await notebook.judged(note.id, ["mine"], TagState.ACCEPTED)

        assert tagged is not None
        assert tagged.tags == (NoteTag(tag="mine", state=TagState.ACCEPTED, of_version=1, producer=None),)

    async def test_the_counts_leave_out_what_was_rejected(self, notebook: Notebook) -> None:
        notes = [await notebook.add("A", "x") for _ in range(3)]
        for note in notes[:2]:
            await notebook.judged(note.id, ["often"], TagState.ACCEPTED)
        await notebook.suggested(notes[2].id, suggested("maybe", "often"))
        await notebook.judged(notes[0].id, ["never"], TagState.REJECTED)

        assert await notebook.tags() == [
            TagCount(tag="often", accepted=2, suggested=1),
            TagCount(tag="maybe", accepted=0, suggested=1),
        ]

    async def test_merged_tags_are_one_under_every_old_name(self, notebook: Notebook) -> None:
        """Of a note that had both the stronger state stays; a later use of an old name means the new one."""
        both, one, later = [await notebook.add("A", "x") for _ in range(3)]
        await notebook.suggested(both.id, suggested("gpu"))
        await notebook.judged(both.id, ["gpus"], TagState.ACCEPTED)
        await notebook.judged(one.id, ["gpus"], TagState.ACCEPTED)
        merged = await notebook.merge(["gpus"], "gpu")
        again = await notebook.merge(["gpu"], "hardware")
        await notebook.judged(later.id, ["gpus"], TagState.ACCEPTED)

        assert (merged, again) == (2, 2)
        assert [states(await notebook.get(n.id)) for n in (both, one, later)] == [{"hardware": "accepted"}] * 3
        assert await notebook.tags() == [TagCount(tag="hardware", accepted=3, suggested=0)]

    async def test_a_tag_that_nobody_has_cannot_be_merged(self, notebook: Notebook) -> None:
        """And nothing is changed by the others that were named."""
        note = await notebook.add("A", "x")
        await notebook.judged(note.id, ["a"], TagState.ACCEPTED)
        with pytest.raises(UnknownTags, match="typo"):
            await notebook.merge(["a", "typo"], "b")

        assert states(await notebook.get(note.id)) == {"a": "accepted"}

    async def test_the_tags_of_a_deleted_note_are_gone_with_it(self, notebook: Notebook) -> None:
        """Unless another note has them."""
        note, other = await notebook.add("A", "x"), await notebook.add("B", "x")
        await notebook.judged(note.id, ["only", "shared"], TagState.ACCEPTED)
        await notebook.judged(other.id, ["shared"], TagState.ACCEPTED)
        await notebook.delete(note.id)

        assert await notebook.tags() == [TagCount(tag="shared", accepted=1, suggested=0)]
        assert await notebook.history(note.id) == []
