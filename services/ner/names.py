"""What two spellings of one name share: exactly (`key`), and to the eye (`skeleton`). Pure."""

from __future__ import annotations

import functools
import string
import unicodedata
from collections.abc import Mapping


def key(name: str) -> str:
    """Equal for spellings that are one name: case, spaces, width, composition and invisible characters aside."""
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", seen.casefold()).split())


APART = "\x1f"
"""Ends the key of a name where what follows tells things of one name apart; a key holds no such character itself."""


def shared(key: str) -> str:
    """The key that all things of one name and type share, as texts spell it."""
    return key.partition(APART)[0]


def skeleton(name: str) -> str:
    """Equal for names that look alike, as a Cyrillic `Теssеl` and a Latin one do (UTS 39, confusables).

    Only for comparison: whether two names that look alike are one is for a person to say, because a name that is
    made to look like another is what an attacker would write into a document.
    """
    return unicodedata.normalize("NFKD", key(name)).translate(_alike())


@functools.cache
def _alike() -> Mapping[int, str]:
    """Each character of a key that has look-alikes -> the one that stands for all of them: a Latin letter if it can.

    The table of the library leads from each character to some of its look-alikes, so they are joined until nothing
    changes. A key is in lower case, so the capital's look-alikes count as well: `т` is none of `t`, but `Т` is of `T`.
    Loaded with the first name: it takes 0.1 s that no import should cost.
    """
    from confusable_homoglyphs.confusables import confusables_data  # type: ignore[import-untyped]  # has no hints

    groups: dict[str, set[str]] = {}
    for character, others in confusables_data.items():
        for other in (o["c"] for o in others):
            if len(character) == len(other) == 1:
                joined = groups.get(character, {character}) | groups.get(other, {other})
                groups.update(dict.fromkeys(joined, joined))
    return {ord(c): _stands_for(c, groups) for c in {*groups, *(g.casefold() for g in groups)} if len(c) == 1}


def _stands_for(character: str, groups: Mapping[str, set[str]]) -> str:
    if character in string.ascii_letters:
        return character
    own, capital = groups.get(character, {character}), groups.get(character.upper(), set())
    latin = [c for c in own if c in string.ascii_lowercase] or [c.lower() for c in capital if c in string.ascii_letters]
    return min(latin, default=min(own))
