"""Notes out as a folder and in again: nothing is lost, in another workspace, twice, or after an edit elsewhere."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.notes.notebook import StoredNotebooks
from services.notes.store import Imported, Note, Notebook, NoteTag, Outcome, Summary, TagState, Version
from services.notes.tags import slug
from services.notes.transfer import bring_in, write_out
from services.web.provenance import Producer

MADE = Producer(provider="ollama", engine="ollama", model="tiny", prompt_version="1", at="now", digest="d")
SAID = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=40)
SAID = SAID.filter(lambda t: bool(t.strip()))
TAGS = st.dictionaries(st.text(max_size=12).map(slug).filter(bool), st.sampled_from(list(TagState)), max_size=3)
NOTES = st.lists(
    st.tuples(st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3), TAGS, st.booleans(), st.booleans()), max_size=3
)

Spoilt = str | dict[str, Any]
VERSION = {"version": 1, "title": "Plan", "text": "x", "saved_at": "now"}
NUL = MADE.model_dump() | {"model": "a\0b"}
SPOILT: list[Spoilt] = [
    "{",
    "[]",
    '{"format": 2}',
    {"history": [VERSION] * 2},
    {"tags": [{"tag": ""}]},
    *({"path": path} for path in ("../x.md", "a/../../x.md", "/x.md", "..\\x.md", ".x/y.md", "x.txt", "a\0.md")),
    {"history": [VERSION | {"saved_at": "\0"}]},
    {"history": [VERSION | {"text": "a\0b"}]},
    {"summary": {"text": "a\0b", "of_version": 1, "producer": MADE.model_dump()}},
    {"summary": {"text": "a", "of_version": 1, "producer": NUL}},
    {"tags": [{"tag": "a", "state": "suggested", "of_version": 1, "producer": NUL}]},
]


@pytest.fixture
async def notebooks(store_url: str) -> AsyncIterator[StoredNotebooks]:
    async with StoredNotebooks(store_url) as store:
        yield store


async def filled(notebook: Notebook, said: list[tuple[list[tuple[str, str]], dict[str, TagState], bool, bool]]) -> None:
    for saves, tags, is_archived, is_summarised in said:
        note = await notebook.add(*saves[0])
        for title, text in saves[1:]:
            await notebook.save(note.id, title, text, expected=None)
        if is_summarised:
            await notebook.summarised(note.id, Summary(text="in short", of_version=1, producer=MADE))
        told = [NoteTag(tag=t, state=TagState.SUGGESTED, of_version=1, producer=MADE) for t in tags]
        await notebook.suggested(note.id, told)
        for tag, state in tags.items():
            if state is not TagState.SUGGESTED:
                await notebook.judged(note.id, [tag], state)
        await notebook.archive(note.id, is_archived=is_archived)


async def everything(notebook: Notebook) -> list[tuple[Note, list[Version]]]:
    """All but the order of arrival, which is each workspace's own."""
    found = [(note, await notebook.history(note.id)) for note in await notebook.page(1000, 0)]
    return [(_unnumbered(note), history) for note, history in found]


def _unnumbered(note: Note) -> Note:
    values = {name: getattr(note, name) for name in Note.__slots__}
    return Note(**{**values, "number": 0})


async def moved(source: Notebook, target: Notebook) -> list[Imported]:
    with await write_out(source) as archive:
        return await bring_in(target, archive)


async def exported(notebook: Notebook) -> dict[str, str]:
    with await write_out(notebook) as archive, zipfile.ZipFile(archive) as folder:
        return {name: folder.read(name).decode() for name in folder.namelist()}


def packed(files: dict[str, str]) -> io.BytesIO:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for path, text in files.items():
            out.writestr(path, text)
    return archive


