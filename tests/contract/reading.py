"""Short ways to read texts into a graph: who is named in a text, and which facts it states."""

from __future__ import annotations

from services.ner.graph import Pattern
from services.ner.grounding import Fact, Mention, Name, occurrences
from services.ner.producers import Made
from services.ner.store import Graph

PERSON, FIRM, PLACE = "person", "organisation", "place"


def made_by(provider: str = "vllm") -> Made:
    return Made(provider=provider, engine=provider, model="tiny", prompt_version="1", at="now", params_hash="p")


async def read(
    graph: Graph,
    text: str,
    names: dict[str, str],
    *facts: tuple[str, str, str],
    provider: str = "vllm",
    made: Made | None = None,
) -> str:
    """The id of a document in which `names` (name -> type) were found, and `facts`, each quoted by the whole text."""
    mentions = [
        Mention(text=text[a:b], type=kind, start=a, end=b)
        for name, kind in names.items()
        for a, b in occurrences(text, name)
    ]
    stated = [
        Fact(
            subject=Name(text=s, type=names[s]),
            predicate=p,
            object=Name(text=o, type=names[o]),
            quote=text,
            start=0,
            end=len(text),
        )
        for s, p, o in facts
    ]
    document, _ = await graph.put(text, mentions, stated, made or made_by(provider))
    return document.id


async def ids(graph: Graph) -> dict[str, int]:
    """Name -> number of every entity that stands for itself."""
    return {e.name: e.id for e in await graph.entities("", None, 1000, None)}


async def facts(graph: Graph, pattern: Pattern | None = None) -> list[tuple[str, str, str, int]]:
    """Each fact by the names of its ends, with how often it is stated."""
    found = await graph.relations(pattern or Pattern(), 1000, None)
    return [(r.subject.name, r.predicate, r.object.name, r.evidence) for r in found]


async def state(graph: Graph) -> tuple[object, ...]:
    """Everything that one can see of the graph, but the log of merges."""
    found = await graph.entities("", None, 1000, None)
    details = [await graph.entity(e.id) for e in found]
    return details, await graph.relations(Pattern(), 1000, None), await graph.candidates(1000, None)
