"""Two ranked lists as one: what is near in meaning and what shares rare words, each on a scale from 0 to 1. Pure.

Equal-weight reciprocal ranks lower nDCG@10 below that of meaning alone (reference/services.md 4.2); this raises it, and
`cutover eval rag` says by how much on this machine.
"""

from __future__ import annotations

from collections.abc import Sequence

LEXICAL_WEIGHT = 0.35
"""The share of the words' score: what fits the fitting half of the questions of `cutover eval rag` best. Error codes
and identifiers want more of it, whole sentences less."""

CANDIDATES = 100
"""How many of each list are blended: what is deeper in one has to be in the other to be found."""

Ranked = Sequence[tuple[int, float]]
"""Keys with their scores, a higher score is better."""


def blended(dense: Ranked, lexical: Ranked, *, weight: float = LEXICAL_WEIGHT) -> list[tuple[int, float]]:
    """Every key of either list with its score from 0 to 1, best first; `weight` (0..1) is the share of `lexical`.

    Where one list is empty the other decides alone, in its own order.
    """
    near, worded = _scaled(dense), _scaled(lexical)
    share = weight if near and worded else float(bool(worded))
    scores = {key: (1 - share) * near.get(key, 0.0) + share * worded.get(key, 0.0) for key in (*near, *worded)}
    return sorted(scores.items(), key=lambda found: (-found[1], found[0]))


def _scaled(ranked: Ranked) -> dict[int, float]:
    """The best is 1, the last 0; a single one, or all of them alike, are 1."""
    scores = [score for _, score in ranked]
    if not scores:
        return {}
    low, width = min(scores), max(scores) - min(scores)
    return {key: (score - low) / width if width else 1.0 for key, score in ranked}
