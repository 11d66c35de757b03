"""Homonyms over HTTP: split, listed, refused, undone."""

from __future__ import annotations

import json

from tests.service.scripted import Desk, answer


async def read(ner: Desk, text: str) -> str:
    """The id of a document that names John Smith."""
    ner.llm.answers = [answer(json.dumps({"entities": [{"text": "John Smith", "type": "person"}]}))]
    return str((await ner.http.post("/v1/documents", json={"text": text})).json()["id"])


async def test_a_split_and_back(ner: Desk) -> None:
    """The graph shows both with what tells them apart, until the split is undone."""
    await read(ner, "John Smith slept.")
    second = await read(ner, "John Smith woke.")
    done = await ner.http.post("/v1/entities/1:split", json={"mentions": [{"document_id": second}], "label": " Brenn "})
    split = done.json()
    listed = (await ner.http.get("/v1/splits")).json()
    merge = await ner.http.post("/v1/entities:merge", json={"into": 1, "entities": [split["made"]["id"]]})
    drawn = (await ner.http.get("/v1/graph.json")).json()

    assert (done.status_code, split["made"]["name"], listed["splits"]) == (200, "John Smith (Brenn)", [split])
    assert (merge.status_code, "kept-apart" in merge.text) == (409, True)
    assert sorted(e["name"] for e in drawn["entities"]) == ["John Smith", "John Smith (Brenn)"]
    undone = await ner.http.post(f"/v1/splits/{split['id']}:undo")
    assert (undone.status_code, (await ner.http.get("/v1/splits")).json()["splits"]) == (200, [])
    assert [e["mentions"] for e in (await ner.http.get("/v1/entities")).json()["entities"]] == [2]


async def test_refusals_are_told(ner: Desk) -> None:
    """What is not there, all of it, and a label that is none."""
    document = await read(ner, "John Smith slept.")
    all_of_it = {"mentions": [{"document_id": document}], "label": "x"}
    found = [
        (await ner.http.post("/v1/entities/9:split", json=all_of_it)).status_code,
        (await ner.http.post("/v1/entities/1:split", json=all_of_it)).status_code,
        (await ner.http.post("/v1/entities/1:split", json={**all_of_it, "label": "  "})).status_code,
        (await ner.http.post("/v1/entities/1:split", json={**all_of_it, "mentions": []})).status_code,
        (await ner.http.post("/v1/splits/9:undo")).status_code,
    ]

    assert found == [404, 409, 422, 422, 404]
