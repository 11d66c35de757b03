"""The repair of a library that calls a program's functions instead of its own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from services.stack.elf import DYNAMIC_SEGMENT, ENTRY, HEADER, RPATH, SEGMENT, SYMBOLIC, prefer_own_functions


def library(folder: Path, *tags: int) -> Path:
    """A file with an ELF header, one dynamic segment and these entries."""
    at = HEADER.size + SEGMENT.size
    header = HEADER.pack(b"\x7fELF\x02\x01", 3, 62, 1, 0, HEADER.size, 0, 0, HEADER.size, SEGMENT.size, 1, 0, 0, 0)
    segment = SEGMENT.pack(DYNAMIC_SEGMENT, 6, at, at, at, ENTRY.size * len(tags), ENTRY.size * len(tags), 8)
    file = folder / "libfake.so"
    file.write_bytes(header + segment + b"".join(ENTRY.pack(tag, 7) for tag in tags))
    file.chmod(0o755)
    return file


def tags_of(file: Path) -> list[int]:
    entries = file.read_bytes()[HEADER.size + SEGMENT.size :]
    return [tag for tag, _ in struct.iter_unpack(ENTRY.format, entries)]


def test_its_search_path_is_given_up_for_its_own_functions(tmp_path: Path) -> None:
    """Once; the second time there is nothing to do, and the mode stays."""
    file = library(tmp_path, 1, RPATH, 5)

    assert prefer_own_functions(file) is True
    assert tags_of(file) == [1, SYMBOLIC, 5]
    assert prefer_own_functions(file) is False
    assert file.stat().st_mode & 0o777 == 0o755
    assert list(tmp_path.iterdir()) == [file]


def test_a_program_that_runs_with_it_is_not_disturbed(tmp_path: Path) -> None:
    """Whoever has the old file open keeps the old file."""
    file = library(tmp_path, RPATH)
    with file.open("rb") as running:
        prefer_own_functions(file)

        assert tags_of(file) == [SYMBOLIC]
        assert struct.unpack_from("<q", running.read(), HEADER.size + SEGMENT.size)[0] == RPATH


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"MZ" * 200])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """As a ValueError, which the caller turns into a message with a next command."""
    file = tmp_path / "other"
    file.write_bytes(content)

    with pytest.raises(ValueError):
        prefer_own_functions(file)


def test_a_library_without_a_search_path_is_refused(tmp_path: Path) -> None:
    """There is no entry to give up."""
    with pytest.raises(ValueError, match="no search path"):
        prefer_own_functions(library(tmp_path, 1, 5))
