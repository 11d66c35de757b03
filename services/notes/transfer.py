"""Brings folders of Markdown in and writes them out, a batch at a time: neither is ever in memory as a whole."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO

from services.notes.folder import Found, Names, add_note, notes_in
from services.notes.pages import Unreadable
from services.notes.sidecar import beside, kept, page_of
from services.notes.store import Imported, Kept, Note, Notebook, Outcome, Version

BATCH = 100
"""Notes per transaction."""

IN_MEMORY_BYTES = 4 * 1024 * 1024
"""An export beyond this goes on in a file that has no name."""


async def bring_in(notebook: Notebook, archive: IO[bytes]) -> list[Imported]:
    """What became of each file of the ZIP. Raises `NotAFolder`; what was brought in before that stays.

    Bringing the same folder in again changes nothing, so one that was cut off is simply sent again.
    """
    files = notes_in(archive)
    done: list[Imported] = []
    while batch := await asyncio.to_thread(_read, files):
        brought = [entry for entry in batch if isinstance(entry, Kept)]
        done += [entry for entry in batch if isinstance(entry, Imported)]
        done += await notebook.take(brought) if brought else []
    return done


async def write_out(notebook: Notebook) -> IO[bytes]:
    """A ZIP of every note of the notebook, at its beginning. The caller closes it."""
    out = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 (it is the caller's)
    try:
        names, after = Names(), 0
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folder:
            while notes := await notebook.page(BATCH, after):
                after = notes[-1].number
                entries = [(note, await notebook.history(note.id)) for note in notes]
                await asyncio.to_thread(_write, folder, entries, names)
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return out


def _read(files: Iterator[Found]) -> list[Kept | Imported]:
    return [_entry(found) for found in itertools.islice(files, BATCH)]


def _entry(found: Found) -> Kept | Imported:
    if found.page is None:
        return Imported(path=found.path, outcome=Outcome.REFUSED, reason=found.reason)
    try:
        return kept(found, found.page)
    except Unreadable as exc:
        return Imported(path=found.path, outcome=Outcome.REFUSED, reason=str(exc))


def _write(folder: zipfile.ZipFile, entries: list[tuple[Note, list[Version]]], names: Names) -> None:
    for note, history in entries:
        add_note(folder, page_of(note, names.free(note.path, note.title)), beside(note, history))
