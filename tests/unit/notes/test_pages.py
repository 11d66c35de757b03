"""Notes as Markdown files: what Obsidian and Joplin write is understood, and what Notes writes comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notes.pages import ID_KEY, MAX_FRONT_MATTER_CHARS, MAX_TAGS, Page, Unreadable, read, write
from services.notes.tags import slug

OBSIDIAN = b"""---
aliases: [Rack, "The rack"]
tags: [Work/GPU Fan, "2024", meeting]
cssclass: wide
version: 1.10
done: no
---
# Rack

See [[Standup|the standup]] and #hardware, not #123 nor `#code`.
"""

JOPLIN = b"""---
title: 'Rack: the plan'
updated: 2023-01-02 12:00:00Z
created: 2023-01-01 11:00Z
latitude: 52.52000000
completed?: no
tags:
  - Cold Store
  - work
---

Body.
"""

SPOILT: list[tuple[bytes, str]] = [
    (b"\xff\xfa\xfb", "not UTF-8 text: invalid start byte at byte 0"),
    (b"PK\x03\x04\0\0", "NUL"),
    (b"", "empty"),
    (b"---\ntitle: x\n---\n\n \n", "empty"),
    (b"---\ntitle: [unclosed\n---\ntext", "not YAML"),
    (b"---\n- a\n- b\n---\ntext", "not a list of `key: value`"),
    (b"---\n? [a]\n: b\n---\ntext", "not a list of `key: value`"),
    (b"---\na: " + b"[" * 5000 + b"\n---\ntext", "nested too deeply"),
    (b"---\na: " + b"x" * MAX_FRONT_MATTER_CHARS + b"\n---\ntext", "longer than 65536"),
    (b"---\ntitle: " + b"t" * 301 + b"\n---\ntext", "title is longer"),
    (b"---\nk: [" + b"a," * 30_000 + b"]\n---\ntext", "longer than 65536 characters once"),
    (b'---\ntitle: "\\ud800"\n---\ntext', "half of a surrogate pair"),
    (b"x" * 500_001, "longer than 500000"),
    (f"---\n{ID_KEY}: {'a' * 65}\n---\ntext".encode(), "not one of ours"),
]


def text(least: int, most: int) -> st.SearchStrategy[str]:
    """What a note's field may hold: no NUL, no half of a surrogate pair, not only white space."""
    characters = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
    return st.text(characters, min_size=least, max_size=most).filter(lambda t: bool(t.strip()))


def tried(data: bytes) -> Page | None:
    try:
        return read("x.md", data)
    except Unreadable:
        return None


TIMES = st.datetimes().map(lambda t: t.isoformat(timespec="milliseconds") + "+00:00")
SLUGS = st.text(max_size=40).map(slug).filter(bool)
PROPERTIES = st.sampled_from(["", "a: 1.10\n", "'no': yes\nb:\n- x\n- y: z\n", "created: in spring\n"])


class TestForeignFiles:
    def test_obsidians_front_matter_and_inline_tags_are_understood(self) -> None:
        """The title is the file's name; nested tags stay nested; what has no field here is kept."""
        page = read("Work/Rack.md", OBSIDIAN)

        assert (page.title, page.tags) == ("Rack", ("work/gpu-fan", "2024", "meeting", "hardware"))
        assert page.text.startswith("# Rack\n")
        for kept in ("version: 1.10", "done: no", 'aliases: [Rack, "The rack"]', "cssclass: wide"):
            assert kept in page.properties

    def test_joplins_front_matter_is_understood(self) -> None:
        page = read("Notebook/Rack- the plan.md", JOPLIN)

        assert (page.title, page.tags, page.text) == ("Rack: the plan", ("cold-store", "work"), "Body.\n")
        assert (page.created_at, page.updated_at) == ("2023-01-01T11:00:00.000+00:00", "2023-01-02T12:00:00.000+00:00")
        assert "latitude: 52.52000000" in page.properties

    @pytest.mark.parametrize("said", ["a, b c", "#a,b,  c", "a b c,"])
    def test_tags_in_one_line_are_several(self, said: str) -> None:
        assert read("x.md", f"---\ntags: '{said}'\n---\nx".encode()).tags == ("a", "b", "c")

    @pytest.mark.parametrize(
        "data", [b"# T\r\n\r\nx", b"---\r\nno end", b"--- \nx", b"a\n---\nb: c\n---\n", b"----\nx"]
    )
    def test_a_file_without_front_matter_is_all_text(self, data: bytes) -> None:
        """To the byte, rules and line ends included."""
        page = read("T.md", data)
        assert (page.text.encode(), page.title, page.properties) == (data, "T", "")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_encodings_that_say_what_they_are_are_read(self, encoding: str) -> None:
        assert read("x.md", "---\ntags: [é]\n---\nGrüße".encode(encoding)).text == "Grüße"

    def test_a_tag_that_is_prose_is_left_out_and_said(self) -> None:
        page = read("x.md", b"---\ntags: [ok, " + b"word " * 20 + b"]\n---\nx")

        assert page.tags == ("ok",)
        assert page.left_out[0].startswith("tag 'word-word")

    def test_tags_without_end_are_cut_and_counted(self) -> None:
        """Those that are too long are told one by one, but not all thousands of them."""
        said = [f"#{'a' * 60}{n}" for n in range(50)] + [f"#t{n}" for n in range(MAX_TAGS + 5)]
        page = read("x.md", " ".join(said).encode())

        assert page.tags == tuple(f"t{n}" for n in range(MAX_TAGS))
        assert (len(page.left_out), page.left_out[-1]) == (21, "35 more tags: a note has at most 1000")

    @pytest.mark.parametrize(("data", "reason"), SPOILT, ids=[reason for _, reason in SPOILT])
    def test_what_is_no_note_is_refused_with_its_reason(self, data: bytes, reason: str) -> None:
        with pytest.raises(Unreadable, match=reason.replace("(", r"\(")):
            read("x.md", data)


