"""Which tags a model is shown for a note, and what of its answer is kept."""

from __future__ import annotations

from services.notes.store import Note, NoteTag, TagCount, TagState
from services.notes.tags import Tag, slug
from services.notes.vocabulary import MOST_SHOWN, shown, stored
from services.web.provenance import Producer

MADE = Producer(provider="vllm", engine="vllm", model="tiny", prompt_version="1", at="now")


def note(text: str = "Ivo swaps the GPU fan.", **tags: TagState) -> Note:
    told = tuple(NoteTag(tag=t.replace("_", "-"), state=s, of_version=1) for t, s in tags.items())
    return Note(number=1, id="a", title="T", text=text, version=3, created_at="", updated_at="", tags=told)


def count(tag: str, accepted: int = 1) -> TagCount:
    return TagCount(tag=tag, accepted=accepted, suggested=0)


def test_tags_named_in_the_note_come_first_then_those_of_notes_like_it_then_the_most_used() -> None:
    """Whole words only: `fan` is not in `fantasy`, nor `gpu-fan` in two places."""
    tags = [count("often", 9), count("near"), count("gpu-fan"), count("swap")]
    assert shown(note(), tags, [note(near=TagState.ACCEPTED)]) == ("gpu-fan", "near", "often", "swap")


def test_what_a_person_has_judged_or_nobody_accepted_is_not_shown() -> None:
    tags = [count("had"), count("no"), count("only-suggested", 0), count("free"), count("waiting")]
    judged = note(had=TagState.ACCEPTED, no=TagState.REJECTED, waiting=TagState.SUGGESTED)
    assert shown(judged, tags, []) == ("free", "waiting")


def test_a_long_vocabulary_is_cut() -> None:
    assert len(shown(note(), [count(f"t{n}") for n in range(500)], [])) == MOST_SHOWN


def test_an_answer_becomes_slugs_that_nobody_has_judged() -> None:
    """A new tag in another spelling is the one that is there already."""
    found = [Tag(tag="gpu-fan", new=False), Tag(tag="gpu fan", new=True), Tag(tag="no", new=True)]
    kept = stored(found, note(no=TagState.REJECTED), MADE)
    assert kept == (NoteTag(tag="gpu-fan", state=TagState.SUGGESTED, of_version=3, producer=MADE),)


def test_slugs_keep_the_levels_of_nested_tags() -> None:
    assert [slug(t) for t in ("#Work/GPU Fan", "//a//", "Café!", "#", "a_b")] == [
        "work/gpu-fan",
        "a",
        "café",
        "",
        "a-b",
    ]
