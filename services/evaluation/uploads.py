"""Files for a measurement of ingestion: those of the documentation packages, of every kind that RAG reads of them."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from services.evaluation.debian import CorpusError, packages

KINDS = (".html", ".txt", ".pdf", ".pdf.gz")
TEXTS = (".html", ".txt")
"""Kinds of which a marked copy is another document: it has one more line."""

ROOTS = ("usr/share/doc", "usr/share/debian-reference")
SMALLEST = 1_000
"""Bytes; below it a file is a redirect or a list of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One upload: read from disk when it is its turn. `copy` is 0 for the file as it is."""

    path: Path
    copy: int = 0

    @property
    def name(self) -> str:
        """Unlike any other's."""
        told = "-".join(self.path.parts[1:][-4:]).removesuffix(".gz")
        return f"{self.copy}-{told}" if self.copy else told

    def data(self) -> bytes:
        """The bytes to send; those of a copy say which copy they are."""
        read = self.path.read_bytes()
        if self.path.suffix == ".gz":
            return gzip.decompress(read)
        mark = f"Copy {self.copy} of {self.path.name}."
        return _marked(read, mark) if self.copy else read


def files(folder: Path, mb: float) -> Iterator[tuple[File, bytes]]:
    """Files with their bytes until these make `mb` million, in an order that mixes packages and kinds.

    The packages are those of `debian.packages`, unpacked in `folder`, which apt fills if it is empty. Where they hold
    less than is asked, copies follow, each with a line of its own. Raises `CorpusError`.
    """
    unpacked = packages(folder) / "files"
    sent, wanted = 0, mb * 1e6
    for copy in count():
        found = _found(unpacked, copy)
        random.Random(copy).shuffle(found)
        for file in found:
            data = file.data()
            yield file, data
            sent += len(data)
            if sent >= wanted:
                return


def _found(unpacked: Path, copy: int) -> list[File]:
    kinds = TEXTS if copy else KINDS
    paths = sorted(path for root in ROOTS for path in (unpacked / root).rglob("*") if path.name.endswith(kinds))
    made = [File(path=p, copy=copy) for p in paths if p.is_file() and not p.is_symlink()]
    large = [file for file in made if file.path.stat().st_size >= SMALLEST]
    if not large:
        raise CorpusError(f"no file to upload below {unpacked}; delete that folder, and the same command fetches it")
    return large


def _marked(data: bytes, mark: str) -> bytes:
    """Before the end of an HTML page's body, else at the end of a text."""
    end = data.rfind(b"</body>")
    if end < 0:
        return data + f"\n\n{mark}\n".encode()
    return data[:end] + f"<p>{mark}</p>".encode() + data[end:]
