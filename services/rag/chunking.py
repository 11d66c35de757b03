"""Cuts a document into passages, each an exact span of its text: by the embedding model's tokens, else by characters.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from semantic_text_splitter import MarkdownSplitter

TARGET_CHARS = 600
TARGET_TOKENS, OVERLAP_TOKENS = 220, 30
"""Below MiniLM's window of 256 with room for its special tokens (reference/services.md 4.4)."""
SECTION_CHARS = 8_000
"""The splitter looks at all sentences that are left again and again: a million words without one took it 500 s. So it
is given a text section by section, none longer than this.
"""
_SPACE = re.compile(r"\s*")
_SENTENCE_END = re.compile(r"[.!?:]['\")\]]*(?=\s)")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `start` up to but without `end`, in characters of the document's text."""

    start: int
    end: int


def passages(text: str, *, target: int = TARGET_CHARS) -> list[Span]:
    """Neighbouring paragraphs merged up to `target` characters; a longer one is split at a sentence, else a space."""
    merged: list[Span] = []
    for piece in _pieces(text, target):
        if merged and piece.end - merged[-1].start <= target:
            merged[-1] = Span(start=merged[-1].start, end=piece.end)
        else:
            merged.append(piece)
    return merged


class Cutter:
    """Cuts into passages of at most `TARGET_TOKENS` of `tokenizer` (a `tokenizers.Tokenizer`), else of characters."""

    def __init__(self, tokenizer: Any | None = None) -> None:
        self._splitter = None
        if tokenizer is not None:
            make = MarkdownSplitter.from_huggingface_tokenizer
            self._splitter = make(tokenizer, TARGET_TOKENS, OVERLAP_TOKENS)

    def passages(self, text: str) -> list[Span]:
        """Neighbours share up to `OVERLAP_TOKENS` tokens; where there is no tokenizer, nothing."""
        if self._splitter is None:
            return passages(text)
        found = []
        for section in passages(text, target=SECTION_CHARS):
            for at, chunk in self._splitter.chunk_indices(text[section.start : section.end]):
                start = section.start + at
                found.append(Span(start=start, end=start + len(chunk)))
        return found


def supporting(text: str, span: Span, answer: str) -> Span:
    """The sentence inside `span` that shares the most words with `answer`; the first one where none shares any."""
    wanted = _words(answer)
    return max(_sentences(text, span), key=lambda s: len(wanted & _words(text[s.start : s.end])))


def _pieces(text: str, target: int) -> Iterator[Span]:
    for paragraph in _paragraphs(text):
        start, end = paragraph.start, paragraph.end
        while end - start > target:
            cut = _cut(text, start, start + target)
            yield Span(start=start, end=_trimmed_end(text, start, cut))
            start = _next_start(text, cut, end)
        if start < end:
            yield Span(start=start, end=end)


def _paragraphs(text: str) -> Iterator[Span]:
    """Runs of lines that are not blank, without the white space around them."""
    at, start = 0, None
    for line in text.splitlines(keepends=True):
        if line.strip():
            start = _next_start(text, at, at + len(line)) if start is None else start
        elif start is not None:
            yield Span(start=start, end=_trimmed_end(text, start, at))
            start = None
        at += len(line)
    if start is not None:
        yield Span(start=start, end=_trimmed_end(text, start, at))


def _cut(text: str, start: int, limit: int) -> int:
    ends = [m.end() for m in _SENTENCE_END.finditer(text, start, limit)]
    if ends:
        return ends[-1]
    spaces = [i for i in range(start + 1, limit) if text[i].isspace()]
    return spaces[-1] if spaces else limit


def _trimmed_end(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _next_start(text: str, start: int, end: int) -> int:
    space = _SPACE.match(text, start, end)
    return space.end() if space else start


def _sentences(text: str, span: Span) -> list[Span]:
    found, start = [], span.start
    for match in _SENTENCE_END.finditer(text, span.start, span.end):
        found.append(Span(start=start, end=match.end()))
        start = _next_start(text, match.end(), span.end)
    if start < span.end:
        found.append(Span(start=start, end=span.end))
    return found


def _words(text: str) -> set[str]:
    return {w for w in _WORD.findall(text.lower()) if len(w) > 2 or w.isdigit()}
