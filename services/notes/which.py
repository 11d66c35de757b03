"""Which notes are searched, and where a search is gone on with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """Which notes a search is among: those that accepted `tag`, where given; archived ones or the others."""

    tag: str = ""
    archived: bool = False


ANY = Which()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a search is gone on with: behind this note, which was shown as number `rank`."""

    rank: int
    note_id: str
