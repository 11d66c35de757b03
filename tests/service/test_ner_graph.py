"""NER's graph over HTTP: schemas, facts and their provenance, walks, merges, export."""

from __future__ import annotations

import io
import json
from typing import Any, ClassVar

import networkx
import pytest

from tests.service.scripted import Desk, answer

TEXT = "Mara Quill works for Tessel. Tessel makes Lubrex 40."
NAMES = {"Mara Quill": "person", "Tessel": "organisation", "Lubrex 40": "product"}
WORKS = ("Mara Quill works for Tessel.", "Mara Quill", "works_for", "Tessel")
MAKES = ("Tessel makes Lubrex 40.", "Tessel", "makes", "Lubrex 40")


def found(names: dict[str, str], *facts: tuple[str, str, str, str]) -> str:
    keys = ("quote", "subject", "predicate", "object")
    return json.dumps(
        {
            "entities": [{"text": t, "type": k} for t, k in names.items()],
            "relations": [dict(zip(keys, fact, strict=True)) for fact in facts],
        }
    )


async def read(ner: Desk, text: str, names: dict[str, str], *facts: tuple[str, str, str, str]) -> dict[str, Any]:
    ner.llm.answers = [answer(found(names, *facts))]
    response = await ner.http.post("/v1/documents", json={"text": text, "relations": True})
    assert response.status_code == 201, response.text
    return dict(response.json())


async def got(ner: Desk, path: str, **params: str | int) -> Any:
    response = await ner.http.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def numbers(ner: Desk) -> dict[str, int]:
    return {e["name"]: e["id"] for e in (await got(ner, "/v1/entities"))["entities"]}


class TestFacts:
    async def test_a_fact_leads_to_its_quote_and_producer(self, ner: Desk) -> None:
        """From the list of relations to the place in the document."""
        document = await read(ner, TEXT, NAMES, WORKS, MAKES)
        known = await numbers(ner)
        [works, _] = (await got(ner, "/v1/relations"))["relations"]
        told = await got(ner, f"/v1/facts/{works['id']}/provenance")

        assert (works["subject"]["id"], works["predicate"]) == (known["Mara Quill"], "works_for")
        [evidence] = told["evidence"]
        assert (evidence["document_id"], TEXT[evidence["start"] : evidence["end"]]) == (document["id"], WORKS[0])
        assert (evidence["producer"]["provider"], evidence["producer"]["prompt_version"]) == ("vllm", "facts-1")
        assert len(evidence["producer"]["params_hash"]) == 16

    async def test_relations_are_filtered_and_paged(self, ner: Desk) -> None:
        """By entity, predicate and document; a cursor belongs to its filters."""
        document = await read(ner, TEXT, NAMES, WORKS, MAKES)
        known = await numbers(ner)
        first = await got(ner, "/v1/relations", limit=1, entity=known["Tessel"])
        rest = await got(ner, "/v1/relations", limit=1, entity=known["Tessel"], after=first["next"])
        wrong = await ner.http.get("/v1/relations", params={"after": first["next"]})

        assert [r["predicate"] for r in (*first["relations"], *rest["relations"])] == ["works_for", "makes"]
        assert (rest["next"], wrong.status_code) == (None, 400)
        assert len((await got(ner, "/v1/relations", predicate="makes", document_id=document["id"]))["relations"]) == 1
        assert (await got(ner, "/v1/relations", document_id="other"))["relations"] == []

    async def test_a_typed_pattern_finds_facts(self, ner: Desk) -> None:
        """Subject, predicate, object and filters; an unknown field is refused, so no query language gets in."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        pattern = {"subject": {"type": "person"}, "predicate": ["works_for"], "filters": {"provider": "vllm"}}
        fits = (await ner.http.post("/v1/query", json=pattern)).json()["relations"]
        none = (await ner.http.post("/v1/query", json={**pattern, "object": {"type": "place"}})).json()["relations"]
        cypher = await ner.http.post("/v1/query", json={"query": "MATCH (n) DETACH DELETE n"})

        assert ([r["object"]["name"] for r in fits], none, cypher.status_code) == (["Tessel"], [], 422)

    async def test_an_entity_shows_its_facts_and_names(self, ner: Desk) -> None:
        """With what is around it, and the way to what is further off."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        known = await numbers(ner)
        detail = await got(ner, f"/v1/entities/{known['Tessel']}")
        around = await got(ner, f"/v1/entities/{known['Mara Quill']}/neighbors", depth=2)
        ways = await got(ner, "/v1/paths", **{"from": known["Mara Quill"], "to": known["Lubrex 40"]})

        assert (len(detail["relations"]), detail["aliases"][0]["name"], len(detail["mentions"])) == (2, "Tessel", 2)
        assert [(e["name"], e["depth"]) for e in around["entities"]] == [
            ("Mara Quill", 0),
            ("Tessel", 1),
            ("Lubrex 40", 2),
        ]
        assert [[r["predicate"] for r in way] for way in ways["paths"]] == [["works_for", "makes"]]


