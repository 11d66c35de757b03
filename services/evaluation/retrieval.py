"""The study: each question by meaning, by words, by both; a weight fitted on one half, reported on the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.evaluation.questions import Kind, Question, Split
from services.rag.metrics import Estimate, estimate, ndcg, rank_of, recall, separation
from services.store.blend import LEXICAL_WEIGHT, Ranked, blended

WEIGHTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Shares of the words' score that are tried on the fitting half: 0 to 0.5."""

NDCG_TARGET, RECALL_TARGET = 0.72, 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What each index found for one question."""

    question: Question
    dense: Ranked
    lexical: Ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Figures of the held-out questions. `gain` is hybrid minus dense, question by question, in nDCG@10.

    `fitted` is the best weight of the fitting half, `weight` the one that the services use and that is reported;
    `by_kind` has nDCG@10 of dense, lexical and hybrid; `answerable` how well the best cosine tells a question whose
    passage is there from the same question without it, 0.5 being chance.
    """

    questions: int
    weight: float
    fitted: float
    ndcg10: Estimate
    recall20: Estimate
    ndcg10_dense: Estimate
    gain: Estimate
    by_kind: Mapping[str, Mapping[str, float]]
    answerable: float

    @property
    def misses(self) -> tuple[str, ...]:
        """Which targets are missed, a sentence each."""
        wrong = {
            f"nDCG@10 {self.ndcg10.value:.3f} is below {NDCG_TARGET}": self.ndcg10.value < NDCG_TARGET,
            f"R@20 {self.recall20.value:.3f} is below {RECALL_TARGET}": self.recall20.value < RECALL_TARGET,
            f"hybrid is below dense by {-self.gain.value:.3f} in nDCG@10": self.gain.value < 0,
        }
        return tuple(sentence for sentence, holds in wrong.items() if holds)


def study(lists: Sequence[Lists], *, weight: float = LEXICAL_WEIGHT) -> Study:
    """Everything from the lists. The asked questions decide; the identifiers are shown beside them."""
    asked = [one for one in lists if one.question.kind is Kind.ASKED]
    fit = [one for one in asked if one.question.split is Split.FIT]
    held_out = [one for one in asked if one.question.split is Split.HELD_OUT]
    hybrid, dense = _ndcgs(held_out, weight), _ndcgs(held_out, 0.0)
    ranks = [_rank(one, weight) for one in held_out]
    return Study(
        questions=len(held_out),
        weight=weight,
        fitted=max(WEIGHTS, key=lambda tried: (sum(_ndcgs(fit, tried)), -tried)),
        ndcg10=estimate(hybrid),
        recall20=estimate([recall(rank) for rank in ranks]),
        ndcg10_dense=estimate(dense),
        gain=estimate([a - b for a, b in zip(hybrid, dense, strict=True)]),
        by_kind={str(kind): _by_way(lists, kind, weight) for kind in Kind},
        answerable=_answerable(held_out),
    )


def _by_way(lists: Sequence[Lists], kind: Kind, weight: float) -> dict[str, float]:
    """Mean nDCG@10 of the held-out questions of one kind, by each way to search."""
    own = [one for one in lists if one.question.kind is kind and one.question.split is Split.HELD_OUT]
    ways = {"dense": 0.0, "lexical": 1.0, "hybrid": weight}
    return {name: estimate(_ndcgs(own, share)).value for name, share in ways.items()}


def _ndcgs(lists: Sequence[Lists], weight: float) -> list[float]:
    return [ndcg(_rank(one, weight)) for one in lists]


def _rank(one: Lists, weight: float) -> int | None:
    """With a weight of 0 or 1 one list decides alone: the other's finds would only follow in their order."""
    match weight:
        case 0.0:
            ranked = blended(one.dense, ())
        case 1.0:
            ranked = blended((), one.lexical)
        case _:
            ranked = blended(one.dense, one.lexical, weight=weight)
    return rank_of(one.question.gold, [key for key, _ in ranked])


def _answerable(lists: Sequence[Lists]) -> float:
    there = [max((score for _, score in one.dense), default=0.0) for one in lists]
    gone = [max((score for key, score in one.dense if key != one.question.gold), default=0.0) for one in lists]
    return separation(there, gone)
