"""The JSON of NER's requests and answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.ner.grounding import Why
from services.ner.producers import Made
from services.ner.schemas_graph import RelationInfo, Slug
from services.web.fields import Body, Line, MaxTokens, Text
from services.web.provenance import LLMInfo

PLAIN_TOKENS, RELATION_TOKENS, MOST_TOKENS = 256, 512, 1024
"""What an answer may have: where nobody says, with relations, and at all (`MaxTokens`).

An answer that is cut is no answer; `cutover eval services` counts them on paragraphs full of names.
"""

EXAMPLE = "Mara Quill moved gpu-2 from Tessel to the lab in Brenn."


def tokens(relations: bool) -> int:
    """How many an answer may have where nobody says."""
    return RELATION_TOKENS if relations else PLAIN_TOKENS


class Looked(Body):
    """What to look for in a text."""

    shape: Slug | None = Field(
        default=None, alias="schema", description="Its name (`GET /v1/schemas`); none looks for the usual names only."
    )
    relations: bool | None = Field(
        default=None,
        description="Also look for facts, each with its quote. Left out: yes for a schema with predicates, else no.",
    )
    max_tokens: MaxTokens | None = Field(
        default=None, description=f"Of the answer; {PLAIN_TOKENS}, or {RELATION_TOKENS} with relations."
    )

    def tokens(self, relations: bool) -> int:
        return self.max_tokens or tokens(relations)


class Read(Looked):
    """A text to read into the graph."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": EXAMPLE, "relations": True}})

    text: Text


class Extract(Looked):
    """A text to find names in, or the id of a document that was read before."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": EXAMPLE, "max_tokens": 128}})

    text: Text | None = None
    document_id: Line | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Extract:
        if (self.text is None) == (self.document_id is None):
            raise ValueError("give either text or document_id")
        return self


class MentionInfo(BaseModel):
    """A name at its place: `text` is exactly `start`..`end` of the document."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    type: str
    start: int
    end: int


class FoundInfo(MentionInfo):
    """A name at its place in a document; `producer` is null where whoever read the document found it."""

    producer: Made | None


class NameInfo(BaseModel):
    """One end of a fact."""

    model_config = ConfigDict(from_attributes=True)

    text: str
    type: str


class FactInfo(BaseModel):
    """A fact that the text states: `quote` is exactly `start`..`end` of the document, and names both ends."""

    model_config = ConfigDict(from_attributes=True)

    subject: NameInfo
    predicate: str
    object: NameInfo
    quote: str
    start: int
    end: int


class RefusedInfo(BaseModel):
    """A relation that a model gave and that was not taken, and why."""

    model_config = ConfigDict(from_attributes=True)

    subject: str
    predicate: str
    object: str
    quote: str
    why: Why


class ExtractAnswer(BaseModel):
    """The names in the order of the text, and the facts; `rejected` are names that a model made up.

    `candidates` are names that spaCy saw where the model found none, if that is turned on: no entities, maybe wrong.
    """

    entities: list[MentionInfo]
    rejected: list[str]
    relations: list[FactInfo]
    rejected_relations: list[RefusedInfo]
    candidates: list[MentionInfo]
    llm: LLMInfo


class DocumentRead(ExtractAnswer):
    """A stored document and what was found in it."""

    id: str
    created_at: str
    producer: Made


class DocumentInfo(BaseModel):
    """A stored document, its mentions, and who found them."""

    id: str
    text: str
    created_at: str
    producer: Made
    entities: list[FoundInfo]


class ListedInfo(BaseModel):
    """A stored document in a list: how it begins, how many mentions it has, and who read it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    created_at: str
    beginning: str
    mentions: int
    producer: Made


class DocumentPage(BaseModel):
    """Documents, the newest first."""

    documents: list[ListedInfo]
    next: str | None


class EntityInfo(BaseModel):
    """A name of one type; `mentions` counts its places in all documents."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    type: str
    mentions: int


class EntityList(BaseModel):
    """Entities, the most mentioned first."""

    entities: list[EntityInfo]
    next: str | None


class AliasInfo(EntityInfo):
    """One name of an entity, with the type that it was read with; `mentions` counts its own places."""


class PlaceInfo(BaseModel):
    """Where an entity is named, and who found it there."""

    model_config = ConfigDict(from_attributes=True)

    document_id: str
    text: str
    start: int
    end: int
    producer: Made


class EntityDetail(BaseModel):
    """An entity: its names, its first mentions, and its first facts (the rest: `GET /v1/relations?entity=`)."""

    id: int
    name: str
    type: str
    aliases: list[AliasInfo]
    mentions: list[PlaceInfo]
    mentions_cut: bool
    relations: list[RelationInfo]
