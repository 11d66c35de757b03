"""What NER says to a model, by the shape that a reading looks for."""

from __future__ import annotations

import json

from services.llm.types import Message, Role
from services.ner.shape import BUILT_IN, Shape, fingerprint

PROMPT_VERSION = "entities-2"
"""Goes into the producer of everything stored; changes with the words below and with the built-in shapes."""
RELATIONS_VERSION = "facts-1"

_KNOWN = "people, organisations, places, products"
_ANY = "of any kind"
_ENTITIES = "List the names in the text: {types}. Copy each name exactly."
_RELATIONS = (
    " Then list the facts that the text states between two of these names ({predicates}). "
    "For each, copy the words of the text that state it as its quote; they name both."
)


def messages(shape: Shape, text: str, *, relations: bool) -> tuple[Message, ...]:
    """The rule, the shape's worked example if it has one, then the text itself, whole."""
    return (
        Message(role=Role.SYSTEM, content=_rule(shape, relations)),
        *_example(shape, relations),
        Message(role=Role.USER, content=text),
    )


def version(shape: Shape, *, relations: bool) -> str:
    """The prompt version of a reading. A shape of one's own goes into it, for it changes what is asked."""
    words = RELATIONS_VERSION if relations else PROMPT_VERSION
    return words if BUILT_IN.get(shape.name) == shape else f"{words}/{shape.name}@{fingerprint(shape)}"


def _rule(shape: Shape, relations: bool) -> str:
    built_in = shape.name in BUILT_IN
    rule = _ENTITIES.format(types=_KNOWN if built_in else ", ".join(shape.entity_types) or _ANY)
    predicates = ", ".join(p.name for p in shape.predicates) or _ANY
    return rule + _RELATIONS.format(predicates=predicates) if relations else rule


def _example(shape: Shape, relations: bool) -> tuple[Message, ...]:
    if shape.example_answer is None:
        return ()
    asked = ("entities", "relations") if relations else ("entities",)
    answer = {name: shape.example_answer.get(name, []) for name in asked}
    return (
        Message(role=Role.USER, content=shape.example_text),
        Message(role=Role.ASSISTANT, content=json.dumps(answer, ensure_ascii=False)),
    )
