"""What NER says to a model, and the only form of answer it takes."""

from __future__ import annotations

import enum

from services.llm.types import JSONSchema, Message, Role

PROMPT_VERSION = "entities-2"
"""Goes into the producer of everything stored; changes with the words and the schema below."""

MAX_ENTITIES, MAX_SURFACE_CHARS = 5, 40
"""Bounds, because small models do not end a list or a string by themselves."""

SYSTEM = "List the names in the text: people, organisations, places, products. Copy each name exactly."


EXAMPLE = "Maria Lopez flew from Lisbon to Oslo with Norwegian."
EXAMPLE_ANSWER = (
    '{"entities": [{"text": "Maria Lopez", "type": "person"}, {"text": "Lisbon", "type": "place"}, '
    '{"text": "Oslo", "type": "place"}, {"text": "Norwegian", "type": "organisation"}]}'
)
"""One worked example. Without it a 135M model fills the list until `max_tokens` cuts it; with it the list ends."""


class EntityType(enum.StrEnum):
    """What a name can stand for."""

    PERSON = "person"
    ORGANISATION = "organisation"
    PLACE = "place"
    PRODUCT = "product"
    OTHER = "other"


SCHEMA: JSONSchema = {
    "type": "object",
    "properties": {
        "entities": {
            "type": "array",
            "maxItems": MAX_ENTITIES,
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "minLength": 1, "maxLength": MAX_SURFACE_CHARS},
                    "type": {"type": "string", "enum": [str(t) for t in EntityType]},
                },
                "required": ["text", "type"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["entities"],
    "additionalProperties": False,
}


def messages(text: str) -> tuple[Message, ...]:
    """The rule, one worked example, then the text itself, whole."""
    return (
        Message(role=Role.SYSTEM, content=SYSTEM),
        Message(role=Role.USER, content=EXAMPLE),
        Message(role=Role.ASSISTANT, content=EXAMPLE_ANSWER),
        Message(role=Role.USER, content=text),
    )
