"""Fetches the documentation packages of Debian that the retrieval set is made of, by apt, and unpacks them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.evaluation.sections import Section, sections


class CorpusError(Exception):
    """The documents cannot be had. The message says what failed and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Pages of one package: those below `root` that fit `pattern`."""

    package: str
    root: str
    pattern: str


PARTS = (
    Part(package="python3.11-doc", root="usr/share/doc/python3.11/html", pattern="faq/*.html"),
    Part(package="python3.11-doc", root="usr/share/doc/python3.11/html", pattern="library/*.html"),
    Part(package="python3.11-doc", root="usr/share/doc/python3.11/html", pattern="tutorial/*.html"),
    Part(package="debian-faq", root="usr/share/doc/debian/FAQ", pattern="*.en.html"),
    Part(package="debian-handbook", root="usr/share/doc/debian-handbook/html/en-US", pattern="*.html"),
    Part(package="debian-reference-en", root="usr/share/doc/debian-reference-en/docs", pattern="*.en.html"),
)
PACKAGES = ("python3.11-doc", "debian-faq", "debian-handbook", "debian-reference-en")
WITHOUT = frozenset({"index.html", "index.en.html"})
LIMIT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Every passage, and the version of each package that they are from."""

    passages: tuple[Section, ...]
    versions: Mapping[str, str]


def corpus(folder: Path) -> Corpus:
    """The passages of the packages unpacked in `folder`, which apt fills if it is empty. Raises `CorpusError`."""
    unpacked = packages(folder)
    passages = [passage for part in PARTS for passage in _passages(unpacked / "files", part)]
    versions = dict(line.split(" ", 1) for line in (unpacked / "versions").read_text().splitlines())
    return Corpus(passages=tuple(passages), versions=versions)


def packages(folder: Path) -> Path:
    """Where the packages are in `folder`: their `files` and their `versions`. Raises `CorpusError`."""
    unpacked = folder / "debian-docs"
    if not unpacked.is_dir():
        _fetch(unpacked)
    return unpacked


def pages(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every page by its name, as HTML, of what `corpus` has put into `folder`. Raises `CorpusError`."""
    for part in PARTS:
        yield from _pages(folder / "debian-docs" / "files", part)


def _passages(files: Path, part: Part) -> Iterator[Section]:
    for name, data in _pages(files, part):
        yield from sections(data, page=name)


def _pages(files: Path, part: Part) -> Iterator[tuple[str, bytes]]:
    found = sorted((files / part.root).glob(part.pattern))
    if not found:
        raise CorpusError(f"no {part.pattern} in {files / part.root}: {part.package} is laid out in another way now")
    for page in found:
        if page.name not in WITHOUT:
            yield f"{part.package}/{page.relative_to(files / part.root)}", page.read_bytes()


def _fetch(target: Path) -> None:
    """Whole or not at all: unpacked aside, then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aside-", dir=target.parent) as scratch:
        aside = Path(scratch)
        _call(["apt-get", "download", *PACKAGES], aside)
        lines = []
        for deb in sorted(aside.glob("*.deb")):
            _call(["dpkg-deb", "-x", deb.name, "files"], aside)
            lines.append(_call(["dpkg-deb", "-W", "--showformat=${Package} ${Version}", deb.name], aside))
            deb.unlink()
        (aside / "versions").write_text("\n".join(lines) + "\n")
        made = target.parent / f"{target.name}.made"
        shutil.copytree(aside, made, symlinks=True, dirs_exist_ok=True)
        made.replace(target)


def _call(argv: list[str], cwd: Path) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CorpusError(f"cannot run {argv[0]}: {exc}; the retrieval set needs a Debian or Ubuntu with apt") from exc
    if done.returncode:
        said = " | ".join(done.stderr.strip().splitlines()[-3:])
        raise CorpusError(f"{' '.join(argv)} failed: {said}; try `apt-get update`, then the same command")
    return done.stdout.strip()
