"""How well a workspace's own questions are answered by what is found: by rank of the passage that holds the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.rag.metrics import Estimate, estimate, ndcg, recall
from services.rag.search import Found, Mode, Wish
from services.rag.store import Documents, Hit

DEPTH = 20
"""Passages that are looked at for each question: what `k` may be at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gold:
    """A question and where its answer stands: anywhere in the document, or within `start`..`end` of its text."""

    question: str
    document_id: str
    start: int | None = None
    end: int | None = None

    def holds(self, hit: Hit) -> bool:
        """Whether the passage is of that document and shares a character with that place."""
        if hit.document_id != self.document_id:
            return False
        return self.start is None or self.end is None or (hit.start < self.end and self.start < hit.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One question: the rank of the first passage that holds the answer, None where none of `DEPTH` does."""

    question: str
    rank: int | None
    mode: Mode
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """nDCG@10, recall@20 and the mean reciprocal rank over the questions, each with a 95 % bootstrap interval."""

    ndcg10: Estimate
    recall20: Estimate
    reciprocal_rank: Estimate
    placed: tuple[Placed, ...]


async def strangers(documents: Documents, questions: Sequence[Gold]) -> list[str]:
    """What is wrong with the gold places, a sentence each: a document that is not there, a place outside its text."""
    wrong = []
    for gold in questions:
        document = await documents.get(gold.document_id)
        if document is None:
            wrong.append(f"{gold.question!r}: no document {gold.document_id!r}")
        elif gold.end is not None and gold.end > len(document.text):
            wrong.append(f"{gold.question!r}: {gold.document_id!r} has {len(document.text)} characters, not {gold.end}")
    return wrong


async def evaluated(
    find: Callable[[Wish], Awaitable[Found]], questions: Sequence[Gold], mode: Mode, collection: str | None
) -> Evaluation:
    """Asks no model for an answer. Raises `ValueError` for no questions, and `StoreError`."""
    placed = [await _placed(find, gold, mode, collection) for gold in questions]
    ranks = [one.rank for one in placed]
    return Evaluation(
        ndcg10=estimate([ndcg(rank) for rank in ranks]),
        recall20=estimate([recall(rank) for rank in ranks]),
        reciprocal_rank=estimate([0.0 if rank is None else 1 / rank for rank in ranks]),
        placed=tuple(placed),
    )


async def _placed(find: Callable[[Wish], Awaitable[Found]], gold: Gold, mode: Mode, collection: str | None) -> Placed:
    found = await find(Wish(query=gold.question, k=DEPTH, collection=collection, mode=mode))
    rank = next((place for place, hit in enumerate(found.hits, start=1) if gold.holds(hit)), None)
    return Placed(question=gold.question, rank=rank, mode=found.mode, reason=found.reason)
