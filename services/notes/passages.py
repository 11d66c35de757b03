"""The passages of notes that a question is answered from, and the sentences that an answer rests on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.notes.sections import sections
from services.notes.store import Note, Passage
from services.store.words import terms
from services.web.cited import named, unmarked

PASSAGE_BYTES = 900
"""About 220 tokens: what an embedding model holds, and several of them fit any window."""

_SENTENCE = re.compile(r"\S.*?(?:[.!?]['\")\]]*(?=\s|\Z)|\n|\Z)", re.DOTALL)
_WORD = re.compile(r"\w+")
_STEM_CHARS = 4
"""Two words are alike where the longer begins with the shorter, this many characters at least: `swap`, `swaps`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A sentence that the answer rests on; `verified` where the note, read again, still says it at that place.

    `version` is the note's that was read last.
    """

    n: int
    note_id: str
    title: str
    version: int
    start: int
    end: int
    quote: str
    verified: bool = False


def passages(note: Note) -> list[Passage]:
    """The whole note, in pieces."""
    found, at = [], 0
    for text in sections(note.text, max_bytes=PASSAGE_BYTES):
        if text.strip():
            piece = Passage(
                note_id=note.id, title=note.title, version=note.version, start=at, end=at + len(text), text=text
            )
            found.append(piece)
        at += len(text)
    return found


def best(question: str, notes: Iterable[Note], k: int) -> list[Passage]:
    """The `k` passages of `notes`, which come best first, that share the most words with the question.

    Of eight notes of 500,000 characters it takes seconds: call it in a thread.
    """
    wanted = terms(question)
    ranked = [
        (-_shared(wanted, piece.text), rank, piece.start, piece)
        for rank, note in enumerate(notes)
        for piece in passages(note)
    ]
    return [piece for *_, piece in sorted(ranked, key=lambda found: found[:3])[:k]]


def citations(answer: str, shown: Sequence[Passage]) -> tuple[Citation, ...]:
    """A sentence of each passage that the answer names; where it names none, of all that the model was shown."""
    return tuple(_citation(n, piece, answer) for n, piece in named(answer, shown))


def _citation(n: int, piece: Passage, answer: str) -> Citation:
    said = terms(unmarked(answer))
    spans = [match.span() for match in _SENTENCE.finditer(piece.text)]
    start, end = max(spans, key=lambda span: _shared(said, piece.text[slice(*span)]))
    quote = piece.text[start:end].rstrip()
    at = piece.start + start
    end = at + len(quote)
    return Citation(
        n=n, note_id=piece.note_id, title=piece.title, version=piece.version, start=at, end=end, quote=quote
    )


def _shared(wanted: Sequence[str], text: str) -> int:
    words = {word.lower() for word in _WORD.findall(text)}
    return sum(term in words or any(_is_alike(term, word) for word in words) for term in wanted)


def _is_alike(one: str, other: str) -> bool:
    short, long = (one, other) if len(one) < len(other) else (other, one)
    return len(short) >= _STEM_CHARS and long.startswith(short)
