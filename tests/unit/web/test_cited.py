"""What a model is shown and what it cited: numbers that are passages, never more than the window holds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.llm.mapping import prompt_bound
from services.web.cited import fitting, messages, named


@dataclass(frozen=True)
class Piece:
    title: str
    text: str


SHOWN = [Piece("A", "one"), Piece("B", "two"), Piece("C", "three")]


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("It is two [2].", [2]),
        ("[3] and [1]", [1, 3]),
        ("It is two.", [1, 2, 3]),
        ("It is two [7].", [1, 2, 3]),
        ("It is two [2] [7].", [2]),
        ("not stated", []),
        ("", []),
    ],
)
def test_an_answer_names_passages_by_number_or_rests_on_all(answer: str, numbers: list[int]) -> None:
    """A number that no passage has names nothing."""
    assert [n for n, _ in named(answer, SHOWN)] == numbers


def test_the_last_passages_go_first_where_the_window_is_small() -> None:
    """Down to none: the question alone may be too long."""
    two = prompt_bound(messages("which?", SHOWN[:2]))
    assert fitting("which?", SHOWN, room_tokens=two) == SHOWN[:2]
    assert fitting("which?", SHOWN, room_tokens=two - 1) == SHOWN[:1]
    assert fitting("which?", SHOWN, room_tokens=1) == []
