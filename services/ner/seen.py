"""What an endpoint of NER works with: the use cases, the graph that its caller may see, and how refusals are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Path, Query, Request

from services.ner.graph import GraphError
from services.ner.service import Ner
from services.ner.store import Graph
from services.web.problems import Problem
from services.web.room import room
from services.web.workspace import Workspace

MOST_ID = 2**31 - 1
Number = Annotated[int, Path(ge=1, le=MOST_ID)]
NumberAsked = Annotated[int, Query(ge=1, le=MOST_ID)]
DocumentId = Annotated[str, Path(max_length=100, pattern=r"^[^\x00]+$")]
TypeName = Annotated[str, Query(max_length=40, pattern=r"^\w+$")]
NOT_FOUND = "not-found"


def _ner(request: Request) -> Ner:
    use_cases = room(request).use_cases
    assert isinstance(use_cases, Ner)
    return use_cases


UseCases = Annotated[Ner, Depends(_ner)]


def _graph(ner: UseCases, workspace: Workspace) -> Graph:
    return ner.graphs.of(workspace)


Seen = Annotated[Graph, Depends(_graph)]
"""The graph of the caller's workspace."""


@contextmanager
def refusals() -> Iterator[None]:
    """What the graph refuses is 404 for something that is not there, and 409 for something that stands against it."""
    try:
        yield
    except GraphError as exc:
        raise Problem(404 if exc.code == NOT_FOUND else 409, exc.code, str(exc)) from exc