class TestMerges:
    async def test_a_candidate_is_accepted_and_taken_back(self, ner: Desk) -> None:
        """The queue, the log and the entity say the same."""
        await read(ner, "Mara Quill, Mara Quil.", {"Mara Quill": "person", "Mara Quil": "person"})
        [candidate] = (await got(ner, "/v1/merge-candidates"))["candidates"]
        [merge] = (await ner.http.post(f"/v1/merge-candidates/{candidate['id']}:accept")).json()["merges"]

        assert (candidate["reason"], await numbers(ner)) == ("similar", {"Mara Quill": merge["winner"]["id"]})
        undone = (await ner.http.post(f"/v1/merges/{merge['id']}:undo")).json()
        assert undone["undone_at"]
        assert [m["undone_at"] for m in (await got(ner, "/v1/merges"))["merges"]] == [undone["undone_at"]]
        assert (await ner.http.post(f"/v1/merge-candidates/{candidate['id']}:reject")).status_code == 204
        assert (await got(ner, "/v1/merge-candidates"))["candidates"] == []

    async def test_types_stand_against_a_merge(self, ner: Desk) -> None:
        """409 with the way out; the same wish with it is done."""
        await read(ner, TEXT, NAMES)
        known = await numbers(ner)
        body = {"into": known["Tessel"], "entities": [known["Lubrex 40"]]}
        refused = await ner.http.post("/v1/entities:merge", json=body)
        done = await ner.http.post("/v1/entities:merge", json={**body, "across_types": True})

        assert (refused.status_code, "across_types" in refused.json()["detail"]) == (409, True)
        assert len(done.json()["merges"]) == 1


