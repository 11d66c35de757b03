"""What readers say of answers: one rating of each answer by each reader, and what that says of who made them."""

from __future__ import annotations

import enum
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from services.web.provenance import Producer

SURE_SD = 1.959964
"""Standard deviations of a normal distribution that hold 95 % of it."""


class Rating(enum.StrEnum):
    """Whether an answer helped."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCitation:
    """Citation `n` of an answer, which does not bear it out: `start`..`end` of a document. No words of it are kept."""

    n: int
    document_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a reader says of an answer. `producer` is None where no model was asked, `request_id` may be empty."""

    rating: Rating
    question: str
    answer: str
    request_id: str = ""
    producer: Producer | None = None
    comment: str = ""
    wrong: WrongCitation | None = None

    @property
    def about(self) -> str:
        """Equal for the same answer of the same producer to the same request, and for no other: 64 hex digits."""
        made = self.producer
        who = [made.provider, made.engine, made.model, made.digest, made.prompt_version] if made else []
        return hashlib.sha256(json.dumps([self.request_id, self.question, self.answer, who]).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A stored judgement of the reader whose API key has the name `reader` (`anonymous`: no keys are set up)."""

    number: int
    id: str
    rating: Rating
    about: str
    reader: str
    question: str
    request_id: str
    comment: str
    wrong: WrongCitation | None
    producer: Producer | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of ratings, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The ratings of one producer's answers; every name is empty for answers without a model."""

    provider: str
    engine: str
    model: str
    digest: str
    prompt_version: str
    up: int
    down: int

    @property
    def helped(self) -> Share:
        """The share of `up`, with Wilson's interval, which holds for a few ratings as well."""
        return share(self.up, self.up + self.down)


class FeedbackBook(Protocol):
    """The port of one workspace. Everything it raises is a `StoreError`."""

    async def judge(self, judgement: Judgement, reader: str) -> tuple[Feedback, bool]:
        """The stored judgement in place of an earlier one of the same reader and answer; whether there was none."""

    async def one(self, feedback_id: str) -> Feedback | None: ...

    async def page(
        self, limit: int, before: int | None, *, rating: Rating | None = None, provider: str | None = None
    ) -> list[Feedback]:
        """At most `limit` judgements older than number `before`, newest first."""

    async def tallies(self) -> Sequence[Tally]:
        """The ratings of each producer, by name."""

    async def delete(self, feedback_id: str) -> bool:
        """Forget it for good; False when there was none."""


def counter(registry: CollectorRegistry) -> Counter:
    """What counts ratings, at zero from the start."""
    made = Counter("rag_feedback_total", "Ratings of answers by readers", ["rating"], registry=registry)
    for rating in Rating:
        made.labels(rating=rating)
    return made


def share(part: int, whole: int) -> Share:
    """`part` of `whole`, above 0, with Wilson's 95 % interval. Raises `ZeroDivisionError` for nothing of nothing."""
    value, spread = part / whole, SURE_SD**2 / whole
    middle = (value + spread / 2) / (1 + spread)
    half = SURE_SD / (1 + spread) * math.sqrt(value * (1 - value) / whole + SURE_SD**2 / (4 * whole**2))
    return Share(value=value, low=max(0.0, middle - half), high=min(1.0, middle + half))
