"""Makes tags of what a model answered: the caller's own spelling where it has the tag, few new ones, no prose. Pure."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.notes.prompts import MAX_NEW, MAX_TAG_CHARS

MAX_TAG_WORDS = 3
"""More words are a sentence, which is what small models like to give for a tag (blinko#277, karakeep#3107)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A suggested tag; `new` when the caller's vocabulary does not hold it."""

    tag: str
    new: bool


def key(tag: str) -> str:
    """The one form of all spellings of a tag: `#Cold-Store` and `cold store` are the same. Empty for mere signs."""
    plain = unicodedata.normalize("NFKC", tag).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


def slug(tag: str) -> str:
    """A tag as it is stored: the words of `key` joined by hyphens, the levels of a nested one kept (`Work/GPU fan`)."""
    levels = (key(level).replace(" ", "-") for level in tag.split("/"))
    return "/".join(level for level in levels if level)


def sought(tag: str) -> str:
    """A tag to look for; one that no note can have stays as it is, so that nothing is found, and not everything."""
    return slug(tag) or tag.replace("\0", " ").strip()


def distinct(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """The vocabulary in its order, each tag in the first of its spellings."""
    first: dict[str, str] = {}
    for tag in vocabulary:
        first.setdefault(key(tag), tag.strip())
    return tuple(first.values())


def suggested(answer: str, vocabulary: Sequence[str]) -> tuple[Tag, ...]:
    """`answer` is a document of `prompts.tags_schema`, which the client has checked.

    Known tags come in the caller's spelling, wherever the model put them; of the others `MAX_NEW` at most, in the form
    of `key`. Doubled ones, mere signs and whole sentences are left out.
    """
    document = json.loads(answer)
    spelling = {key(tag): tag for tag in vocabulary}
    found: dict[str, Tag] = {}
    new = 0
    for name in map(key, (*document.get("tags", ()), *document["new"])):
        if name in found or not name:
            continue
        if name in spelling:
            found[name] = Tag(tag=spelling[name], new=False)
        elif new < MAX_NEW and _is_tag(name):
            found[name] = Tag(tag=name, new=True)
            new += 1
    return tuple(found.values())


def _is_tag(name: str) -> bool:
    return len(name) <= MAX_TAG_CHARS and len(name.split()) <= MAX_TAG_WORDS
