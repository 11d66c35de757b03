"""Passages of notes: exact places, the right ones first, and sentences to cite."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.notes.passages import PASSAGE_BYTES, best, citations, passages
from services.notes.store import Note


def note(text: str, title: str = "T") -> Note:
    return Note(number=1, id=title, title=title, text=text, version=1, created_at="", updated_at="")


@given(st.lists(st.sampled_from(["word ", "Fan. ", "\n\n", "# H\n", "é", "x" * 400]), max_size=60).map("".join))
def test_every_passage_and_every_quote_is_what_stands_at_its_place(text: str) -> None:
    found = passages(note(text))
    cited = citations("word [1]", found)
    assert all(text[p.start : p.end] == p.text and len(p.text.encode()) <= PASSAGE_BYTES for p in found)
    assert all(text[c.start : c.end] == c.quote and c.quote for c in cited)
    assert "".join(p.text for p in found).split() == text.split()


def test_the_passage_with_the_most_words_of_the_question_comes_first() -> None:
    """A word in another form counts; where two are equal, the better note's."""
    notes = [note("The fan.", "A"), note("Ivo swapped the fan.", "B"), note("A fan.", "C")]
    assert [p.title for p in best("Who should swap the fan?", notes, 3)] == ["B", "A", "C"]


def test_only_what_is_named_is_cited() -> None:
    shown = passages(note("One.", "A")) + passages(note("Two.", "B"))
    assert [c.title for c in citations("It is two [2].", shown)] == ["B"]
    assert [c.title for c in citations("It is two.", shown)] == ["A", "B"]
    assert citations("not stated", shown) == ()
