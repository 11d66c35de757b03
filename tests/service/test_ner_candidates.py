"""Names that spaCy saw and the model did not: listed beside the entities, and entities once a person says so."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from services.ner import app as ner_app
from services.ner.grounding import Mention
from services.ner.spacy_names import MODEL
from services.settings import Settings, SettingsError, load
from tests.service.scripted import TOKEN, Desk, ScriptedClient, seeing_names, served
from tests.service.test_ner import entities, named
from tests.service.test_ner_rerun import ended

TEXT = "Mara Quill met Tessel in Brenn."


async def test_a_rerun_looks_for_no_candidates(settings: Settings) -> None:
    """The text is the same, so those of the first reading stay; whoever waits for an answer waits for spaCy."""
    seen: list[str] = []

    def names(text: str) -> tuple[Mention, ...]:
        seen.append(text)
        return ()

    llm = ScriptedClient()
    llm.answers = [named(("Mara Quill", "person"))]
    async with served(ner_app.build(settings, client=llm, names=seeing_names(names)), llm) as desk:
        await desk.http.post("/v1/documents", json={"text": TEXT})
        await desk.http.post("/v1/rerun", json={"where": "provider=vllm"})
        assert [job["state"] for job in await ended(desk)] == ["done"]

    assert seen == [TEXT]


async def test_what_the_model_did_not_see_is_listed_and_no_entity(seeing: Desk) -> None:
    seeing.llm.answers = [named(("Mara Quill", "person"))]
    told = (await seeing.http.post("/v1/documents", json={"text": TEXT})).json()
    assert [e["text"] for e in told["entities"]] == ["Mara Quill"]
    assert told["candidates"] == [
        {"text": "Tessel", "type": "organisation", "start": 15, "end": 21},
        {"text": "Brenn", "type": "place", "start": 25, "end": 30},
    ]
    assert await entities(seeing) == [("Mara Quill", "person", 1)]
    stored = (await seeing.http.get(f"/v1/documents/{told['id']}")).json()
    assert [e["text"] for e in stored["entities"]] == ["Mara Quill"]


async def test_without_the_setting_there_are_none(ner: Desk) -> None:
    ner.llm.answers = [named(("Mara Quill", "person"))]
    told = (await ner.http.post("/v1/extract", json={"text": TEXT})).json()
    assert told["candidates"] == []


async def known(desk: Desk, text: str = TEXT) -> tuple[str, dict[str, int]]:
    """The id of a document of which the model found nothing, and the numbers of its open candidates by name."""
    desk.llm.answers = [named()]
    document = str((await desk.http.post("/v1/documents", json={"text": text})).json()["id"])
    listed = (await desk.http.get(f"/v1/documents/{document}/candidates", params={"state": "open"})).json()
    return document, {c["text"]: c["id"] for c in listed["candidates"]}


async def judge(desk: Desk, document: str, number: int, act: str) -> tuple[int, dict[str, Any]]:
    reply = await desk.http.post(f"/v1/documents/{document}/candidates/{number}:{act}")
    return reply.status_code, reply.json()


async def test_an_accepted_one_is_an_entity_that_says_who(seeing: Desk) -> None:
    """By whom it was seen, with model and version, and who accepted it: nobody's name where there are no keys."""
    document, numbers = await known(seeing)
    status, told = await judge(seeing, document, numbers["Tessel"], "accept")
    stored = (await seeing.http.get(f"/v1/documents/{document}")).json()
    [mention] = stored["entities"]

    assert (status, told["state"], told["judged_by"], told["places"]) == (
        200,
        "accepted",
        "anonymous",
        [{"start": 15, "end": 21}],
    )
    assert (mention["text"], mention["start"], mention["end"]) == ("Tessel", 15, 21)
    made = {k: mention["producer"][k] for k in ("provider", "model", "digest", "prompt_version", "accepted_by")}
    assert made == {
        "provider": "spacy",
        "model": "small",
        "digest": "version:1.2.3",
        "prompt_version": "spacy-9.9",
        "accepted_by": "anonymous",
    }
    assert (await seeing.http.get(f"/v1/entities/{told['entity']}")).json()["name"] == "Tessel"
    assert stored["producer"]["provider"] == "vllm"


async def test_a_rejected_one_is_not_seen_in_that_text_again(seeing: Desk) -> None:
    """Neither where it is only looked at, nor where it is read anew; undone, it is."""
    document, numbers = await known(seeing)
    await judge(seeing, document, numbers["Brenn"], "reject")
    seen = []
    known_text: tuple[tuple[str, dict[str, str]], ...] = (
        ("extract", {"text": TEXT}),
        ("extract", {"document_id": document}),
        ("documents", {"text": TEXT}),
    )
    for path, body in known_text:
        told = (await seeing.http.post(f"/v1/{path}", json=body)).json()
        seen.append([c["text"] for c in told["candidates"]])
    status, told = await judge(seeing, document, numbers["Brenn"], "undo")

    assert seen == 3 * [["Mara Quill", "Tessel"]]
    assert (status, told["state"], told["judged_by"]) == (200, "open", "")
    assert (await known(seeing))[1] == numbers


async def test_a_refusal_is_told(seeing: Desk) -> None:
    """404 for what is not there, 409 for what stands against it, 422 for no state."""
    document, numbers = await known(seeing)
    await judge(seeing, document, numbers["Brenn"], "reject")
    status, told = await judge(seeing, document, numbers["Brenn"], "accept")
    missing = [await judge(seeing, document, 999, "accept"), await judge(seeing, "none", numbers["Tessel"], "reject")]
    listed = [
        (await seeing.http.get(f"/v1/documents/{name}/candidates", params=params)).status_code
        for name, params in (("none", None), (document, {"state": "maybe"}))
    ]

    assert (status, told["type"]) == (409, "urn:cutover:problem:rejected")
    assert ([code for code, _ in missing], listed) == ([404, 404], [404, 422])


async def test_a_rerun_keeps_what_was_said(seeing: Desk) -> None:
    """By another engine as well, which looks for no candidates."""
    document, numbers = await known(seeing)
    await judge(seeing, document, numbers["Tessel"], "accept")
    await judge(seeing, document, numbers["Brenn"], "reject")
    await seeing.http.post("/v1/rerun", json={"where": "provider=vllm"})
    assert [job["state"] for job in await ended(seeing)] == ["done"]
    listed = (await seeing.http.get(f"/v1/documents/{document}/candidates")).json()["candidates"]

    assert await entities(seeing) == [("Tessel", "organisation", 1)]
    assert [(c["text"], c["state"]) for c in listed] == [
        ("Mara Quill", "open"),
        ("Tessel", "accepted"),
        ("Brenn", "rejected"),
    ]


def test_a_service_that_cannot_give_candidates_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODEL, None)
    promised = load({"CUTOVER_HOME": str(tmp_path), "ADMIN_TOKEN": TOKEN, "NER_CANDIDATES": "spacy"})
    with pytest.raises(SettingsError, match=r"NER_CANDIDATES=spacy: spaCy is not installed here; `python -m pip"):
        ner_app.build(promised, client=ScriptedClient())


def test_another_source_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="NER_CANDIDATES='nltk' must be spacy, or empty for none"):
        load({"NER_CANDIDATES": "nltk"})
