"""The JSON of the graph: facts, what is around an entity, merges, and schemas of one's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.llm import schemas
from services.ner.producers import Made
from services.ner.resemblance import Reason
from services.ner.seen import MOST_ID
from services.ner.shape import MAX_ENTITIES, answer_schema
from services.ner.shapes import shape_of
from services.web.fields import Body, Line, Text
from services.web.paging import MAX_CURSOR_CHARS, MAX_PAGE

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Slugs = Annotated[list[Slug], Field(max_length=50)]
Id = Annotated[int, Field(ge=1, le=MOST_ID)]
Bound = Annotated[int, Field(ge=1, le=50)]


class EndInfo(BaseModel):
    """An entity by its number and name."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    type: str


class NodeInfo(EndInfo):
    """An entity, `depth` relations away from where one looked."""

    depth: int


class RelationInfo(BaseModel):
    """A fact between two entities; `evidence` counts the places that state it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    subject: EndInfo
    predicate: str
    object: EndInfo
    evidence: int


class RelationPage(BaseModel):
    """Facts, the oldest first."""

    relations: list[RelationInfo]
    next: str | None


class EvidenceInfo(BaseModel):
    """A place that states a fact: the quote is `start`..`end` of the document; the names as they stand there."""

    model_config = ConfigDict(from_attributes=True)

    document_id: str
    quote: str
    start: int
    end: int
    subject: str
    object: str
    producer: Made


class ProvenanceInfo(BaseModel):
    """A fact and everything that supports it."""

    fact: RelationInfo
    evidence: list[EvidenceInfo]


class PartInfo(BaseModel):
    """Entities, and all facts between them. `is_cut` when there were more entities than asked for."""

    model_config = ConfigDict(from_attributes=True)

    entities: list[NodeInfo] = Field(validation_alias="nodes")
    relations: list[RelationInfo]
    is_cut: bool


class PathsInfo(BaseModel):
    """The shortest ways between two entities, each as its facts in order; none when they do not hang together."""

    paths: list[list[RelationInfo]]


class EndWanted(Body):
    """What one end of a fact must be. What is left out may be anything."""

    id: Id | None = None
    type: Slug | None = None
    name: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] = ""


class Filters(Body):
    """Which evidence counts."""

    document_id: Line | None = None
    provider: Line | None = None
    min_evidence: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class PatternWanted(Body):
    """A typed pattern of one fact."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"subject": {"type": "person"}, "predicate": ["works_for"], "object": {"id": 7}}}
    )

    subject: EndWanted = EndWanted()
    predicate: Slugs = Field(default_factory=list)
    object: EndWanted = EndWanted()
    filters: Filters = Filters()
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    after: Annotated[str, StringConstraints(max_length=MAX_CURSOR_CHARS)] = ""


class MergeWanted(Body):
    """Which entities are one: all of `entities` become names of `into`."""

    model_config = ConfigDict(json_schema_extra={"example": {"into": 3, "entities": [8]}})

    into: Id
    entities: Annotated[list[Id], Field(min_length=1, max_length=100)]
    across_types: bool = Field(default=False, description="Also merge entities of different types.")


class MergeInfo(BaseModel):
    """That `loser` is another name of `winner`."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    winner: EndInfo
    loser: EndInfo
    at: str
    undone_at: str | None


class MergesDone(BaseModel):
    """What was merged now; what was one already is not among it."""

    merges: list[MergeInfo]


class MergePage(MergesDone):
    """The log, the newest first."""

    next: str | None


class CandidateInfo(BaseModel):
    """Two names that may be one, the entity that each belongs to now, and why they look alike."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    low: EndInfo
    high: EndInfo
    low_entity: int
    high_entity: int
    reason: Reason
    score: float


class CandidatePage(BaseModel):
    """Candidates that nobody judged yet, the likest first."""

    candidates: list[CandidateInfo]
    next: str | None


class PredicateBody(Body):
    """A kind of fact; no subjects or objects means any type."""

    name: Slug
    subjects: Slugs = Field(default_factory=list)
    objects: Slugs = Field(default_factory=list)


class ShapeBody(Body):
    """What to look for. An open schema takes types and predicates that are not in its lists as well."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "entity_types": ["ship", "port"],
                "predicates": [{"name": "calls_at", "subjects": ["ship"], "objects": ["port"]}],
            }
        },
    )

    entity_types: Slugs
    predicates: Annotated[list[PredicateBody], Field(max_length=50)] = Field(default_factory=list)
    is_open: bool = False
    max_entities: Bound = MAX_ENTITIES
    max_relations: Bound = MAX_ENTITIES
    example_text: Text | Literal[""] = ""
    example_answer: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> ShapeBody:
        names = [p.name for p in self.predicates]
        used = {t for p in self.predicates for t in (*p.subjects, *p.objects)}
        if len(set(self.entity_types)) < len(self.entity_types) or len(set(names)) < len(names):
            raise ValueError("a type or a predicate is there twice")
        if not self.is_open and not self.entity_types:
            raise ValueError("a closed schema needs entity types")
        if not self.is_open and not used <= set(self.entity_types):
            raise ValueError(f"predicates join types that are not there: {', '.join(used - set(self.entity_types))}")
        if bool(self.example_text) != (self.example_answer is not None):
            raise ValueError("an example is a text and its answer, both or none")
        return self._with_sound_example()

    def _with_sound_example(self) -> ShapeBody:
        if self.example_answer is not None:
            shape = shape_of({"name": "x", **self.model_dump(include=set(ShapeBody.model_fields))})
            relations = "relations" in self.example_answer
            problem = schemas.misfit(answer_schema(shape, relations=relations), self.example_answer)
            if problem:
                raise ValueError(f"the example's answer does not fit the schema: {problem}")
        return self


class ShapeInfo(ShapeBody):
    """A schema; the built-in ones cannot be changed."""

    name: str
    is_built_in: bool


class ShapeList(BaseModel):
    """The built-in schemas, then one's own by name."""

    schemas: list[ShapeInfo]