class TestRoundTrip:
    @given(said=NOTES)
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    async def test_nothing_is_lost_between_workspaces(self, notebooks: StoredNotebooks, said: list) -> None:  # type: ignore[type-arg]
        """Titles, texts, times, archive, history, summaries, and tags in every state with their producers."""
        source, target = notebooks.of("source"), notebooks.of("target")
        for notebook in (source, target):
            for note in await notebook.page(1000, 0):
                await notebook.delete(note.id)
        await filled(source, said)
        report = await moved(source, target)

        assert [f.outcome for f in report] == [Outcome.NEW] * len(said)
        assert await everything(target) == await everything(source)
        assert {f.outcome for f in await moved(source, target)} <= {Outcome.UNCHANGED}

    async def test_what_was_edited_elsewhere_comes_back_as_a_version(self, notebooks: StoredNotebooks) -> None:
        """The text of before stays in the history."""
        notebook = notebooks.of("ours")
        note = await notebook.add("Plan", "before")
        files = await exported(notebook)
        files["Plan.md"] = files["Plan.md"].replace("before", "after")
        [again] = await bring_in(notebook, packed(files))
        [elsewhere] = await bring_in(notebooks.of("theirs"), packed(files))

        assert (again.outcome, again.note_id, elsewhere.outcome) == (Outcome.CHANGED, note.id, Outcome.NEW)
        for workspace in ("ours", "theirs"):
            history = await notebooks.of(workspace).history(note.id)
            assert [(v.version, v.text) for v in history] == [(2, "after"), (1, "before")]


class TestForeignFolders:
    async def test_notes_of_obsidian_keep_folders_tags_links_and_properties(self, notebooks: StoredNotebooks) -> None:
        """And go out again to the same places with the same words, so that their links still lead there."""
        files = {
            "Work/Rack.md": "---\nrating: 1.10\ntags: [gpu]\n---\nSee [[Standup]].",
            "Work/Standup.md": "[rack](Rack.md) #daily",
        }
        notebook = notebooks.of("ours")
        await bring_in(notebook, packed(files))
        rack, standup = await notebook.page(9, 0)
        out = await exported(notebook)

        assert [(n.path, n.title, [t.tag for t in n.tags]) for n in (rack, standup)] == [
            ("Work/Rack.md", "Rack", ["gpu"]),
            ("Work/Standup.md", "Standup", ["daily"]),
        ]
        links, back = await notebook.links(rack)
        assert ([link.note_id for link in links], back) == ([standup.id], [standup.id])
        assert "rating: 1.10" in out["Work/Rack.md"]
        assert out["Work/Standup.md"].endswith(files["Work/Standup.md"])

    async def test_the_same_folder_again_changes_only_what_changed(self, notebooks: StoredNotebooks) -> None:
        notebook = notebooks.of("ours")
        await bring_in(notebook, packed({"a.md": "one", "b.md": "two"}))
        report = await bring_in(notebook, packed({"a.md": "one", "b.md": "new", "c.png": "x"}))

        assert [(f.path, str(f.outcome)) for f in report] == [
            ("c.png", "refused"),
            ("a.md", "unchanged"),
            ("b.md", "changed"),
        ]
        assert [n.text for n in await notebook.page(9, 0)] == ["one", "new"]

    @pytest.mark.parametrize("spoilt", SPOILT, ids=map(str, range(len(SPOILT))))
    async def test_a_spoilt_part_beside_a_note_is_told_and_others_go_on(
        self, notebooks: StoredNotebooks, spoilt: Spoilt
    ) -> None:
        """A path that leads out would be written by the next export, and a NUL would fail all the others with it."""
        note = await notebooks.of("ours").add("Plan", "x")
        files = await exported(notebooks.of("ours"))
        name = f".cutover/{note.id}.json"
        files[name] = spoilt if isinstance(spoilt, str) else json.dumps({**json.loads(files[name]), **spoilt})
        report = await bring_in(notebooks.of("theirs"), packed({**files, "other.md": "fine"}))

        assert [(f.path, str(f.outcome)) for f in report] == [("Plan.md", "refused"), ("other.md", "new")]
        assert ".cutover" in str(report[0].reason)

    async def test_front_matter_that_grows_when_it_is_written_is_refused_and_the_export_goes_on(
        self, notebooks: StoredNotebooks
    ) -> None:
        notebook = notebooks.of("ours")
        grows = f"---\nk: [{'a,' * 30_000}]\n---\ntext"
        report = await bring_in(notebook, packed({"a.md": grows, "b.md": "fine"}))

        assert [str(f.outcome) for f in report] == ["refused", "new"]
        assert [name for name in await exported(notebook) if name.endswith(".md")] == ["b.md"]
