"""What RAG says to a model. Short, because the models may be tiny; the question comes first, because it varies."""

from __future__ import annotations

from collections.abc import Sequence

from services.llm.mapping import prompt_bound
from services.llm.types import Message, Role
from services.rag.store import Hit

SYSTEM = "Answer the question in one short sentence. Use only the passages. If they do not say it, answer: not stated."


def messages(question: str, hits: Sequence[Hit]) -> tuple[Message, ...]:
    """The question, then the passages, numbered as the citations number them."""
    passages = "\n\n".join(f"[{n}] {h.title}: {h.text}" for n, h in enumerate(hits, start=1))
    user = f"Question: {question}\n\nPassages:\n{passages}"
    return (Message(role=Role.SYSTEM, content=SYSTEM), Message(role=Role.USER, content=user))


def fitting(question: str, hits: Sequence[Hit], *, room_tokens: int) -> list[Hit]:
    """As many of the first `hits` as surely fit: a byte-level tokenizer never makes more tokens than bytes."""
    fits = list(hits)
    while fits and prompt_bound(messages(question, fits)) > room_tokens:
        fits.pop()
    return fits
