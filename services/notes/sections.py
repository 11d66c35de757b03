"""Cuts a long note into sections that a window holds: at headings first, then at finer places. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:\s|$)")
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"[.!?]['\")\]]*\s+")
_WORD = re.compile(r"\s+")
FINER = (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
"""Where a section that is too long is cut: at the first of these that it has."""


def sections(text: str, *, max_bytes: int) -> list[str]:
    """Pieces of at most `max_bytes` UTF-8 bytes that together are exactly `text`; neighbours are merged while they fit.

    Bytes, because a byte-level tokenizer never makes more tokens than bytes. `max_bytes` must be at least 4, which the
    longest character needs.
    """
    pieces: list[str] = []
    for section in _at_headings(text):
        pieces += _fitting(section, max_bytes, FINER)
    return _merged(pieces, max_bytes)


def _at_headings(text: str) -> Iterator[str]:
    """`text` in front of each heading; a `#` inside a code block is none."""
    fence = ""
    section: list[str] = []
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence and section and _HEADING.match(line):
            yield "".join(section)
            section = []
        section.append(line)
    if section:
        yield "".join(section)


def _fitting(piece: str, max_bytes: int, finer: tuple[re.Pattern[str], ...]) -> list[str]:
    if len(piece.encode()) <= max_bytes:
        return [piece]
    if not finer:
        return list(_hard(piece, max_bytes))
    parts, start = [], 0
    for match in finer[0].finditer(piece):
        parts.append(piece[start : match.end()])
        start = match.end()
    if start < len(piece):
        parts.append(piece[start:])
    return _merged([p for part in parts for p in _fitting(part, max_bytes, finer[1:])], max_bytes)


def _hard(piece: str, max_bytes: int) -> Iterator[str]:
    """Between characters, where nothing else is left: one word longer than the window."""
    step = max_bytes // 4
    yield from (piece[start : start + step] for start in range(0, len(piece), step))


def _merged(pieces: list[str], max_bytes: int) -> list[str]:
    merged: list[str] = []
    size = 0
    for piece in pieces:
        length = len(piece.encode())
        if merged and size + length <= max_bytes:
            merged[-1] += piece
            size += length
        else:
            merged.append(piece)
            size = length
    return merged
