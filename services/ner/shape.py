"""What a reading looks for: the types of entities, and the predicates between them. Pure.

A shape is closed (only its types and predicates) or open (a model may name others). `default` is what NER always
looked for; `facts` adds relations, which cost tokens and so are asked for only by who wants them.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.llm.types import JSONSchema

MAX_ENTITIES, MAX_SURFACE_CHARS, MAX_QUOTE_CHARS = 5, 40, 240
"""Bounds, because small models do not end a list or a string by themselves."""

_SLUG = re.compile(r"[\W_]+")


class EntityType(enum.StrEnum):
    """What a name can stand for, where no schema of one's own says otherwise."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PLACE = "place"
    PRODUCT = "product"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """A kind of fact. `subjects` and `objects` are the types that it may join; empty means any."""

    name: str
    subjects: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()

    def joins(self, subject: str, object: str) -> bool:
        return (not self.subjects or subject in self.subjects) and (not self.objects or object in self.objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`example` is one worked text and its answer; without one a small model hardly ends its lists."""

    name: str
    entity_types: tuple[str, ...]
    predicates: tuple[Predicate, ...] = ()
    is_open: bool = False
    max_entities: int = MAX_ENTITIES
    max_relations: int = MAX_ENTITIES
    example_text: str = ""
    example_answer: Mapping[str, Any] | None = None

    @property
    def has_relations(self) -> bool:
        """Whether a reading can look for any: a list of no predicates is none that an answer could choose from."""
        return bool(self.predicates) or self.is_open

    def predicate(self, name: str) -> Predicate | None:
        """The one of that name; in an open shape any name is a predicate between any two types."""
        found = next((p for p in self.predicates if p.name == name), None)
        return found or (Predicate(name=name) if self.is_open else None)


DEFAULT = Shape(
    name="default",
    entity_types=tuple(EntityType),
    example_text="Maria Lopez flew from Lisbon to Oslo with Norwegian.",
    example_answer={
        "entities": [
            {"text": "Maria Lopez", "type": "person"},
            {"text": "Lisbon", "type": "place"},
            {"text": "Oslo", "type": "place"},
            {"text": "Norwegian", "type": "organisation"},
        ]
    },
)

FACTS = Shape(
    name="facts",
    entity_types=tuple(EntityType),
    predicates=(
        Predicate(name="works_for", subjects=("person",), objects=("organisation",)),
        Predicate(name="located_in", objects=("place",)),
        Predicate(name="part_of"),
        Predicate(name="makes", subjects=("organisation", "person"), objects=("product",)),
        Predicate(name="uses", objects=("product",)),
        Predicate(name="met", subjects=("person", "organisation"), objects=("person", "organisation")),
    ),
    example_text="Maria Lopez works for Norwegian. She flew to its hangar in Oslo.",
    example_answer={
        "entities": [
            {"text": "Maria Lopez", "type": "person"},
            {"text": "Norwegian", "type": "organisation"},
            {"text": "Oslo", "type": "place"},
        ],
        "relations": [
            {
                "quote": "Maria Lopez works for Norwegian.",
                "subject": "Maria Lopez",
                "predicate": "works_for",
                "object": "Norwegian",
            }
        ],
    },
)

BUILT_IN: Mapping[str, Shape] = {DEFAULT.name: DEFAULT, FACTS.name: FACTS}


def slug(words: str) -> str:
    """A type or predicate as an open shape keeps it: `Works for` and `works-for` are `works_for`."""
    return _SLUG.sub("_", words.casefold()).strip("_")


def fingerprint(shape: Shape) -> str:
    """Changes with anything that is asked, so that two readings can be told to have looked for the same."""
    return hashlib.sha256(json.dumps(asdict(shape), sort_keys=True).encode()).hexdigest()[:8]


def answer_schema(shape: Shape, *, relations: bool) -> JSONSchema:
    """The only form of answer that a reading takes."""
    entity = _object(text=_string(MAX_SURFACE_CHARS), type=_one_of(shape.entity_types, shape.is_open))
    found = {"entities": {"type": "array", "maxItems": shape.max_entities, "items": entity}}
    if relations:
        predicates = tuple(p.name for p in shape.predicates)
        relation = _object(
            quote=_string(MAX_QUOTE_CHARS),  # first: what is copied before it is judged is copied better
            subject=_string(MAX_SURFACE_CHARS),
            predicate=_one_of(predicates, shape.is_open),
            object=_string(MAX_SURFACE_CHARS),
        )
        found["relations"] = {"type": "array", "maxItems": shape.max_relations, "items": relation}
    return _object(**found)


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _string(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _one_of(names: tuple[str, ...], is_open: bool) -> dict[str, Any]:
    return _string(MAX_SURFACE_CHARS) if is_open else {"type": "string", "enum": [str(n) for n in names]}
