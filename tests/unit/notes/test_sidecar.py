"""What lies beside a note in an export: bounded when it is read, and never written larger than it would be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.notes import sidecar
from services.notes.folder import Found
from services.notes.pages import MAX_TAGS, Page, Unreadable
from services.notes.sidecar import MAX_VERSIONS, beside, kept
from services.notes.store import Note, NoteTag, TagState, Version

PAGE = Page(path="a.md", title="A", text="x")
TAG = {"tag": "a", "state": "suggested", "of_version": 1, "producer": None}


def found(data: bytes) -> Found:
    return Found(path="a.md", page=PAGE, sidecar=data)


def note(version: int, tags: int = 0) -> Note:
    told = tuple(NoteTag(tag=f"t{n}", state=TagState.REJECTED, of_version=1) for n in range(tags))
    return Note(number=1, id="a", title="A", text="x", version=version, created_at="", updated_at="", tags=told)


def versions(count: int, chars: int = 1) -> list[Version]:
    """The newest first, as a store gives them."""
    return [Version(version=n, title="A", text="x" * chars, saved_at="now") for n in range(count, 0, -1)]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("tags", [TAG] * (MAX_TAGS + 1)),
        ("history", [{"version": n, "title": "A", "text": "x", "saved_at": ""} for n in range(1, MAX_VERSIONS + 2)]),
    ],
)
def test_lists_without_end_are_refused(field: str, told: list[Any]) -> None:
    whole = {"path": "", "version": MAX_VERSIONS + 1, "summary": None, "tags": [], "history": []}
    assert kept(found(json.dumps({**whole, field: told[:-1]}).encode()), PAGE).path == ""
    with pytest.raises(Unreadable, match=f"'{field}'"):
        kept(found(json.dumps({**whole, field: told}).encode()), PAGE)


def test_the_oldest_versions_are_left_out_of_what_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the import says so; what is written is within the bound that it is read with."""
    monkeypatch.setattr(sidecar, "MAX_SIDECAR_BYTES", 4_000)
    data = beside(note(9), versions(9, chars=1_000))
    taken = kept(found(data), PAGE)

    assert len(data) <= 4_000
    assert [v.version for v in taken.history] == [9, 8, 7]
    assert taken.page.left_out == ("6 oldest versions: the export left them out",)


def test_more_versions_and_tags_than_an_import_takes_are_not_written() -> None:
    taken = kept(found(beside(note(MAX_VERSIONS + 2, tags=MAX_TAGS + 1), versions(MAX_VERSIONS + 2))), PAGE)

    assert (len(taken.history), taken.history[-1].version, len(taken.tags)) == (MAX_VERSIONS, 3, MAX_TAGS)
    assert taken.page.left_out == tuple(f"{said}: the export left them out" for said in ("2 oldest versions", "1 tags"))
