"""The JSON of splits: homonyms kept apart."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.ner.schemas_graph import EndInfo
from services.web.fields import Body, Line

_ONE_LINE = StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]+$")
Label = Annotated[str, _ONE_LINE]


class PlaceWanted(Body):
    """The mention at `start` of a document, or all that it has of the name."""

    document_id: Line
    start: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class SplitWanted(Body):
    """Which mentions mean another thing of the same name, and what tells it apart for people."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"mentions": [{"document_id": "3f6c2b0d9e1a7c54b8d2"}], "label": "Brenn"}}
    )

    mentions: Annotated[list[PlaceWanted], Field(min_length=1, max_length=1000)]
    label: Label


class SplitInfo(BaseModel):
    """That `made` is another thing than `source`, at `places` mentions; null when nothing names the source any more."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    source: EndInfo | None
    made: EndInfo
    places: int
    at: str


class SplitPage(BaseModel):
    """Splits that stand, the newest first."""

    splits: list[SplitInfo]
    next: str | None
