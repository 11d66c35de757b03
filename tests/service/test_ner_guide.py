"""docs/NER.md says what NER does: its routes, its reasons, and an example that works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from services.ner.grounding import Why
from services.ner.resemblance import Reason
from tests.service.scripted import Desk, answer

GUIDE = (Path(__file__).parents[2] / "docs/NER.md").read_text(encoding="utf-8")
BODIES = [json.loads(body) for body in re.findall(r"-d '(.*?)'", GUIDE, re.DOTALL)]


async def test_every_route_is_on_the_page(ner: Desk) -> None:
    """Those of texts, the graph, merges and schemas; each path as it is asked for."""
    routes = [
        (method.upper(), path)
        for path, methods in (await ner.http.get("/openapi.json")).json()["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    ]

    assert len(routes) > 20
    assert [r for r in routes if f"{r[1]}`" not in GUIDE] == []
    assert [m for m, _ in routes if f"`{m}" not in GUIDE] == []


@pytest.mark.parametrize("word", [*Why, *Reason])
def test_every_reason_is_explained(word: str) -> None:
    """Callers read them in answers."""
    assert f"`{word}`" in GUIDE


async def test_the_example_works(ner: Desk) -> None:
    """The schema of the page is kept, and the text of the page is read by it."""
    schema, document, _split = BODIES
    fact = {"quote": document["text"], "subject": "Polaris", "predicate": "calls_at", "object": "Oslo"}
    names = [{"text": "Polaris", "type": "ship"}, {"text": "Oslo", "type": "port"}]
    ner.llm.answers = [answer(json.dumps({"entities": names, "relations": [fact]}))]

    assert (await ner.http.put("/v1/schemas/fleet", json=schema)).status_code == 201
    read = (await ner.http.post("/v1/documents", json=document)).json()
    assert [r["predicate"] for r in read["relations"]] == ["calls_at"]


async def test_a_retried_document_is_read_once(ner: Desk) -> None:
    """With its `Idempotency-Key` it gets the first answer, and no model is asked again."""
    ner.llm.answers = [answer('{"entities": [{"text": "Oslo", "type": "place"}]}')]
    first, again = [
        await ner.http.post("/v1/documents", json={"text": "Oslo."}, headers={"Idempotency-Key": "7c3e"}) for _ in "ab"
    ]

    assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")
    assert len(ner.llm.requests) == 1
