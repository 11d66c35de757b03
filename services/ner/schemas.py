"""The JSON of NER's requests and answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from services.ner.prompts import EntityType
from services.web.fields import Body, MaxTokens, Text
from services.web.provenance import LLMInfo, Producer


class Extract(Body):
    """A text to find names in."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"text": "Mara Quill moved gpu-2 from Tessel to the lab in Brenn.", "max_tokens": 128}
        }
    )

    text: Text
    max_tokens: MaxTokens = 128


class MentionInfo(BaseModel):
    """A name at its place: `text` is exactly `start`..`end` of the document."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    type: EntityType
    start: int
    end: int


class ExtractAnswer(BaseModel):
    """The names in the order of the text; `rejected` are those that a model made up."""

    entities: list[MentionInfo]
    rejected: list[str]
    llm: LLMInfo


class DocumentRead(ExtractAnswer):
    """A stored document and what was found in it."""

    id: str
    created_at: str
    producer: Producer


class DocumentInfo(BaseModel):
    """A stored document, its mentions, and who found them."""

    id: str
    text: str
    created_at: str
    producer: Producer
    entities: list[MentionInfo]


class EntityInfo(BaseModel):
    """A name of one type; `mentions` counts its places in all documents."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    type: EntityType
    mentions: int


class EntityList(BaseModel):
    """Entities, the most mentioned first."""

    entities: list[EntityInfo]


class PlaceInfo(BaseModel):
    """Where an entity is named, and who found it there."""

    model_config = ConfigDict(from_attributes=True)

    document_id: str
    text: str
    start: int
    end: int
    producer: Producer


class EntityDetail(BaseModel):
    """An entity with all its mentions."""

    id: int
    name: str
    type: EntityType
    mentions: list[PlaceInfo]