class TestRoundTrip:
    @given(
        page=st.builds(
            Page,
            path=st.just("a/b.md"),
            title=text(1, 300),
            text=text(1, 500),
            tags=st.lists(SLUGS, unique=True, max_size=4).map(tuple),
            created_at=TIMES,
            updated_at=TIMES,
            is_archived=st.booleans(),
            note_id=st.text("0123456789abcdef", min_size=32, max_size=32),
        )
    )
    def test_what_is_written_is_read_as_it_was(self, page: Page) -> None:
        """Whatever the title and the text hold: colons, rules, tabs, emoji, line separators."""
        assert read(page.path, write(page)) == page

    @given(title=text(1, 30), body=text(1, 60), properties=PROPERTIES, tags=st.lists(SLUGS, unique=True, max_size=2))
    def test_foreign_properties_survive_any_number_of_times(
        self, title: str, body: str, properties: str, tags: list[str]
    ) -> None:
        page = Page(path="x.md", title=title, text=body, tags=tuple(tags), note_id="a" * 32, properties=properties)
        once = read("x.md", write(page))
        assert (once, once.properties) == (read("x.md", write(once)), properties)

    def test_what_is_stored_already_is_written_however_long(self) -> None:
        """One note must not take the export from all others."""
        page = Page(path="x.md", title="A", text="x", properties=f"k: {'a' * MAX_FRONT_MATTER_CHARS}\n")
        assert page.properties in write(page).decode()

    def test_what_is_just_not_too_long_comes_back_with_all_that_a_store_adds(self) -> None:
        """Its times and its id."""
        lengths = range(MAX_FRONT_MATTER_CHARS - 200, MAX_FRONT_MATTER_CHARS, 10)
        taken = [page for n in lengths if (page := tried(f"---\nk: {'a' * n}\n---\ntext".encode()))]
        at = "2024-01-01T00:00:00.000+00:00"
        page = replace(taken[-1], note_id="a" * 32, created_at=at, updated_at=at, is_archived=True)

        assert 0 < len(taken) < len(lengths)
        assert read("x.md", write(page)) == page

    @given(st.text(st.sampled_from("-\n: #[]{}'\"ab.\r\t&*!|>"), max_size=60))
    def test_no_file_is_a_crash(self, said: str) -> None:
        """A note, or a reason; and what is a note comes back."""
        try:
            page = read("x.md", said.encode())
        except Unreadable as exc:
            assert str(exc)
            return
        again = read("x.md", write(page))
        assert (again.title, again.text, again.properties) == (page.title, page.text, page.properties)

    @pytest.mark.parametrize("mark", "\x85\u2028\u2029\ufeff\r\x01\ud7ff\U0001f600")
    def test_titles_keep_every_character(self, mark: str) -> None:
        page = Page(path="x.md", title=f"a{mark}", text="x", note_id="a" * 32)
        assert read("x.md", write(page)) == page

    def test_the_title_without_front_matter_is_the_files(self) -> None:
        assert read("a/b/Deep note.md", b"x").title == PurePosixPath("Deep note.md").stem
