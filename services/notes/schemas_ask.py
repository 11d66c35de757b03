"""The JSON of questions to Notes and of their answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.web.answer_json import Answered, AskBody


class AskNotes(AskBody):
    """A question to answer from the notes; with `stream` the answer comes as server-sent events."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"question": "Who swaps the fan of gpu-2?", "k": 3, "max_tokens": 48}}
    )

    k: Annotated[int, Field(ge=1, le=20, description="How many passages.")] = 3


class NotePassage(BaseModel):
    """A passage that the model was shown: exactly `start`..`end` of the note's text at that version."""

    model_config = ConfigDict(from_attributes=True)

    note_id: str
    title: str
    version: int
    start: int
    end: int
    text: str


class NoteCitation(BaseModel):
    """A sentence the answer rests on; `verified`: the note was read again after the answer and still says it there.

    `version` is the one that was read again: in a later one the sentence may stand elsewhere.
    """

    model_config = ConfigDict(from_attributes=True)

    n: int
    note_id: str
    title: str
    version: int
    start: int
    end: int
    quote: str
    verified: bool


class AskNotesAnswer(Answered[NoteCitation]):
    """An answer; `answerable` is false where the notes do not say it; `llm` is null where no model was asked."""
