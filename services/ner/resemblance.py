"""Which names may be two spellings of one: candidates for a person to judge, never a decision. Pure."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from services.ner.names import key, skeleton

LEAST = 88.0
"""Of 100. Below it, other people's names come up: `Mara Quill` and `Mara Quinn` have 80."""
LEAST_PART_CHARS = 4
"""A shorter part, as `van` or `Co`, is in too many names."""
MOST = 20
"""Candidates of one name."""
_DIGITS = re.compile(r"\d+")


class Reason(enum.StrEnum):
    """What makes two names alike."""

    LOOKALIKE = "lookalike"
    SIMILAR = "similar"
    PART = "part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """`score` is between 0 and 1."""

    reason: Reason
    score: float


def likeness(one: str, other: str) -> Likeness | None:
    """Of two names of one type; None when nothing suggests that they are one, or when they are spelled the same."""
    if key(one) == key(other):
        return None
    a, b = skeleton(one), skeleton(other)
    if a == b:
        return Likeness(reason=Reason.LOOKALIKE, score=1.0)
    if _DIGITS.findall(key(one)) != _DIGITS.findall(key(other)):
        return None  # gpu-1 and gpu-2, version 40 and version 41
    score = fuzz.token_sort_ratio(a, b)
    if score >= LEAST:
        return Likeness(reason=Reason.SIMILAR, score=round(score / 100, 3))
    short, long = sorted((a, b), key=len)
    if len(short) >= LEAST_PART_CHARS and set(short.split()) < set(long.split()):
        return Likeness(reason=Reason.PART, score=round(score / 100, 3))
    return None


def nearest(name: str, others: Sequence[tuple[int, str, str]]) -> list[tuple[int, Likeness]]:
    """The likest of `others` (id, name, skeleton), the best first, `MOST` at most.

    One pass in C finds what may be alike (about 10 ms for 20,000 names), and only that is looked at closely.
    """
    close = process.extract(
        skeleton(name), [o[2] for o in others], scorer=fuzz.token_set_ratio, score_cutoff=LEAST, limit=5 * MOST
    )
    found = [(others[index][0], likeness(name, others[index][1])) for _, _, index in close]
    alike = [(identifier, like) for identifier, like in found if like is not None]
    return sorted(alike, key=lambda pair: (-pair[1].score, pair[0]))[:MOST]
