"""NER's pages of the graph, without a browser: entities, facts, ways, patterns, merges, schemas, and hostile names."""

from __future__ import annotations

import io
import json
from typing import Any

import networkx
import pytest

from services.ner.resemblance import Reason
from services.ner.ui_merges import REASONS
from tests.service.scripted import Desk
from tests.service.test_ui_ner import HOSTILE, TEXT, read, seen, sent

NAMES = {"Mara Quill": "person", "Tessel": "organisation", "Lubrex 40": "product"}
WORKS = ("Mara Quill works for Tessel.", "Mara Quill", "works_for", "Tessel")
MAKES = ("Tessel makes Lubrex 40.", "Tessel", "makes", "Lubrex 40")


async def numbers(ner: Desk) -> dict[str, int]:
    return {e["name"]: e["id"] for e in (await ner.http.get("/v1/entities")).json()["entities"]}


async def drawn(ner: Desk, **params: str | int) -> dict[str, Any]:
    reply = await ner.http.get("/ui/graph.json", params=params)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


class TestEntities:
    async def test_they_are_found_by_name_and_type(self, ner: Desk) -> None:
        """An empty field of the form means any."""
        await read(ner, TEXT, NAMES)
        assert "Lubrex 40" in await seen(ner, "/entities", q="", type="")
        page = await seen(ner, "/entities", q="tess", type="organisation")

        assert ("Tessel</a>" in page, "Lubrex 40</a>" in page) == (True, False)
        assert "No entity is like that" in await seen(ner, "/entities", q="nobody")

    async def test_a_page_has_mentions_and_facts_with_their_evidence(self, ner: Desk) -> None:
        """Each mention with its offset and the words around it, each quote with who found it."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        page = await seen(ner, f"/entities/{(await numbers(ner))['Tessel']}")

        assert "Mara Quill works for <mark>Tessel</mark>. Tessel makes Lubrex 40." in page
        assert "21 to 27 of its document" in page
        assert "<blockquote>Tessel makes Lubrex 40.</blockquote>" in page
        assert "found by vllm, model tiny, prompt facts-1" in page

    async def test_one_that_is_not_there_is_a_page_too(self, ner: Desk) -> None:
        """With the next step."""
        for path in ("/entities/7", "/facts/7", "/graph?entity=7"):
            assert "Look for it in the list" in await seen(ner, path, 404)


class TestPicture:
    async def test_it_begins_with_the_most_related(self, ner: Desk) -> None:
        """The list in the page has what the picture is drawn from."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        part, page = await drawn(ner), await seen(ner, "/graph")

        assert part["entities"][0]["name"] == "Tessel"
        assert [(r["predicate"], r["evidence"]) for r in part["relations"]] == [("works_for", 1), ("makes", 1)]
        assert all(f">{e['name']}</a>" in page for e in part["entities"])
        assert "3 entities and 2 facts are shown." in page

    async def test_what_is_around_an_entity_is_asked_for_by_number_or_name(self, ner: Desk) -> None:
        """And a name that nobody bears is told in words."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        known = await numbers(ner)
        mara, same = await drawn(ner, entity=known["Mara Quill"]), await drawn(ner, q="quill", entity="", type="")

        assert mara == same
        assert (mara["focus"], {e["name"] for e in mara["entities"]}) == (known["Mara Quill"], {"Mara Quill", "Tessel"})
        assert (await drawn(ner, q="Gandalf"))["said"] == "No entity has 'Gandalf' in its name."
        assert [e["type"] for e in (await drawn(ner, type="person"))["entities"]] == ["person"]

    async def test_it_can_be_taken_along(self, ner: Desk) -> None:
        """As GraphML, from the page as from the API."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        reply = await ner.http.get("/ui/graph.graphml", params={"type": ""})

        graph = networkx.read_graphml(io.BytesIO(reply.content))
        assert sorted(name for _, name in graph.nodes(data="name")) == sorted(NAMES)


class TestFinding:
    async def test_ways_are_told_fact_by_fact(self, ner: Desk) -> None:
        """By names; against the direction of a fact as well."""
        await read(ner, TEXT, NAMES, WORKS, MAKES)
        page = await seen(ner, "/paths", **{"from": "lubrex", "to": "Mara Quill"})

        assert "From Lubrex 40 to Mara Quill" in page
        assert page.count("&larr;") == 2
        assert "No way of at most 1 fact" in await seen(ner, "/paths", **{"from": "lubrex", "to": "mara", "longest": 1})
        assert "They are the same entity" in await seen(ner, "/paths", **{"from": "tessel", "to": "Tessel"})

    async def test_a_name_of_several_is_asked_about(self, ner: Desk) -> None:
        """Each choice is a link that keeps the other end; a name of nobody is told."""
        await read(ner, "Tessel of Tessel Bay met Mara.", {"Tessel": "organisation", "Tessel Bay": "place"})
        page = await seen(ner, "/paths", **{"from": "ess", "to": "Gandalf"})

        assert "Several entities may be meant" in page
        assert f"from={(await numbers(ner))['Tessel Bay']}&amp;to=Gandalf" in page
        assert "No entity has <q>Gandalf</q> in its name." in page

    async def test_a_pattern_finds_facts(self, ner: Desk) -> None:
        """Empty fields may be anything; the form keeps what was asked."""
        document = await read(ner, TEXT, NAMES, WORKS, MAKES)
        page = await seen(ner, "/query", subject_type="person", predicate="", object="tess", least="", entity="")

        assert ("works for</a>" in page, ">makes</a>" in page) == (True, False)
        assert 'value="tess"' in page
        assert ">makes</a>" in await seen(ner, "/query", document=document, provider="vllm")
        assert "No fact is like that." in await seen(ner, "/query", provider="ollama")


