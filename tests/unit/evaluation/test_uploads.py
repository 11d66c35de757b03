"""The files of a measurement of ingestion: of every kind, each another document, as many bytes as asked."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from services.evaluation.debian import CorpusError
from services.evaluation.uploads import files

PAGE = b"<html><body>" + b"<p>words</p>" * 100 + b"</body></html>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Packages that were unpacked before: two pages, a text, a packed PDF, and what is no upload."""
    docs = tmp_path / "debian-docs" / "files" / "usr/share/doc/some"
    docs.mkdir(parents=True)
    (docs / "a.html").write_bytes(PAGE)
    (docs / "b.html").write_bytes(PAGE.replace(b"words", b"other"))
    (docs / "c.txt").write_bytes(b"text " * 300)
    (docs / "d.pdf.gz").write_bytes(gzip.compress(b"%PDF" + random.Random(1).randbytes(2000)))
    (docs / "tiny.html").write_bytes(b"<html>moved")
    (docs / "e.png").write_bytes(b"x" * 5000)
    return tmp_path


def test_all_kinds_come_and_what_is_packed_comes_unpacked(folder: Path) -> None:
    """Each once while the packages hold enough, nothing that RAG does not read."""
    made = {file.path.name: data for file, data in files(folder, 0.005)}

    assert made.keys() == {"a.html", "b.html", "c.txt", "d.pdf.gz"}
    assert made["d.pdf.gz"].startswith(b"%PDF")


def test_beyond_the_packages_every_copy_is_another_document(folder: Path) -> None:
    """No two names and no two contents are alike, and the bytes are as many as asked and one file more at most."""
    made = list(files(folder, 0.05))

    assert len({file.name for file, _ in made}) == len(made) == len({data for _, data in made})
    assert 50_000 <= sum(len(data) for _, data in made) < 50_000 + 5_000
    assert all(data.endswith(b"</p></body></html>") for file, data in made if file.path.suffix == ".html")


def test_the_same_is_sent_each_time(folder: Path) -> None:
    assert list(files(folder, 0.02)) == list(files(folder, 0.02))


def test_packages_without_a_file_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "debian-docs" / "files").mkdir(parents=True)
    with pytest.raises(CorpusError, match="delete that folder"):
        next(files(tmp_path, 1))
