"""NER: grounded names, a graph of mentions, and retraction."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.llm.errors import ErrorType, PartialError
from services.llm.types import Answer, Sampling
from services.ner.grounding import ground, occurrences
from services.ner.prompts import PROMPT_VERSION
from services.ner.service import Ask, Ner
from services.ner.shape import DEFAULT, answer_schema
from services.ner.store import Graphs
from services.web.asking import Wishes
from tests.service.scripted import Desk, ScriptedClient, answer

TEXT = "Mara Quill met Tessel in Brenn. Tessel paid, said MARA QUILL."


def named(*entities: tuple[str, str], provider: str = "vllm") -> Answer:
    return answer(json.dumps({"entities": [{"text": t, "type": k} for t, k in entities]}), provider=provider)


async def read(ner: Desk, text: str, *entities: tuple[str, str], provider: str = "vllm") -> str:
    ner.llm.answers = [named(*entities, provider=provider)]
    return str((await ner.http.post("/v1/documents", json={"text": text})).json()["id"])


async def entities(ner: Desk, **params: str) -> list[tuple[str, str, int]]:
    found = (await ner.http.get("/v1/entities", params=params)).json()["entities"]
    return [(e["name"], e["type"], e["mentions"]) for e in found]


class TestGrounding:
    def test_every_occurrence_gets_its_place(self) -> None:
        """All places, each an exact span."""
        assert list(occurrences(TEXT, "Tessel")) == [(15, 21), (32, 38)]

    def test_the_own_case_comes_first_then_any(self) -> None:
        """Another case counts only where the own one does not occur."""
        assert list(occurrences(TEXT, "Mara Quill")) == [(0, 10)]
        assert list(occurrences(TEXT, "mara quill")) == [(0, 10), (50, 60)]

    def test_a_whole_word_comes_before_a_part_of_one(self) -> None:
        """`Ann` in `Annual` is a mention only where no `Ann` stands alone."""
        assert list(occurrences("Annual talk of Ann", "Ann")) == [(15, 18)]
        assert list(occurrences("Annual talk", "Ann")) == [(0, 3)]

    @pytest.mark.parametrize("surface", ["Nobody", "", "  ", ".*", "Tessel in Paris"])
    def test_what_the_text_does_not_hold_is_rejected(self, surface: str) -> None:
        """Names that a model made up, empty ones, and patterns."""
        found = ground(TEXT, json.dumps({"entities": [{"text": surface, "type": "person"}]}))

        assert (found.mentions, found.rejected) == ((), (surface,))

    def test_the_same_name_twice_is_one_mention_per_place(self) -> None:
        """A model that repeats itself adds nothing."""
        twice = [{"text": "Brenn", "type": "place"}] * 2

        assert len(ground(TEXT, json.dumps({"entities": twice})).mentions) == 1


class TestExtract:
    async def test_names_come_in_the_order_of_the_text(self, ner: Desk) -> None:
        """With type and exact place; invented ones are listed apart and counted."""
        ner.llm.answers = [named(("Brenn", "place"), ("Tessel", "organisation"), ("Gandalf", "person"))]
        response = await ner.http.post("/v1/extract", json={"text": TEXT})

        body = response.json()
        assert [(e["text"], e["type"]) for e in body["entities"]] == [
            ("Tessel", "organisation"),
            ("Brenn", "place"),
            ("Tessel", "organisation"),
        ]
        assert all(TEXT[e["start"] : e["end"]] == e["text"] for e in body["entities"])
        assert (body["rejected"], body["llm"]["provider"]) == (["Gandalf"], response.headers["x-llm-provider"])
        assert "ner_ungrounded_total 1.0" in (await ner.http.get("/metrics")).text

    async def test_others_are_served_while_a_text_is_looked_through(self, llm: ScriptedClient, tmp_path: Path) -> None:
        """A long text takes a while, in a thread: the event loop goes on."""
        llm.answers = [named(("Brenn", "place"))]
        graphs = Graphs(f"sqlite:////{tmp_path}/ner.db")
        ner = Ner(service="ner", alias="a", graphs=graphs, client=llm, registry=CollectorRegistry())
        served = asyncio.Event()
        asyncio.get_running_loop().call_soon(served.set)
        ask = Ask(text=TEXT, shape=DEFAULT, relations=False, sampling=Sampling(max_tokens=64))
        found = await ner.extract(ask, graphs.of("default"), Wishes(request_id="1", key="", first=None, deadline_s=5))

        assert [m.text for m in found.grounded.mentions] == ["Brenn"]
        assert served.is_set()

    async def test_the_model_is_held_to_the_schema(self, ner: Desk) -> None:
        """The form is asked for by schema, never by prompt alone; nothing is stored."""
        ner.llm.answers = [named()]
        await ner.http.post("/v1/extract", json={"text": TEXT, "max_tokens": 64})

        [request] = ner.llm.requests
        assert (request.schema, request.sampling.max_tokens) == (answer_schema(DEFAULT, relations=False), 64)
        assert await entities(ner) == []

    async def test_relations_come_when_they_are_asked_for(self, ner: Desk) -> None:
        """With quote and place; a made-up one is listed with its reason and counted. Unasked, none are looked for."""
        entities = [{"text": "Mara Quill", "type": "person"}, {"text": "Tessel", "type": "organisation"}]
        met = {"quote": "Mara Quill met Tessel", "subject": "Mara Quill", "predicate": "met", "object": "Tessel"}
        made_up = {**met, "quote": "Mara Quill loves Tessel"}
        ner.llm.answers = [answer(json.dumps({"entities": entities, "relations": [met, made_up]})), named()]
        body = (await ner.http.post("/v1/extract", json={"text": TEXT, "relations": True})).json()
        plain = (await ner.http.post("/v1/extract", json={"text": TEXT})).json()

        [fact] = body["relations"]
        assert (fact["subject"]["text"], fact["predicate"], fact["object"]["type"]) == (
            "Mara Quill",
            "met",
            "organisation",
        )
        assert TEXT[fact["start"] : fact["end"]] == fact["quote"]
        assert [r["why"] for r in body["rejected_relations"]] == ["quote_not_in_text"]
        assert "ner_ungrounded_total 1.0" in (await ner.http.get("/metrics")).text
        assert (plain["relations"], plain["rejected_relations"]) == ([], [])
        assert [r.sampling.max_tokens for r in ner.llm.requests] == [512, 256]

    async def test_a_cut_document_is_502(self, ner: Desk) -> None:
        """Half of a JSON document is no answer."""
        ner.llm.answers = [PartialError("cut", text='{"ent', provider="vllm", type=ErrorType.BAD_RESPONSE)]
        response = await ner.http.post("/v1/extract", json={"text": TEXT})

        assert (response.status_code, response.json()["error_type"]) == (502, "bad_response")

    @pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "\n"}, {"text": "x", "max_tokens": 5000}])
    async def test_nothing_to_read_is_422(self, ner: Desk, body: dict[str, object]) -> None:
        """Empty texts never reach a model."""
        assert (await ner.http.post("/v1/extract", json=body)).status_code == 422


class TestGraph:
    async def test_a_document_is_read_into_the_graph(self, ner: Desk) -> None:
        """201, its mentions, and who found them."""
        ner.llm.answers = [named(("Brenn", "place"))]
        response = await ner.http.post("/v1/documents", json={"text": TEXT})
        body = response.json()
        stored = (await ner.http.get(f"/v1/documents/{body['id']}")).json()

        assert (response.status_code, response.headers["location"]) == (201, f"/v1/documents/{body['id']}")
        assert (stored["text"], stored["entities"]) == (TEXT, [{**e, "producer": None} for e in body["entities"]])
        assert (stored["producer"]["provider"], stored["producer"]["prompt_version"]) == ("vllm", PROMPT_VERSION)

    async def test_spellings_of_one_name_are_one_entity(self, ner: Desk) -> None:
        """Case and spaces do not part them; another type does."""
        await read(ner, "Tessel grows.", ("Tessel", "organisation"))
        await read(ner, "TESSEL shrinks.", ("TESSEL", "organisation"))
        await read(ner, "We went to Tessel.", ("Tessel", "place"))

        assert await entities(ner) == [("Tessel", "organisation", 2), ("Tessel", "place", 1)]

    async def test_entities_are_found_by_a_part_of_the_name_and_by_type(self, ner: Desk) -> None:
        """In any case; `%` and `_` are only characters."""
        await read(ner, TEXT, ("Mara Quill", "person"), ("Brenn", "place"))

        assert await entities(ner, q="QUILL") == [("Mara Quill", "person", 1)]
        assert await entities(ner, type="place") == [("Brenn", "place", 1)]
        assert await entities(ner, q="%") == []

    async def test_an_entity_shows_all_its_mentions(self, ner: Desk) -> None:
        """Each with its document, its span and its producer."""
        first = await read(ner, "Tessel grows.", ("Tessel", "organisation"))
        second = await read(ner, "So does Tessel.", ("Tessel", "organisation"), provider="ollama")
        [entity] = (await ner.http.get("/v1/entities")).json()["entities"]
        places = (await ner.http.get(f"/v1/entities/{entity['id']}")).json()["mentions"]

        assert [(p["document_id"], p["start"], p["producer"]["provider"]) for p in places] == [
            (first, 0, "vllm"),
            (second, 8, "ollama"),
        ]

    async def test_deleting_a_document_retracts_its_mentions_only(self, ner: Desk) -> None:
        """An entity lives on while another document names it, and goes with the last one."""
        first = await read(ner, "Tessel is in Brenn.", ("Tessel", "organisation"), ("Brenn", "place"))
        await read(ner, "So is Tessel.", ("Tessel", "organisation"))

        assert (await ner.http.delete(f"/v1/documents/{first}")).status_code == 204
        assert await entities(ner) == [("Tessel", "organisation", 1)]

    async def test_a_known_text_is_read_anew(self, ner: Desk) -> None:
        """200; what is found now replaces what was found before, producer included."""
        first = await read(ner, TEXT, ("Brenn", "place"))
        ner.llm.answers = [named(("Tessel", "organisation"), provider="ollama")]
        again = await ner.http.post("/v1/documents", json={"text": TEXT})

        assert (again.status_code, again.json()["id"]) == (200, first)
        assert await entities(ner) == [("Tessel", "organisation", 2)]
        assert (await ner.http.get(f"/v1/documents/{first}")).json()["producer"]["provider"] == "ollama"

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/v1/documents/none", 404),
            ("DELETE", "/v1/documents/none", 404),
            ("GET", "/v1/entities/7", 404),
            ("GET", "/v1/entities/x", 422),
            ("GET", "/v1/entities/0", 422),
            ("GET", f"/v1/entities/{2**70}", 422),
            ("GET", "/v1/entities?type=a%20god", 422),
            ("GET", "/v1/entities?limit=0", 422),
        ],
    )
    async def test_what_is_not_there_is_said(self, ner: Desk, method: str, path: str, status: int) -> None:
        """Unknown ids are 404, impossible ones 422."""
        assert (await ner.http.request(method, path)).status_code == status