class TestMerges:
    async def test_two_names_are_made_one_and_parted_again(self, ner: Desk) -> None:
        """By buttons that are forms, one for each act."""
        await read(ner, "Mara Quill came. Quill left.", {"Mara Quill": "person", "Quill": "person"})
        [candidate] = (await ner.http.get("/v1/merge-candidates")).json()["candidates"]
        assert REASONS[Reason.PART] in (await seen(ner, "/merges")).replace("&#39;", "'")
        merged = await sent(ner, f"/merges/{candidate['id']}/accept")
        [merge] = (await ner.http.get("/v1/merges")).json()["merges"]

        assert "No two names look as if they were one." in merged
        assert "is another name of" in merged
        undone = await sent(ner, f"/merges/{merge['id']}/undo")
        assert "They are one</button>" in undone
        assert '<span class="chip">undone</span>' in await seen(ner, "/merges/log")

    async def test_a_refusal_is_never_asked_again(self, ner: Desk) -> None:
        await read(ner, "Mara Quill came. Quill left.", {"Mara Quill": "person", "Quill": "person"})
        [candidate] = (await ner.http.get("/v1/merge-candidates")).json()["candidates"]
        page = await sent(ner, f"/merges/{candidate['id']}/reject")

        assert "No two names look as if they were one." in page
        assert "Not found" in await sent(ner, "/merges/999/accept", 404)

    def test_every_reason_is_in_words(self) -> None:
        assert set(REASONS) == set(Reason)


class TestSchemas:
    async def test_one_of_ones_own_is_kept_chosen_and_deleted(self, ner: Desk) -> None:
        """It is offered where a text is read."""
        body = json.dumps({"entity_types": ["ship"], "predicates": [{"name": "sails"}], "max_entities": 9})
        page = await sent(ner, "/schemas", name="fleet", body=body)

        assert "At most 9 names and 5 facts" in page
        assert '<option value="fleet">' in await seen(ner, "/")
        assert "What was read with it stays." in await seen(ner, "/schemas/fleet/delete")
        assert "At most 9 names" not in await sent(ner, "/schemas/fleet/delete")

    @pytest.mark.parametrize(
        ("name", "body", "says"),
        [
            ("fleet", "{", "is not JSON"),
            ("fleet", "[]", "not a JSON object"),
            ("fleet", '{"entity_types": []}', "needs entity types"),
            ("fleet", '{"entity_types": ["a"], "colour": 1}', "colour"),
            ("No Slug", '{"entity_types": ["a"]}', "name"),
        ],
    )
    async def test_what_is_wrong_is_told_beside_what_was_typed(
        self, ner: Desk, name: str, body: str, says: str
    ) -> None:
        page = await sent(ner, "/schemas", 422, name=name, body=body)

        assert "Nothing was kept." in page
        assert says in page.split("Nothing was kept.")[1]
        assert f'value="{name}"' in page

    async def test_a_built_in_one_stays(self, ner: Desk) -> None:
        """Neither changed nor deleted."""
        assert "is built in" in await sent(ner, "/schemas", 409, name="facts", body='{"entity_types": ["a"]}')
        assert "Not found" in await seen(ner, "/schemas/facts/delete", 404)


async def test_a_hostile_name_is_only_text(ner: Desk) -> None:
    """On every page that shows it; the picture gets it as JSON."""
    text = f"{HOSTILE} met Tessel."
    fact = (text, HOSTILE, "met", "Tessel")
    document = await read(ner, text, {HOSTILE: "person", "Tessel": "organisation"}, fact)
    entity = (await numbers(ner))[HOSTILE]
    [relation] = (await ner.http.get("/v1/relations")).json()["relations"]
    paths = [
        "/documents", f"/documents/{document}", f"/documents/{document}/delete", "/entities", f"/entities/{entity}",
        f"/facts/{relation['id']}", "/graph", f"/paths?from={entity}&to=Tessel", "/query", "/merges",
        f"/?document_id={document}",
    ]  # fmt: skip
    pages = {path: await seen(ner, path) for path in paths}
    asked = [await seen(ner, path, q=HOSTILE) for path in ("/entities", "/graph")]
    asked += [await seen(ner, "/paths", **{"from": HOSTILE, "to": HOSTILE}), await seen(ner, "/query", subject=HOSTILE)]
    asked.append(await sent(ner, "/", text=text, schema=HOSTILE, act="look", status=422))

    assert [p for p, page in pages.items() if "<img" in page or "<script>" in page] == []
    assert [p for p, page in pages.items() if "&lt;img" not in page and p != "/merges"] == []
    assert not any("<img" in page or "<script>" in page for page in asked)
    part = await ner.http.get("/ui/graph.json")
    assert part.headers["Content-Type"] == "application/json"
