"""Answers from numbered passages: what a model is told, which passages it named, whether they bear it out. Pure.

The question comes before the passages, because it varies, and the words are few, because the models may be tiny.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, TypeVar

from services.llm.mapping import prompt_bound
from services.llm.types import Message, Role
from services.store.words import STOP_WORDS

SYSTEM = "Answer the question in one short sentence. Use only the passages. If they do not say it, answer: not stated."
PROMPT_VERSION = "ask-1"
"""What a question is asked with: `SYSTEM`, and how the passages are shown. Another one with each change of them."""

MIN_SUPPORT = 0.5
"""Share of an answer's words that a strict answer must find in what it cites. Numbers must all be there."""

_MARKER = re.compile(r"\[(\d{1,3})\]")
_NOT_STATED = re.compile(r"\W*(it is |this is |the answer is )?not (stated|mentioned|specified)\b[^.\n]{0,60}\W*", re.I)
_DIGIT = re.compile(r"\d")


class Shown(Protocol):
    """A passage as the model sees it."""

    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...


P = TypeVar("P", bound=Shown)


def messages(question: str, passages: Sequence[Shown]) -> tuple[Message, ...]:
    """The question, then the passages, numbered as the citations number them."""
    shown = "\n\n".join(f"[{n}] {p.title}: {p.text.strip()}" for n, p in enumerate(passages, start=1))
    user = f"Question: {question}\n\nPassages:\n{shown}"
    return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=user))


def fitting(question: str, passages: Sequence[P], *, room_tokens: int) -> list[P]:
    """As many of the first `passages` as surely fit: a byte-level tokenizer never makes more tokens than bytes."""
    fits = list(passages)
    while fits and prompt_bound(messages(question, fits)) > room_tokens:
        fits.pop()
    return fits


def named(answer: str, shown: Sequence[P]) -> list[tuple[int, P]]:
    """The passages that the answer names by number; where it names none, all that the model was shown."""
    if says_nothing(answer):
        return []
    numbers = {int(n) for n in _MARKER.findall(answer)}
    numbered = list(enumerate(shown, start=1))
    return [(n, passage) for n, passage in numbered if n in numbers] or numbered


def unmarked(answer: str) -> str:
    """The answer without the numbers in brackets by which it cites."""
    return _MARKER.sub(" ", answer)


def says_nothing(answer: str) -> bool:
    """Whether the model said, as it was told to, that the passages do not say it."""
    return not answer.strip() or _NOT_STATED.fullmatch(answer.strip()) is not None


def is_supported(answer: str, passages: Sequence[str]) -> bool:
    """Whether the words of `answer` are in `passages`: half of them at least, and every number.

    Words, not meaning: it catches what was made up beside the passages, not what was turned round inside them.
    """
    said = _words(unmarked(answer)) - STOP_WORDS
    held = {word for passage in passages for word in _words(passage)}
    if not said or any(_DIGIT.search(word) and word not in held for word in said):
        return False
    return len(said & held) >= MIN_SUPPORT * len(said)


def _words(text: str) -> set[str]:
    """All of them; a search takes the first few only."""
    return {word for word in re.findall(r"\w+", text.lower()) if word.strip("_")}
