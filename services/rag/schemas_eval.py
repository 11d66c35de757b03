"""The JSON of RAG's evaluation on one's own questions."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.rag.schemas import STORABLE, OneCollection
from services.rag.search import Mode
from services.web.fields import Body, Query

Place = Annotated[int | None, Field(ge=0, description="Characters of the document's text.")]


class GoldQuestion(Body):
    """A question and the document that answers it; with `start` and `end`, the place in its text."""

    question: Query
    document_id: Annotated[str, Field(min_length=1, max_length=64, pattern=STORABLE)]
    start: Place = None
    end: Place = None

    @model_validator(mode="after")
    def _is_a_place(self) -> GoldQuestion:
        if (self.start is None) != (self.end is None):
            raise ValueError("give both start and end, or neither")
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


class Eval(Body):
    """Questions with their gold places; no model is asked for an answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"questions": [{"question": "When does the nightly backup start?", "document_id": "0" * 32}]}
        }
    )

    questions: Annotated[list[GoldQuestion], Field(min_length=1, max_length=200)]
    collection: OneCollection = None
    mode: Annotated[Mode, Field(strict=False)] = Mode.HYBRID


class EstimateInfo(BaseModel):
    """A mean over the questions and its 95 % interval, by bootstrap."""

    model_config = ConfigDict(from_attributes=True)

    value: float
    low: float
    high: float


class PlacedQuestion(BaseModel):
    """`rank` of the first passage that holds the answer, from 1; null: not among 20. `mode`: how it was looked for."""

    model_config = ConfigDict(from_attributes=True)

    question: str
    rank: int | None
    mode: Mode
    reason: str


class Evaluated(BaseModel):
    """How well the questions find their passages. nDCG takes the first one that holds the answer for the only one."""

    model_config = ConfigDict(from_attributes=True)

    ndcg10: EstimateInfo
    recall20: EstimateInfo
    reciprocal_rank: EstimateInfo
    placed: list[PlacedQuestion]
