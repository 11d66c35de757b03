"""What the addresses of NER's pages carry, where an empty field of a form means none, and what fields offer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator, Field

from services.ner.graph import Entity, Node
from services.ner.names import key
from services.ner.seen import MOST_ID
from services.ner.store import Graph

_Id = Annotated[int, Field(ge=1, le=MOST_ID)]
_Count = Annotated[int, Field(ge=1, le=1_000_000)]
Chosen = Annotated[_Id | None, BeforeValidator(lambda given: given or None), Query()]
Counted = Annotated[_Count | None, BeforeValidator(lambda given: given or None), Query()]
NamePart = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
TypePart = Annotated[str, Query(max_length=40, pattern=r"^\w*$")]

MOST_CHOICES = 12


async def kinds_of(graph: Graph, seen: Iterable[Entity | Node]) -> list[str]:
    """The types that a filter offers: what the schemas look for, and what is seen."""
    looked_for = {str(kind) for shape in await graph.shapes() for kind in shape.entity_types}
    return sorted(looked_for | {e.type for e in seen})


async def predicates_of(graph: Graph) -> list[str]:
    """The predicates that a form offers: those of the schemas."""
    return sorted({p.name for shape in await graph.shapes() for p in shape.predicates})


async def meant(graph: Graph, given: str) -> tuple[Entity | None, list[Entity]]:
    """The entity that `given`, a number or a name, means, and what else it may mean.

    Only one that bears the whole name, or the only one with it in its name, is meant; else there are choices.
    """
    given = given.strip()
    if not given:
        return None, []
    if given.isdecimal() and given.isascii() and 0 < int(given) <= MOST_ID:
        found = await graph.entity(int(given))
        if found is not None:
            return found[0], []
    named = await graph.entities(given, None, MOST_CHOICES, None)
    exact = [e for e in named if key(e.name) == key(given)]
    for certain in (exact, named):
        if len(certain) == 1:
            return certain[0], []
    return None, exact or named
