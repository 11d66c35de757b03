"""The JSON of what readers say of answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.rag.feedback import Rating
from services.rag.schemas import STORABLE
from services.web.fields import MAX_TEXT_CHARS, Body, Query, Text
from services.web.provenance import Producer

MAX_COMMENT_CHARS = 2000

Name = Annotated[str, StringConstraints(max_length=300, pattern=STORABLE)]
Place = Annotated[int, Field(ge=0, le=2**31 - 1)]
Comment = Annotated[Text, StringConstraints(max_length=MAX_COMMENT_CHARS)]


class ProducerBody(Body):
    """The `producer` of an answer, as the answer told it."""

    provider: Annotated[Name, Field(min_length=1)]
    engine: Name
    model: Name
    prompt_version: Name
    at: Name
    digest: Name = ""
    params_hash: Name = ""

    def whole(self) -> Producer:
        """The same, as it is stored."""
        return Producer(**self.model_dump())


class CitationPlace(BaseModel):
    """A citation of an answer; what else the answer told of it may come along and is not kept."""

    model_config = ConfigDict(extra="ignore", strict=True)

    n: Annotated[int, Field(ge=1, le=100)]
    document_id: Annotated[Name, Field(min_length=1)]
    start: Place
    end: Place


class AnswerRead(Body):
    """The answer that a reader judges, as it was given: answers are not stored."""

    question: Query
    answer: Annotated[str, Field(max_length=MAX_TEXT_CHARS, description="Its text; kept as a hash alone.")]
    request_id: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9._:-]{0,64}$", description="`llm.request_id`, or the header X-Request-Id.")
    ] = ""
    producer: ProducerBody | None = Field(None, description="As the answer told it; null where no model was asked.")


class NewFeedback(AnswerRead):
    """What a reader says of an answer; said again of the same answer it takes the place of what was said before."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "rating": "down",
                "question": "When does the nightly backup start?",
                "answer": "The nightly backup starts at 03:40 [1].",
                "request_id": "5f0c2b1e9d5b4a0e8b6f3f6f2f1d7c11",
                "comment": "The manual says 02:40.",
            }
        }
    )

    rating: Annotated[Rating, Field(strict=False)]
    comment: Comment | None = None
    wrong_citation: CitationPlace | None = Field(None, description="The one that does not bear the answer out.")


class FeedbackInfo(BaseModel):
    """A reader's judgement of an answer. `about` is equal for all that is said of the same answer.

    `reader` is the name of the API key, `anonymous` without keys; `wrong_citation` is null, too, once its document is
    deleted.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    rating: Rating
    about: str
    reader: str
    question: str
    request_id: str
    comment: str
    wrong_citation: CitationPlace | None
    producer: Producer | None
    created_at: str
    updated_at: str


class FeedbackList(BaseModel):
    """Judgements, newest first; `next` is null on the last page."""

    feedback: list[FeedbackInfo]
    next: str | None


class ShareInfo(BaseModel):
    """A share, 0 to 1, with its 95 % interval (Wilson's)."""

    model_config = ConfigDict(from_attributes=True)

    value: float
    low: float
    high: float


class TallyInfo(BaseModel):
    """What readers said of one producer's answers; its names are empty where no model was asked."""

    model_config = ConfigDict(from_attributes=True)

    provider: str
    engine: str
    model: str
    digest: str
    prompt_version: str
    up: int
    down: int
    helped: ShareInfo


class FeedbackSummary(BaseModel):
    """Every producer that was rated."""

    producers: list[TallyInfo]
