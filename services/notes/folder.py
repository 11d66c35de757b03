"""A folder of notes as a ZIP: what is in one, and why the rest of it is not taken. Nothing is ever unpacked to a disk.

Every read is bounded by what it gives, not by what the archive says of itself, so a bomb ends at the bound.
"""

from __future__ import annotations

import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from services.notes.pages import Page, Unreadable, read, write

MAX_ZIP_BYTES = 64 * 1024 * 1024
MAX_FILES = 10_000
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_SIDECAR_BYTES = 16 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
"""Of the archive's list of files: Python reads all of it at once, before anybody can count."""

SIDECARS = ".cutover/"
"""Where Notes writes what Markdown has no place for: history, summaries, suggested tags, with their producers."""

NOTE_SUFFIXES = (".md", ".markdown")
_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x07"
_END_BYTES, _COMMENT_BYTES = 22, 65_535
_LINK, _KIND = 0o120000, 0o170000
_UNSAFE = re.compile(r'[\\/:*?"<>|#^\[\]]+')
_MAX_NAME_BYTES = 120

_NO_ZIP = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError)
"""What `zipfile` raises for a damaged list of files: its own error, one for a newer format, a `ValueError` for a name
that is not the UTF-8 it claims to be, and the file's own for an offset that lies outside of it."""
_DAMAGED = (*_NO_ZIP, zlib.error, EOFError)
"""What it raises for a damaged part: the same, what deflate cannot undo, and data that ends too early."""


class NotAFolder(Exception):
    """The archive as a whole cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One file of a folder: its note, or the reason why it is none. `sidecar` is what Notes wrote beside it."""

    path: str
    page: Page | None = None
    sidecar: bytes | None = None
    reason: str | None = None


def notes_in(archive: IO[bytes]) -> Iterator[Found]:
    """Every file of the ZIP that is no hidden one, in its order. Raises `NotAFolder`."""
    _check_directory(archive)
    try:
        folder = zipfile.ZipFile(archive)
    except _NO_ZIP as exc:
        raise NotAFolder(f"it is not a ZIP that can be read: {exc}") from exc
    with folder:
        yield from _Reading(folder).files()


def add_note(folder: zipfile.ZipFile, page: Page, sidecar: bytes) -> None:
    """Write one note, and what Markdown has no place for beside it."""
    folder.writestr(page.path, write(page))
    folder.writestr(f"{SIDECARS}{page.note_id}.json", sidecar)


class Names:
    """Gives each note of an export a path that no other has, on file systems that know no case as well."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, path: str, title: str) -> str:
        """`path` where the note came with one, else one made of its title."""
        wanted = path or f"{_file_name(title)}.md"
        stem, suffix = wanted.removesuffix(".md"), ".md" if wanted.endswith(".md") else ""
        candidate, number = wanted, 1
        while _folded(candidate) in self._taken:
            number += 1
            candidate = f"{stem} ({number}){suffix}"
        self._taken.add(_folded(candidate))
        return candidate


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _file_name(title: str) -> str:
    """A name that every system takes; links of Obsidian cannot hold `#^[]|`."""
    printable = "".join(c if unicodedata.category(c)[0] != "C" else "-" for c in " ".join(title.split()))
    plain = _UNSAFE.sub("-", printable).encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    return plain.strip(" .-") or "note"


def _check_directory(archive: IO[bytes]) -> None:
    """The size of the list of files by every end record that a reader might find. Raises `NotAFolder`."""
    size = archive.seek(0, 2)
    if size > MAX_ZIP_BYTES:
        raise NotAFolder(f"it is larger than {MAX_ZIP_BYTES} bytes; send parts of it one after the other")
    archive.seek(max(0, size - _END_BYTES - _COMMENT_BYTES - 20))
    tail = archive.read()
    if _END_64 in tail:
        raise NotAFolder("it is a ZIP64 archive, which a folder of notes does not need; pack it anew")
    at = tail.find(_END)
    while at >= 0:
        if len(tail) - at >= _END_BYTES and struct.unpack_from("<I", tail, at + 12)[0] > MAX_DIRECTORY_BYTES:
            raise NotAFolder(f"its list of files is larger than {MAX_DIRECTORY_BYTES} bytes")
        at = tail.find(_END, at + 1)
    archive.seek(0)


class _Reading:
    """One pass over an archive, which counts what it has given out."""

    def __init__(self, folder: zipfile.ZipFile) -> None:
        self._folder = folder
        self._infos = folder.infolist()
        self._left = MAX_TOTAL_BYTES
        self._sidecars = {i.filename: i for i in self._infos if i.filename.startswith(SIDECARS)}

    def files(self) -> Iterator[Found]:
        if len(self._infos) > MAX_FILES:
            raise NotAFolder(f"it holds {len(self._infos)} files; at most {MAX_FILES} at a time, send parts of it")
        seen: set[str] = set()
        for info in self._infos:
            if info.filename.endswith("/") or _is_hidden(info.filename):
                continue
            if info.filename in seen:
                yield Found(path=info.filename, reason="the archive holds two files of this name; the first was taken")
                continue
            seen.add(info.filename)
            yield self._found(info)

    def _found(self, info: zipfile.ZipInfo) -> Found:
        try:
            path = safe_path(info.filename)
            if (info.external_attr >> 16) & _KIND == _LINK:
                raise Unreadable("it is a link to another file")
            page = read(path, self._data(info))
            return Found(path=path, page=page, sidecar=self._sidecar(page))
        except Unreadable as exc:
            return Found(path=info.filename, reason=str(exc))

    def _sidecar(self, page: Page) -> bytes | None:
        info = self._sidecars.get(f"{SIDECARS}{page.note_id}.json")
        try:
            return None if info is None else self._data(info, most=MAX_SIDECAR_BYTES)
        except Unreadable as exc:
            raise Unreadable(f"of what an export wrote beside it: {exc}; remove .cutover to do without") from exc

    def _data(self, info: zipfile.ZipInfo, *, most: int = MAX_FILE_BYTES) -> bytes:
        if info.flag_bits & 0x1:
            raise Unreadable("it is encrypted; pack the folder without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is packed by a method other than deflate, which can be bounded; pack it anew")
        bound = min(most, self._left)
        try:
            with self._folder.open(info) as file:
                data = file.read(bound + 1)
        except _DAMAGED as exc:
            raise Unreadable(f"its part of the archive is damaged: {exc}") from exc
        if len(data) > bound:
            whole = "the archive unpacks to more than" if bound < most else "it is larger than"
            raise Unreadable(f"{whole} {MAX_TOTAL_BYTES if bound < most else most} bytes")
        self._left -= len(data)
        return data


def _is_hidden(name: str) -> bool:
    """`.obsidian`, `.trash` and what macOS adds are settings, not notes."""
    return any(part == "__MACOSX" or re.match(r"\.[^./\\]", part) for part in name.split("/"))


def safe_path(name: str) -> str:
    """`name` as a path inside a folder. Raises `Unreadable` for one that leads out of it, and for what is no note."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise Unreadable("its path leads out of the folder")
    if len(name) > 500 or any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise Unreadable("its path is too long or holds control characters")
    if _is_hidden(name):
        raise Unreadable("its path is a hidden one, which is passed over")
    if not name.lower().endswith(NOTE_SUFFIXES):
        raise Unreadable("it is not Markdown; attachments are not kept")
    return str(path)
