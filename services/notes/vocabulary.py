"""Which of a workspace's own tags a model is shown for a note. Pure.

A long list hides the right one from a small model, so the likely ones come first and the rest is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from services.notes.store import Note, NoteTag, TagCount, TagState
from services.notes.tags import Tag, key, slug
from services.web.provenance import Producer

MOST_SHOWN = 40


def shown(note: Note, tags: Iterable[TagCount], near: Iterable[Note]) -> tuple[str, ...]:
    """At most `MOST_SHOWN` tags that people accepted: named in the note, on the notes `near` it, then the most used.

    Those that somebody has accepted or rejected for this note already are left out.
    """
    judged = {t.tag for t in note.tags if t.state is not TagState.SUGGESTED}
    on_near = Counter(t.tag for other in near for t in other.tags if t.state is TagState.ACCEPTED)
    words = f" {key(f'{note.title} {note.text}')} "
    free = [t for t in tags if t.accepted and t.tag not in judged]
    free.sort(key=lambda t: (f" {key(t.tag)} " not in words, -on_near[t.tag], -t.accepted, t.tag))
    return tuple(t.tag for t in free[:MOST_SHOWN])


def stored(found: Sequence[Tag], note: Note, producer: Producer) -> tuple[NoteTag, ...]:
    """What a model suggested as rows of `note`; what a person has rejected or accepted there is none again."""
    judged = {t.tag for t in note.tags if t.state is not TagState.SUGGESTED}
    slugs = dict.fromkeys(slug(t.tag) if t.new else t.tag for t in found)
    return tuple(
        NoteTag(tag=s, state=TagState.SUGGESTED, of_version=note.version, producer=producer)
        for s in slugs
        if s not in judged
    )
