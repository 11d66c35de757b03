"""Names that somebody else sees in a text where the model found none: grounded as the model's own names are. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from services.ner.grounding import Mention, places
from services.ner.names import key
from services.ner.producers import Made
from services.ner.shape import MAX_SURFACE_CHARS, Shape

MOST = 200
"""Names of one text that are proposed, the first ones: more than a person looks through."""

Span = tuple[int, int]


class State(enum.StrEnum):
    """What a person said of a candidate; it holds for the text until it is undone or the document is deleted."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A name of one type and every place where it stands; `text` is its first spelling."""

    text: str
    type: str
    places: tuple[Span, ...]

    @property
    def named(self) -> tuple[str, str]:
        """Equal for spellings that are one name of one type, as entities are."""
        return key(self.text), self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCandidate(Sighting):
    """One that is kept with its document: `made` is who saw it, `entity` what it became, `judged_by` a key's name."""

    id: int
    state: State
    made: Made
    judged_by: str
    judged_at: str
    entity: int | None


S = TypeVar("S", bound=Sighting)


def proposed(text: str, seen: Iterable[Mention], shape: Shape) -> tuple[Sighting, ...]:
    """What of `seen` could have been an entity of the model: of a type looked for, not too long, borne out by the text.

    Like a name of the model it stands at all its places, not only where it was seen.
    """
    found: dict[tuple[str, str], Sighting] = {}
    tried: set[tuple[str, str]] = set()
    for mention in seen:
        surface, kind = mention.text.strip(), str(mention.type)
        is_wanted = shape.is_open or kind in shape.entity_types
        if not is_wanted or len(surface) > MAX_SURFACE_CHARS or (surface, kind) in tried:
            continue
        tried.add((surface, kind))
        one = Sighting(text=surface, type=kind, places=tuple((m.start, m.end) for m in places(text, surface, kind)))
        known = found.get(one.named)
        if known is not None:
            found[one.named] = replace(known, places=tuple(sorted({*known.places, *one.places})))
        elif one.places and len(found) < MOST:
            found[one.named] = one
    return tuple(found.values())


def unseen(seen: Sequence[S], taken: Iterable[Span]) -> tuple[S, ...]:
    """What of `seen` stands where nothing of `taken` touches it, with those of its places. It may be no name at all."""
    spans = list(taken)
    covered = bytearray(max((end for _, end in spans), default=0))
    for start, end in spans:
        covered[start:end] = b"\1" * (end - start)
    free = (replace(s, places=tuple((a, b) for a, b in s.places if not any(covered[a:b]))) for s in seen)
    return tuple(s for s in free if s.places)


def mentions(text: str, seen: Iterable[Sighting]) -> tuple[Mention, ...]:
    """Each at each of its places, in the order of the text."""
    found = {Mention(text=text[a:b], type=s.type, start=a, end=b) for s in seen for a, b in s.places}
    return tuple(sorted(found, key=lambda m: (m.start, m.end, m.type)))
