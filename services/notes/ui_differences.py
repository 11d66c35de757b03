"""Two texts side by side, line by line, for whoever has to choose between them. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

MAX_LINES = 5_000
"""Beyond this the comparison takes seconds, and nobody reads it: the two texts are then shown as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One line of each side; None where that side has none. `same` where nothing differs."""

    left: str | None
    right: str | None
    same: bool


def side_by_side(left: str, right: str) -> list[Pair]:
    """The lines of both, those that belong together in one row; empty beyond `MAX_LINES`. Call it in a thread."""
    one, other = left.splitlines(), right.splitlines()
    if max(len(one), len(other)) > MAX_LINES:
        return []
    pairs: list[Pair] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, one, other, autojunk=True).get_opcodes():
        for k in range(max(i2 - i1, j2 - j1)):
            here = one[i1 + k] if i1 + k < i2 else None
            there = other[j1 + k] if j1 + k < j2 else None
            pairs.append(Pair(left=here, right=there, same=tag == "equal"))
    return pairs
