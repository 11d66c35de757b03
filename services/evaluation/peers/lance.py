"""LanceDB behind JSON lines: asked on stdin, told on stdout. Runs in the peers' environment, knows nothing of ours.

`python lance.py FOLDER`; it says `{"ready": {package: version}, "ways": [name, ...]}` first. Then one answer a line for
each order, with its `id`; `{"id": n, "error": text}` where the library failed:
`{"do": "add", "texts": [...], "vectors": base64 of little-endian float32, "dimension": n}`: `{"rows": n}`, all of them;
`{"do": "build"}`: indexes over what was added, `{"uses": {way: {what: how}}}`;
`{"do": "search", "way": name, "text": question, "vector": base64, "k": n}`: `{"ids": [...], "wall_s": s, "cpu_s": s}`;
`{"do": "nearest", "way": name, "vector": base64, "k": n}`: `{"ids": [...]}`, by the half of `search` that is meaning.

An id is the number of a chunk in the order in which they were added. The set-up is what its documentation shows for
hybrid search: one table, a full-text index, reciprocal rank fusion, which is its default.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
import time
from importlib import metadata
from typing import IO, Any

EXACT, INDEXED = "lancedb-exact", "lancedb-ivf-pq"
"""Every vector compared, as its documentation advises up to some 100,000 rows, and the index that it makes unasked."""

REFINE = 10
"""So many times the wanted rows are compared again by their whole vectors: without it IVF_PQ finds far less."""

LEAST_ROWS = 256
"""Product quantisation cannot be trained on fewer; LanceDB then compares every vector."""

PACKAGES = ("lancedb", "pyarrow", "numpy")


class Lance:
    """One table in a folder of the measurement."""

    def __init__(self, folder: str) -> None:
        self._lancedb: Any = importlib.import_module("lancedb")
        self._indexes: Any = importlib.import_module("lancedb.index")
        self._rerankers: Any = importlib.import_module("lancedb.rerankers")
        self._arrow: Any = importlib.import_module("pyarrow")
        self._numpy: Any = importlib.import_module("numpy")
        self._database = self._lancedb.connect(folder)
        self._table: Any = None
        self._rows = 0

    def add(self, order: dict[str, Any]) -> dict[str, Any]:
        """Append rows."""
        arrow, texts, dimension = self._arrow, order["texts"], order["dimension"]
        flat = arrow.array(self._vector(order["vectors"]), type=arrow.float32())
        vectors = arrow.FixedSizeListArray.from_arrays(flat, dimension)
        ids = arrow.array(range(self._rows, self._rows + len(texts)), type=arrow.int64())
        rows = arrow.table({"id": ids, "text": arrow.array(texts, type=arrow.string()), "vector": vectors})
        if self._table is None:
            self._table = self._database.create_table("chunks", rows)
        else:
            self._table.add(rows)
        self._rows += len(texts)
        return {"rows": self._rows}

    def build(self, _order: dict[str, Any]) -> dict[str, Any]:
        """Compact what many appends left, then make the indexes anew over all rows."""
        self._table.optimize()
        self._table.create_index("text", config=self._indexes.FTS(), replace=True)
        if self._rows >= LEAST_ROWS:
            self._table.create_index("vector", config=self._indexes.IvfPq(distance_type="cosine"), replace=True)
        kinds = {index.columns[0]: index.index_type for index in self._table.list_indices()}
        both = {"words": str(kinds["text"]), "blend": "RRFReranker"}
        exact = "every vector compared, cosine"
        indexed = f"{kinds['vector']}, cosine, refine_factor {REFINE}" if "vector" in kinds else exact
        return {"uses": {EXACT: {"vectors": exact, **both}, INDEXED: {"vectors": indexed, **both}}}

    def search(self, order: dict[str, Any]) -> dict[str, Any]:
        """A hybrid search, timed as its caller would wait for it: the rows' texts are read as well."""
        vector = self._vector(order["vector"])
        words = order["text"].replace('"', " ")  # quoted at both ends it would be a phrase
        cpu, wall = time.process_time(), time.perf_counter()
        query = self._table.search(query_type="hybrid").vector(vector).text(words)
        query = self._asked(query, order).select(["id", "text"]).rerank(self._rerankers.RRFReranker())
        rows = query.to_list()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"ids": [row["id"] for row in rows], "wall_s": wall, "cpu_s": cpu}

    def nearest(self, order: dict[str, Any]) -> dict[str, Any]:
        """The rows nearest in meaning."""
        query = self._asked(self._table.search(self._vector(order["vector"])), order)
        return {"ids": [row["id"] for row in query.select(["id"]).to_list()]}

    def _asked(self, query: Any, order: dict[str, Any]) -> Any:
        query = query.distance_type("cosine").limit(order["k"])
        return query.bypass_vector_index() if order["way"] == EXACT else query.refine_factor(REFINE)

    def _vector(self, text: str) -> Any:
        return self._numpy.frombuffer(base64.b64decode(text), dtype="<f4")


def serve(lance: Lance, orders: IO[str], out: IO[str]) -> None:
    """Carry out orders, one after the other, until there are no more."""
    carried_out = {"add": lance.add, "build": lance.build, "search": lance.search, "nearest": lance.nearest}
    for line in orders:
        order = json.loads(line)
        try:
            told = carried_out[order["do"]](order)
        except Exception as exc:  # noqa: BLE001 - the edge of this process: whoever gave the order is told instead
            told = {"error": f"{type(exc).__name__}: {exc}"}
        say(out, {"id": order["id"], **told})


def say(out: IO[str], told: dict[str, Any]) -> None:
    """One line."""
    out.write(json.dumps(told) + "\n")
    out.flush()


def main(folder: str) -> None:
    """Serve until stdin ends. What was stdout is kept for answers: whatever a library prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lance = Lance(folder)
    say(out, {"ready": {name: metadata.version(name) for name in PACKAGES}, "ways": [EXACT, INDEXED]})
    serve(lance, sys.stdin, out)


if __name__ == "__main__":
    main(sys.argv[1])
