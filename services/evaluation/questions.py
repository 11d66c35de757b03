"""The questions of the retrieval set: what headings ask, and identifiers to be looked up. Split for good. Pure."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.evaluation.sections import Section

IDENTIFIERS = 120
"""So many identifiers are drawn of some thousands: enough to see a difference of a few points."""


class Kind(enum.StrEnum):
    """What kind of words the question is."""

    ASKED = "asked"
    IDENTIFIER = "identifier"


class Split(enum.StrEnum):
    """Weights are fitted on one half of the questions and reported on the other."""

    FIT = "fit"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`gold` is the number of the passage that answers."""

    text: str
    kind: Kind
    gold: int

    @property
    def split(self) -> Split:
        """By the words alone, so that no run can choose, and a longer corpus moves no question."""
        return Split.FIT if _draw(self.text) % 2 else Split.HELD_OUT


def questions(passages: Sequence[Section]) -> list[Question]:
    """Every heading of a FAQ that asks, once, and `IDENTIFIERS` names drawn by hash of those defined once."""
    asked = {p.heading: n for n, p in enumerate(passages) if p.asks and "faq" in p.page}
    defined: dict[str, list[int]] = {}
    for n, passage in enumerate(passages):
        for name in passage.identifiers:
            defined.setdefault(name, []).append(n)
    alone = [name for name, places in defined.items() if len(places) == 1]
    drawn = sorted(alone, key=lambda name: (_draw(name), name))[:IDENTIFIERS]
    return [
        *(Question(text=text, kind=Kind.ASKED, gold=n) for text, n in asked.items()),
        *(Question(text=name, kind=Kind.IDENTIFIER, gold=defined[name][0]) for name in drawn),
    ]


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
