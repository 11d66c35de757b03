"""A part of the graph as GraphML."""

from __future__ import annotations

import io
import re

from services.ner.graph import Part

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that a text may hold and an XML document may not, even escaped."""


def graphml(part: Part) -> bytes:
    """Entities as nodes, facts as directed edges of their own (two entities may be joined by several)."""
    import networkx

    graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    for node in part.nodes:
        graph.add_node(f"n{node.id}", name=_printable(node.name), type=node.type)
    for r in part.relations:
        ends = f"n{r.subject.id}", f"n{r.object.id}"
        graph.add_edge(*ends, key=f"e{r.id}", predicate=r.predicate, evidence=r.evidence)
    written = io.BytesIO()
    networkx.write_graphml_xml(graph, written)
    return written.getvalue()


def _printable(name: str) -> str:
    return _NO_XML.sub("\ufffd", name)
