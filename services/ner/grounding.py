"""Keeps of a model's answer only what the text really says, and finds every place where it says it. Pure."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.ner.names import key
from services.ner.shape import DEFAULT, EntityType, Shape, slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """`text` is exactly `start`..`end` of the document."""

    text: str
    type: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One end of a fact."""

    text: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A relation that the text states: `quote` is exactly `start`..`end` of the document, and names both ends."""

    subject: Name
    predicate: str
    object: Name
    quote: str
    start: int
    end: int


class Why(enum.StrEnum):
    """Why a relation was not taken."""

    NO_QUOTE = "quote_not_in_text"
    NOT_QUOTED = "name_not_in_quote"
    NO_ENTITY = "name_is_no_entity"
    SELF_LOOP = "subject_is_object"
    NO_PREDICATE = "predicate_does_not_join_these_types"

    @property
    def is_ungrounded(self) -> bool:
        """It says what the text does not; the others say it in a form that was not asked for."""
        return self in (Why.NO_QUOTE, Why.NOT_QUOTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A relation as the model gave it, and why it was not taken."""

    subject: str
    predicate: str
    object: str
    quote: str
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """What the text holds, in its order; the surface strings that it does not hold; the relations not taken."""

    mentions: tuple[Mention, ...]
    rejected: tuple[str, ...]
    facts: tuple[Fact, ...] = ()
    refused: tuple[Refused, ...] = ()

    @property
    def ungrounded(self) -> int:
        """How much of the answer the text does not bear out."""
        return len(self.rejected) + sum(r.why.is_ungrounded for r in self.refused)


def ground(text: str, answer: str, shape: Shape = DEFAULT) -> Grounded:
    """`answer` is a document of `shape.answer_schema`, which the client has checked."""
    document = json.loads(answer)
    mentions: set[Mention] = set()
    rejected: list[str] = []
    for entity in document["entities"]:
        found = places(text, entity["text"], _type(entity["type"], shape))
        if not found:
            rejected.append(entity["text"])
        mentions.update(found)
    ordered = tuple(sorted(mentions, key=lambda m: (m.start, m.end, m.type)))
    named = _named(ordered)
    judged = [_judged(text, relation, named, shape) for relation in document.get("relations", ())]
    facts = {j for j in judged if isinstance(j, Fact)}
    return Grounded(
        mentions=ordered,
        rejected=tuple(rejected),
        facts=tuple(sorted(facts, key=lambda f: (f.start, f.end, f.predicate, f.subject.text, f.object.text))),
        refused=tuple(j for j in judged if isinstance(j, Refused)),
    )


def places(text: str, surface: str, type: str) -> tuple[Mention, ...]:
    """A name at every place where the text has it, whoever saw it; none for one that the text or the eye does not."""
    found = occurrences(text, surface.strip()) if key(surface) else ()
    return tuple(Mention(text=text[a:b], type=type, start=a, end=b) for a, b in found)


def occurrences(text: str, surface: str) -> Iterable[tuple[int, int]]:
    """Where `surface` occurs, without overlaps: in its own case, else in any; as whole words, else inside one."""
    if not surface:
        return []
    escaped = re.escape(surface)
    for pattern in (rf"(?<!\w){escaped}(?!\w)", escaped):
        for flags in (re.NOFLAG, re.IGNORECASE):
            found = [m.span() for m in re.finditer(pattern, text, flags)]
            if found:
                return found
    return []


def quoted(text: str, quote: str) -> tuple[int, int] | None:
    """Where `quote` first stands in `text`, in its own case, else in any; a line break counts as any other space."""
    words = r"\s+".join(re.escape(word) for word in quote.split())
    for flags in (re.NOFLAG, re.IGNORECASE):
        found = re.search(words, text, flags) if words else None
        if found:
            return found.span()
    return None


def _named(mentions: Iterable[Mention]) -> Mapping[str, Sequence[Name]]:
    """By key, the first spelling of each type: no matter at how many places a name stands, only its types decide."""
    found: dict[str, dict[str, Name]] = {}
    for name in dict.fromkeys(Name(text=m.text, type=m.type) for m in mentions):
        found.setdefault(key(name.text), {}).setdefault(name.type, name)
    return {known: tuple(by_type.values()) for known, by_type in found.items()}


def _judged(
    text: str, relation: Mapping[str, Any], named: Mapping[str, Sequence[Name]], shape: Shape
) -> Fact | Refused:
    subject, object, quote = (str(relation[name]).strip() for name in ("subject", "object", "quote"))
    predicate = slug(relation["predicate"]) if shape.is_open else str(relation["predicate"])

    def refused(why: Why) -> Refused:
        return Refused(subject=subject, predicate=predicate, object=object, quote=quote, why=why)

    place = quoted(text, quote)
    if place is None:
        return refused(Why.NO_QUOTE)
    stated = text[slice(*place)]
    if not occurrences(stated, subject) or not occurrences(stated, object):
        return refused(Why.NOT_QUOTED)
    if key(subject) == key(object):
        return refused(Why.SELF_LOOP)
    ends = [named.get(key(end), ()) for end in (subject, object)]
    if not all(ends):
        return refused(Why.NO_ENTITY)
    known = shape.predicate(predicate)
    joined = ((s, o) for s in ends[0] for o in ends[1] if known is not None and known.joins(s.type, o.type))
    pair = next(joined, None)
    if pair is None:
        return refused(Why.NO_PREDICATE)
    return Fact(subject=pair[0], predicate=predicate, object=pair[1], quote=stated, start=place[0], end=place[1])


def _type(said: str, shape: Shape) -> str:
    return (slug(said) or str(EntityType.OTHER)) if shape.is_open else str(said)
