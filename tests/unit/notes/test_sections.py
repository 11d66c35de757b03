"""Long notes in sections: nothing lost, nothing too long, cut where a reader would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.notes.sections import sections

MARKDOWN = st.lists(st.sampled_from(["# H\n", "## Hé\n", "\n\n", "word ", "Ünd. ", "```\n", "# in\n", "x" * 9])).map(
    "".join
)


@given(MARKDOWN | st.text(), st.integers(4, 40))
def test_the_sections_together_are_the_text_and_each_one_fits(text: str, most: int) -> None:
    pieces = sections(text, max_bytes=most)
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= most for piece in pieces)


def test_a_note_is_cut_at_its_headings() -> None:
    """Small neighbours stay together; a `#` inside code is no heading."""
    text = "intro\n# One\naaaa\n# Two\nbbbb\n```\n# code\n```\n# Three\ncccc\n"
    assert sections(text, max_bytes=32) == [
        "intro\n# One\naaaa\n",
        "# Two\nbbbb\n```\n# code\n```\n",
        "# Three\ncccc\n",
    ]


def test_a_long_section_is_cut_at_paragraphs_then_sentences() -> None:
    text = "First here. Second there.\n\nThird one."
    assert sections(text, max_bytes=27) == ["First here. Second there.\n\n", "Third one."]
    assert sections(text, max_bytes=20) == ["First here. ", "Second there.\n\n", "Third one."]
