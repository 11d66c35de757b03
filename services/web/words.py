"""A person's words as a full-text query. Whatever they type is searched for; none of it is query syntax. Pure."""

from __future__ import annotations

import re

MAX_TERMS = 32
_WORD = re.compile(r"\w+")

_STOP = (
    "a about after all also an and any are as at be because been before being but by can could did do does during each "
    "for from had has have having he her here him his how i if in into is it its just me more most my no nor not of on "
    "or other our out over own please same she should so some such than that the their them then there these they this "
    "those through to too under until up us very was we were what when where which while who whom whose why will with "
    "would you your"
)
STOP_WORDS = frozenset(_STOP.split())
"""Without them an OR query is twice as fast and finds better (reference/services.md 4.1: nDCG 0.411 to 0.451)."""


def match_expression(words: str) -> str | None:
    """An FTS5 expression that finds any of `words`, each quoted; None when only stop words are left."""
    terms = dict.fromkeys(w for w in _WORD.findall(words.lower()) if w not in STOP_WORDS)
    return " OR ".join(f'"{t}"' for t in list(terms)[:MAX_TERMS]) or None
