"""A person's words as terms to search for. Whatever they type is searched for; none of it is query syntax. Pure."""

from __future__ import annotations

import re

MAX_TERMS = 32
_WORD = re.compile(r"\w+")
_APART = re.compile(r"[\W_]+")

_STOP = (
    "a about after all also an and any are as at be because been before being but by can could did do does during each "
    "for from had has have having he her here him his how i if in into is it its just me more most my no nor not of on "
    "or other our out over own please same she should so some such than that the their them then there these they this "
    "those through to too under until up us very was we were what when where which while who whom whose why will with "
    "would you your"
)
STOP_WORDS = frozenset(_STOP.split())
"""Without them an OR query is twice as fast and finds better (reference/services.md 4.1: nDCG 0.411 to 0.451)."""


def terms(words: str) -> list[str]:
    """What to search for, each term once, in order; empty when only stop words are left."""
    found = dict.fromkeys(w for w in _WORD.findall(words.lower()) if w not in STOP_WORDS)
    return [term for term in found if term.strip("_")][:MAX_TERMS]


def parts(text: str) -> list[str]:
    """`text` cut where SQLite's unicode61 cuts it, roughly: at everything that is no letter and no digit."""
    return [part for part in _APART.split(text) if part]
