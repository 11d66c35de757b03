"""What reading a document gives: its text with the places of its pages, or a refusal that says why. Values only."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document as it came: its bytes and what the sender calls it. `media_type` may have a charset, or be empty."""

    data: bytes
    name: str
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Page or slide `number`, counted from 1: from `start` up to but without `end`, in characters of the text."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The text of a document. `title` is the document's own, empty where it has none; `pages` where it has pages."""

    text: str
    title: str = ""
    media_type: str = ""
    pages: tuple[Page, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of reading one document; docs/RAG.md says why they are what they are.

    `memory_bytes` is address space: an interpreter with the Office readers loaded needs 0.3 GB of it. `passages`, whose
    vectors are all in memory until they are written together, are more than 20 million characters of English make.
    """

    chars: int = 20_000_000
    pages: int = 5_000
    passages: int = 50_000
    unpacked_bytes: int = 256 * 1024 * 1024
    unpacked_ratio: int = 200
    zip_entries: int = 10_000
    cpu_s: int = 60
    wall_s: float = 90.0
    memory_bytes: int = 2 * 1024**3


class Refusal(Exception):
    """This document cannot be taken in. `code` is stable, for programs; `detail` says what, where and what to do.

    `again`: another attempt, later, may well go better.
    """

    def __init__(self, code: str, detail: str, *, again: bool = False) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.again = again


def plain_name(name: str) -> str:
    """A file's name without its folders and without what no line of text has; `document` where nothing is left."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip()[:300] or "document"


def page_of(pages: Sequence[Page], at: int) -> int | None:
    """The number of the page that the character `at` stands on; None for a document without pages."""
    if not pages:
        return None
    found = bisect.bisect_right(pages, at, key=lambda page: page.start)
    return pages[max(found - 1, 0)].number
