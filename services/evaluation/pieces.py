"""What the day's work is made of: questions, notes and paragraphs, all drawn from Debian's documents. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.evaluation.questions import Kind, Question, Split
from services.evaluation.sections import Section

NOTE_CHARS, PARAGRAPH_CHARS = (300, 2000), (200, 700)
"""How long a section is that becomes a note, or a paragraph to find names in: what people write, in characters."""

NAMES = 3
"""Capitalised words inside sentences that a paragraph has at least: one without names shows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One request to one service; `read` says what its answer is worth, as numbers by name."""

    service: str
    path: str
    body: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], Mapping[str, float]]


def questions(asked: Sequence[Question], passages: Sequence[Section], count: int) -> list[Piece]:
    """`count` questions that authors of a FAQ asked, of the half on which no weight was fitted."""
    held_out = [q for q in asked if q.kind is Kind.ASKED and q.split is Split.HELD_OUT]
    return [_question(q.text, passages[q.gold].page) for q in _drawn(held_out, count, lambda q: q.text)]


def notes(passages: Sequence[Section], count: int) -> list[tuple[str, str]]:
    """Titles and texts of `count` notes."""
    fitting = [p for p in passages if p.heading and _is_within(p.text, NOTE_CHARS)]
    return [(p.heading, p.text) for p in _drawn(fitting, count, lambda p: p.key)]


def summary(note_id: str, text: str) -> Piece:
    """A summary of a stored note: how long it is beside the note."""
    return Piece(
        service="notes",
        path=f"/v1/notes/{note_id}/summary",
        body={},
        read=lambda told: {"shorter to": len(told["summary"]["text"]) / len(text)},
    )


def paragraphs(passages: Sequence[Section], count: int) -> list[Piece]:
    """`count` paragraphs with names in them, to be read into the graph."""
    fitting = [p for p in passages if _is_within(p.text, PARAGRAPH_CHARS) and _names(p.text) >= NAMES]
    return [
        Piece(service="ner", path="/v1/documents", body={"text": p.text}, read=_found)
        for p in _drawn(fitting, count, lambda p: p.key)
    ]


def _question(text: str, page: str) -> Piece:
    def read(told: Mapping[str, Any]) -> Mapping[str, float]:
        cited = told["citations"]
        verified = [float(c["verified"]) for c in cited]
        return {
            "answerable": float(told["answerable"]),
            "right page cited": float(any(c["title"] == page for c in cited)),
            **({"quotes verified": sum(verified) / len(verified)} if verified else {}),
        }

    return Piece(service="rag", path="/v1/ask", body={"question": text, "k": 3, "max_tokens": 48}, read=read)


def _found(told: Mapping[str, Any]) -> Mapping[str, float]:
    return {"names": float(len(told["entities"])), "made up": float(len(told["rejected"]))}


def _drawn(values: Sequence[Any], count: int, key: Callable[[Any], str]) -> list[Any]:
    """By hash of a name: the same on every machine, and no run can choose."""
    return sorted(values, key=lambda value: hashlib.sha256(key(value).encode()).digest())[:count]


def _is_within(text: str, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= len(text) <= bounds[1]


def _names(text: str) -> int:
    words = text.split()
    return sum(b[:1].isupper() and not a.endswith((".", ":", "!", "?")) for a, b in itertools.pairwise(words))
