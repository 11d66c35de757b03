"""What an answer rests on: the sentences it cites, whether it says anything, whether the passages bear it out. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.rag.chunking import Span, supporting
from services.rag.store import Hit
from services.store.words import STOP_WORDS

MIN_SUPPORT = 0.5
"""Share of an answer's words that a strict answer must find in what it cites. Numbers must all be there."""
_MARKER = re.compile(r"\[(\d{1,3})\]")
_NOT_STATED = re.compile(r"\W*(it is |this is |the answer is )?not (stated|mentioned|specified)\b[^.\n]{0,60}\W*", re.I)
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A sentence that the answer rests on: the exact span `start`..`end` of its document.

    `verified`: the stored document, read again after the answer, holds exactly `quote` at that place; `page` is where
    it stands there.
    """

    n: int
    document_id: str
    title: str
    chunk: int
    start: int
    end: int
    quote: str
    page: int | None = None
    verified: bool = False


def citations(answer: str, hits: Sequence[Hit]) -> tuple[Citation, ...]:
    """The passages that the answer names by number; where it names none, all that the model was shown."""
    if says_nothing(answer):
        return ()
    named = {int(n) for n in _MARKER.findall(answer)}
    numbered = list(enumerate(hits, start=1))
    chosen = [(n, h) for n, h in numbered if n in named] or numbered
    return tuple(_citation(n, hit, answer) for n, hit in chosen)


def says_nothing(answer: str) -> bool:
    """Whether the model said, as it was told to, that the passages do not say it."""
    return not answer.strip() or _NOT_STATED.fullmatch(answer.strip()) is not None


def is_supported(answer: str, passages: Sequence[str]) -> bool:
    """Whether the words of `answer` are in `passages`: half of them at least, and every number.

    Words, not meaning: it catches what was made up beside the passages, not what was turned round inside them.
    """
    said = _words(_MARKER.sub(" ", answer)) - STOP_WORDS
    held = {word for passage in passages for word in _words(passage)}
    if not said or any(_DIGIT.search(word) and word not in held for word in said):
        return False
    return len(said & held) >= MIN_SUPPORT * len(said)


def _words(text: str) -> set[str]:
    """All of them; a search takes the first few only."""
    return {word for word in re.findall(r"\w+", text.lower()) if word.strip("_")}


def _citation(n: int, hit: Hit, answer: str) -> Citation:
    sentence = supporting(hit.text, Span(start=0, end=len(hit.text)), answer)
    return Citation(
        n=n,
        document_id=hit.document_id,
        title=hit.title,
        chunk=hit.chunk,
        start=hit.start + sentence.start,
        end=hit.start + sentence.end,
        quote=hit.text[sentence.start : sentence.end],
    )
