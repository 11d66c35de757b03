"""Ways and distances in the graph are those that NetworkX finds in the same one."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ner.store import Graphs
from services.store.sqlite import url_of
from tests.contract.reading import PERSON, ids, read

NAMES = "ABCDEFG"
LONGEST, MOST = 5, 1000

pairs = st.sampled_from(list(itertools.permutations(NAMES, 2)))


@given(edges=st.lists(pairs, min_size=4, max_size=12, unique=True), ends=pairs, one=st.booleans())
@settings(max_examples=40)
def test_walks_are_those_of_networkx(edges: list[tuple[str, str]], ends: tuple[str, str], one: bool) -> None:
    """All the shortest ways, or as many as asked for; everything within three facts, by its distance."""
    expected: networkx.MultiGraph[str] = networkx.MultiGraph(edges)
    expected.add_nodes_from(NAMES)
    limit = 1 if one else MOST
    ways, distances = asyncio.run(walked(edges, *ends, limit))

    found = [tuple(way) for way in ways]
    assert len(found) == len(set(found))
    assert set(found) <= every(expected, *ends)
    assert len(found) == min(limit, len(every(expected, *ends)))
    assert distances == networkx.single_source_shortest_path_length(expected, ends[0], cutoff=3)


def in_memory() -> str | None:
    """Where a file needs no disk: what is tested is not whether it survives."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def every(graph: networkx.MultiGraph[str], start: str, goal: str) -> set[tuple[str, ...]]:
    """The shortest ways, as the names on them."""
    if not networkx.has_path(graph, start, goal):
        return set()
    found = {tuple(way) for way in networkx.all_shortest_paths(graph, start, goal)}
    return {way for way in found if len(way) <= LONGEST + 1}


async def walked(
    edges: list[tuple[str, str]], start: str, goal: str, limit: int
) -> tuple[list[list[str]], dict[str, int]]:
    """What the graph says of the same edges; of two facts between the same two, a way is counted once."""
    facts = [(a, "met", b) for a, b in edges if (b, a) not in edges or a < b]
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        async with Graphs(url_of(Path(folder) / "ner.db")) as graphs:
            graph = graphs.of("default")
            await read(graph, " ".join(NAMES), dict.fromkeys(NAMES, PERSON), *facts)
            known = await ids(graph)
            ways = await graph.paths(known[start], known[goal], LONGEST, limit)
            around = await graph.neighbours(known[start], 3, 100)
    assert ways is not None
    assert around is not None
    return [names_on(start, [(r.subject.name, r.object.name) for r in way]) for way in ways], {
        n.name: n.depth for n in around.nodes
    }


def names_on(start: str, way: list[tuple[str, str]]) -> list[str]:
    names = [start]
    for a, b in way:
        assert names[-1] in (a, b), "a way is in one piece"
        names.append(b if names[-1] == a else a)
    return names
