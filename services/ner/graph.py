"""What the graph holds, as values: documents, entities, facts with their evidence, merges and candidates for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.ner.grounding import Mention
from services.ner.producers import Made


class GraphError(Exception):
    """A wish that the graph cannot fulfil, and that changed nothing. `code` names it for programs."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """A document that was read, and who read it."""

    id: str
    text: str
    created_at: str
    producer: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Mention):
    """A mention of a document. `producer` is who found it where that is not who read the document, else None."""

    producer: Made | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A document in a list: how it begins, how many mentions it has, and who read it. `number` orders the list."""

    number: int
    id: str
    created_at: str
    beginning: str
    mentions: int
    producer: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What one or more names stand for; `mentions` counts its places in all documents."""

    id: int
    name: str
    type: str
    mentions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One mention: where an entity is named, and who found it there."""

    document_id: str
    text: str
    start: int
    end: int
    producer: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One mention with the words before and after it, and who found it there."""

    document_id: str
    start: int
    end: int
    before: str
    text: str
    after: str
    producer: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a relation: an entity by its number and name."""

    id: int
    name: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A fact; `evidence` counts the places that state it."""

    id: int
    subject: End
    predicate: str
    object: End
    evidence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A place that states a fact, by which names, and who found it there."""

    document_id: str
    quote: str
    start: int
    end: int
    subject: str
    object: str
    producer: Made


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPattern:
    """What one end of a fact must be; what is not given may be anything. `name` is a part of any of its names."""

    id: int | None = None
    type: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Which facts are asked for. `entity` is either end; `provider` and `document_id` are of the evidence."""

    subject: EndPattern = EndPattern()
    predicates: tuple[str, ...] = ()
    object: EndPattern = EndPattern()
    entity: int | None = None
    document_id: str | None = None
    provider: str | None = None
    least_evidence: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An entity, `depth` relations away from where one looked."""

    id: int
    name: str
    type: str
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the graph: entities, and all relations between them. `is_cut` when there was more of it."""

    nodes: Sequence[Node]
    relations: Sequence[Relation]
    is_cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """That `loser` is another name of `winner`, since `at`, and until `undone_at` if it was undone."""

    id: int
    winner: End
    loser: End
    at: str
    undone_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Mentions to split off: the one at `start` of a document, or all that it has of the name."""

    document_id: str
    start: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """That `made` is another thing than `source`, whose name and type it shares, at so many `places`.

    `source` is None when no document names it any more.
    """

    id: int
    source: End | None
    made: End
    places: int
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Two names that may be one, each with the entity that it belongs to now."""

    id: int
    low: End
    high: End
    low_entity: int
    high_entity: int
    reason: str
    score: float
