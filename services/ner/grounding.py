"""Keeps of a model's answer only what the text really says, and finds every place where it says it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.ner.prompts import EntityType


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """`text` is exactly `start`..`end` of the document."""

    text: str
    type: EntityType
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """What the text holds, in its order, and the surface strings that it does not hold."""

    mentions: tuple[Mention, ...]
    rejected: tuple[str, ...]


def ground(text: str, answer: str) -> Grounded:
    """`answer` is a document of `prompts.SCHEMA`, which the client has checked."""
    mentions: set[Mention] = set()
    rejected: list[str] = []
    for entity in json.loads(answer)["entities"]:
        surface = entity["text"].strip()
        places = list(occurrences(text, surface))
        if not places:
            rejected.append(entity["text"])
        for start, end in places:
            mentions.add(Mention(text=text[start:end], type=EntityType(entity["type"]), start=start, end=end))
    ordered = sorted(mentions, key=lambda m: (m.start, m.end, m.type))
    return Grounded(mentions=tuple(ordered), rejected=tuple(rejected))


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
