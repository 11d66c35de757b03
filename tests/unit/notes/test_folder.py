"""Folders of notes in a ZIP: bombs, paths that lead out, damage and foreign files each have a reason; others go on."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notes import folder
from services.notes.folder import Found, Names, NotAFolder, add_note, notes_in
from services.notes.pages import Page


def packed(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return archive


def found(archive: io.BytesIO) -> dict[str, Found]:
    return {f.path: f for f in notes_in(archive)}


class TestWhatIsTaken:
    def test_notes_keep_their_folders_and_hidden_files_are_none(self) -> None:
        files = {"a.md": "A", "Work/b.md": "B", ".obsidian/x.md": "no", "__MACOSX/._a.md": b"\0", "Work/": ""}
        got = found(packed(files))

        assert {path: f.page.text for path, f in got.items() if f.page} == {"a.md": "A", "Work/b.md": "B"}
        assert len(got) == 2

    def test_what_notes_wrote_beside_a_note_comes_with_it(self) -> None:
        archive = io.BytesIO()
        page = Page(path="a.md", title="A", text="x", note_id="f" * 32)
        with zipfile.ZipFile(archive, "w") as out:
            add_note(out, page, b'{"more": 1}')

        assert list(notes_in(archive)) == [Found(path="a.md", page=page, sidecar=b'{"more": 1}')]

    def test_what_lies_beside_a_note_has_a_bound_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "MAX_SIDECAR_BYTES", 10)
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            add_note(out, Page(path="a.md", title="A", text="x", note_id="f" * 32), b"x" * 11)

        assert "wrote beside it: it is larger than 10 bytes" in str(found(archive)["a.md"].reason)


OUT = ["/etc/x.md", "../x.md", "a/../../x.md", "C:/x.md", "..\\x.md"]


class TestWhatIsNot:
    @pytest.mark.parametrize("name", OUT)
    def test_a_path_that_leads_out_is_refused_and_others_go_on(self, name: str) -> None:
        got = found(packed({name: "x", "good.md": "fine"}))

        assert "leads out" in str(got[name].reason)
        assert got["good.md"].page is not None

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [
            ("a.png", b"\x89PNG", "not Markdown"),
            ("a.md", b"\xff\xfe\xff", "not UTF-16 text"),
            ("a.md", b"", "empty"),
            ("a\x01.md", b"x", "control characters"),
            ("x" * 500 + ".md", b"x", "too long"),
            ("a.md", b"x" * (folder.MAX_FILE_BYTES + 1), "larger than 4194304"),
        ],
    )
    def test_a_file_that_is_no_note_has_its_reason(self, name: str, data: bytes, reason: str) -> None:
        got = found(packed({name: data, "good.md": "fine"}))

        assert reason in str(got[name].reason)
        assert got["good.md"].page is not None

    def test_a_bomb_ends_at_the_bound_of_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each file is within its own; what came before stays, what comes after is told why."""
        monkeypatch.setattr(folder, "MAX_TOTAL_BYTES", 2_500)
        got = found(packed({f"{n}.md": b"x" * 1000 for n in range(4)}))

        assert [f.page is not None for f in got.values()] == [True, True, False, False]
        assert "unpacks to more than 2500 bytes" in str(got["2.md"].reason)

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_methods_that_unpack_without_bound_are_refused(self, method: int) -> None:
        assert "other than deflate" in str(found(packed({"a.md": "x"}, method))["a.md"].reason)

    def test_links_and_encrypted_files_are_refused(self) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out:
            link = zipfile.ZipInfo("link.md")
            link.external_attr = 0o120777 << 16
            out.writestr(link, "/etc/passwd")
            out.writestr("locked.md", "x")
        data = bytearray(archive.getvalue())
        at = data.rindex(b"PK\x01\x02")
        data[at + 8] |= 1
        got = found(io.BytesIO(bytes(data)))

        assert "link" in str(got["link.md"].reason)
        assert "encrypted" in str(got["locked.md"].reason)

    def test_two_files_of_one_name_are_told(self) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out, pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("a.md", "one")
            out.writestr("a.md", "two")

        assert [f.reason is None for f in notes_in(archive)] == [True, False]

    def test_a_file_without_a_name_is_told(self) -> None:
        data = packed({"a.md": "x"}).getvalue().replace(b"a.md", b"\0.md")
        assert "not Markdown" in str(found(io.BytesIO(data))[""].reason)

    def test_a_damaged_file_has_its_reason(self) -> None:
        data = packed({"a.md": b"some words " * 50, "b.md": "fine"}).getvalue()
        spoilt = bytearray(data)
        spoilt[40] ^= 0xFF
        got = found(io.BytesIO(bytes(spoilt)))

        assert "damaged" in str(got["a.md"].reason)
        assert got["b.md"].page is not None


class TestWhole:
    @pytest.mark.parametrize(
        "data",
        [b"", b"no zip", b"PK\x05\x06", packed({"a.md": "x"}).getvalue()[:-10]],
        ids=["empty", "no zip", "an end alone", "cut"],  # the bytes hold the time
    )
    def test_what_is_no_zip_is_told(self, data: bytes) -> None:
        with pytest.raises(NotAFolder, match="not a ZIP"):
            list(notes_in(io.BytesIO(data)))

    def test_too_many_files_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "MAX_FILES", 2)
        with pytest.raises(NotAFolder, match="3 files"):
            list(notes_in(packed({f"{n}.md": "x" for n in range(3)})))

    def test_a_huge_list_of_files_is_refused_before_it_is_read(self) -> None:
        data = bytearray(packed({"a.md": "x"}).getvalue())
        struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, folder.MAX_DIRECTORY_BYTES + 1)
        with pytest.raises(NotAFolder, match="list of files"):
            list(notes_in(io.BytesIO(bytes(data))))

    def test_an_archive_beyond_the_bound_is_not_opened(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "MAX_ZIP_BYTES", 10)
        with pytest.raises(NotAFolder, match="larger than 10 bytes"):
            list(notes_in(packed({"a.md": "x"})))

    @given(st.integers(0, 200), st.integers(0, 255))
    def test_no_spoilt_byte_is_a_crash(self, at: int, value: int) -> None:
        """A note, a reason, or a whole archive that is refused."""
        data = bytearray(packed({"a.md": "one", "b.md": "two"}).getvalue())
        data[at % len(data)] = value
        try:
            assert all(f.page or f.reason for f in notes_in(io.BytesIO(bytes(data))))
        except NotAFolder as exc:
            assert str(exc)


class TestNames:
    def test_a_note_keeps_the_path_that_it_came_with(self) -> None:
        assert Names().free("Work/a.md", "Other") == "Work/a.md"

    def test_titles_become_names_that_every_system_takes(self) -> None:
        names = Names()
        assert [names.free("", t) for t in ("A: b/c?", "a- b-c", "..", "x" * 300, "\x80a")] == [
            "A- b-c.md",
            "a- b-c (2).md",
            "note.md",
            f"{'x' * 120}.md",
            "a.md",
        ]
