"""Which notes are searched, and where a search is gone on with."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class FoundBy(enum.StrEnum):
    """What notes were found by. `meaning` counts words as well, for a smaller part."""

    WORDS = "words"
    MEANING = "meaning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which notes a search is among: those that accepted `tag`, where given; archived ones or the others."""

    tag: str = ""
    archived: bool = False


ANY = Which()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a search is gone on with: behind this note, which was shown as number `rank` of a ranking `by` this."""

    rank: int
    note_id: str
    by: FoundBy = FoundBy.WORDS


class RankingLost(Exception):
    """A page by meaning cannot be gone on with: no vector can be compared now, and words rank in another order."""
