"""What Notes says to a model, and the only form of tags that it takes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from services.llm.types import JSONSchema, Message, Role

PROMPT_VERSION = "summary-1"
"""Goes into the producer of every stored summary; changes with the words below."""

TAGS_VERSION = "tags-1"
"""The same for every stored suggestion of a tag."""

SYSTEM = "Summarise the note in one short sentence. Keep names and numbers."

MAX_KNOWN, MAX_NEW, MAX_TAG_CHARS = 3, 2, 30
"""Bounds, because small models do not end a list or a string by themselves."""

TAGS_SYSTEM = "Choose the tags that fit the note."
TAGS_KNOWN = "Known tags: "
"""Before the example and the note: after the note, a 135M model gives every note the same three of them."""

EXAMPLE = "Nadia flies to Lyon on Monday and signs for the greenhouse."
EXAMPLE_TAGS = ("travel", "garden")
"""One worked example. Where tags are known its answer invents none: a small model that sees one invents for ever."""


def messages(text: str) -> tuple[Message, ...]:
    """The note itself, whole: a note that does not fit the window is refused, not cut in silence."""
    return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=text))


def tags_messages(text: str, vocabulary: Sequence[str]) -> tuple[Message, ...]:
    """The rule and the tags to choose from, one worked example of the same form, then the note, whole."""
    rule = f"{TAGS_SYSTEM} {TAGS_KNOWN}{', '.join(vocabulary)}." if vocabulary else TAGS_SYSTEM
    answer = {"tags": EXAMPLE_TAGS, "new": ()} if vocabulary else {"new": EXAMPLE_TAGS}
    return (
        Message(role=Role.SYSTEM, content=rule),
        Message(role=Role.USER, content=EXAMPLE),
        Message(role=Role.ASSISTANT, content=json.dumps(answer)),
        Message(role=Role.USER, content=text),
    )


def tags_schema(vocabulary: Sequence[str]) -> JSONSchema:
    """Tags of the vocabulary and no others, then the few new ones; an enum cannot be empty, so without one only new."""
    lists: JSONSchema = {"new": _list({"type": "string", "minLength": 1, "maxLength": MAX_TAG_CHARS}, MAX_NEW)}
    if vocabulary:
        lists = {"tags": _list({"type": "string", "enum": list(vocabulary)}, MAX_KNOWN), **lists}
    return {"type": "object", "properties": lists, "required": list(lists), "additionalProperties": False}


def _list(items: JSONSchema, most: int) -> JSONSchema:
    return {"type": "array", "items": items, "maxItems": most}