class TestSchemas:
    FLEET: ClassVar = {
        "entity_types": ["ship"],
        "predicates": [{"name": "met", "subjects": ["ship"], "objects": ["ship"]}],
    }

    async def test_a_schema_of_ones_own_is_asked_for(self, ner: Desk) -> None:
        """Its types and predicates bind the model, and its version is in the producer."""
        assert (await ner.http.put("/v1/schemas/fleet", json=self.FLEET)).status_code == 201
        assert (await ner.http.put("/v1/schemas/fleet", json=self.FLEET)).status_code == 200
        text = "Polaris met Aurora."
        ner.llm.answers = [answer(found({"Polaris": "ship", "Aurora": "ship"}, (text, "Polaris", "met", "Aurora")))]
        body = (await ner.http.post("/v1/documents", json={"text": text, "schema": "fleet"})).json()

        [request] = ner.llm.requests
        assert request.schema is not None
        assert request.schema["properties"]["entities"]["items"]["properties"]["type"]["enum"] == ["ship"]
        assert body["producer"]["prompt_version"].startswith("facts-1/fleet@")
        assert [s["name"] for s in (await got(ner, "/v1/schemas"))["schemas"]] == ["default", "facts", "fleet"]
        assert (await ner.http.delete("/v1/schemas/fleet")).status_code == 204
        assert (await ner.http.get("/v1/schemas/fleet")).status_code == 404

    @pytest.mark.parametrize(
        "wrong",
        [
            {"entity_types": []},
            {"entity_types": ["Ship!"]},
            {"entity_types": ["ship", "ship"]},
            {"entity_types": ["ship"], "predicates": [{"name": "met", "subjects": ["port"]}]},
            {"entity_types": ["ship"], "example_text": "Polaris."},
            {
                "entity_types": ["ship"],
                "example_text": "Oslo.",
                "example_answer": {"entities": [{"text": "Oslo", "type": "city"}]},
            },
        ],
    )
    async def test_a_schema_that_does_not_hang_together_is_refused(self, ner: Desk, wrong: dict[str, Any]) -> None:
        """422, and nothing is kept."""
        assert (await ner.http.put("/v1/schemas/fleet", json=wrong)).status_code == 422
        assert (await ner.http.get("/v1/schemas/fleet")).status_code == 404

    async def test_a_known_document_can_be_asked_about_again(self, ner: Desk) -> None:
        """By its id; nothing is stored by it."""
        document = await read(ner, TEXT, NAMES)
        ner.llm.answers = [answer(found(NAMES, WORKS))]
        body = {"document_id": document["id"], "relations": True}
        again = (await ner.http.post("/v1/extract", json=body)).json()

        assert ([r["predicate"] for r in again["relations"]], (await got(ner, "/v1/relations"))["relations"]) == (
            ["works_for"],
            [],
        )

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"text": "x", "schema": "none"}, 404),
            ({"text": "x", "schema": "default", "relations": True}, 422),
            ({"text": "x", "document_id": "y"}, 422),
            ({"document_id": "y"}, 404),
        ],
    )
    async def test_a_wish_that_cannot_be_met_is_told(self, ner: Desk, body: dict[str, Any], status: int) -> None:
        """Before a model is asked."""
        assert (await ner.http.post("/v1/extract", json=body)).status_code == status
        assert ner.llm.requests == []


class TestExport:
    async def test_graphml_is_read_by_others(self, ner: Desk) -> None:
        """By NetworkX here: the same entities and facts as JSON has, characters that XML forbids replaced."""
        name = "Les\x01sel & <Söhne>"
        await read(ner, f"{TEXT} {name}", {**NAMES, name: "organisation"}, WORKS, MAKES)
        whole = await got(ner, "/v1/graph.json")
        response = await ner.http.get("/v1/graph.graphml")
        graph = networkx.read_graphml(io.BytesIO(response.content), force_multigraph=True)

        assert response.headers["content-type"] == "application/graphml+xml"
        names = {data["name"] for _, data in graph.nodes(data=True)}
        assert names == {*NAMES, "Les\ufffdsel & <Söhne>"}
        assert {e["name"] for e in whole["entities"]} == {*NAMES, name}
        edges = {(graph.nodes[a]["name"], d["predicate"], graph.nodes[b]["name"]) for a, b, d in graph.edges(data=True)}
        assert edges == {WORKS[1:], MAKES[1:]}

    async def test_a_cut_graph_says_so(self, ner: Desk) -> None:
        """The most related entities come first."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        whole = await got(ner, "/v1/graph.json", limit=1)

        assert ([e["name"] for e in whole["entities"]], whole["relations"], whole["is_cut"]) == (["Tessel"], [], True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/facts/7/provenance", 404),
        ("GET", "/v1/entities/7/neighbors", 404),
        ("GET", "/v1/entities/7/neighbors?depth=4", 422),
        ("GET", "/v1/paths?from=1&to=2", 404),
        ("GET", "/v1/paths?from=1", 422),
        ("POST", "/v1/merges/7:undo", 404),
        ("POST", "/v1/merge-candidates/7:accept", 404),
        ("POST", "/v1/merge-candidates/7:reject", 404),
        ("PUT", "/v1/schemas/Bad%20name", 422),
        ("DELETE", "/v1/schemas/facts", 409),
        ("DELETE", "/v1/schemas/none", 404),
        ("GET", "/v1/relations?after=x", 400),
        ("GET", "/v1/entities?q=%00", 422),
        ("GET", "/v1/documents/%00", 422),
    ],
)
async def test_what_is_not_there_is_said(ner: Desk, method: str, path: str, status: int) -> None:
    """Unknown numbers are 404, impossible ones 422, what stands against it 409."""
    assert (await ner.http.request(method, path)).status_code == status
