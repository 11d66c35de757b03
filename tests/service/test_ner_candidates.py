"""Names that spaCy saw and the model did not: listed beside the entities, and never stored."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ner import app as ner_app
from services.ner.grounding import Mention
from services.ner.shape import DEFAULT, Shape
from services.ner.spacy_names import MODEL, unseen
from services.settings import Settings, SettingsError, load
from tests.service.scripted import TOKEN, Desk, ScriptedClient, served
from tests.service.test_ner import entities, named
from tests.service.test_ner_rerun import ended

TEXT = "Mara Quill met Tessel in Brenn."
MARA, TESSEL, BRENN = (
    Mention(text=text, type=kind, start=TEXT.index(text), end=TEXT.index(text) + len(text))
    for text, kind in (("Mara Quill", "person"), ("Tessel", "organisation"), ("Brenn", "place"))
)


@pytest.fixture
async def seeing(settings: Settings) -> AsyncIterator[Desk]:
    """NER beside which somebody sees all three names."""
    llm = ScriptedClient()
    app = ner_app.build(settings, client=llm, names=lambda text: (MARA, TESSEL, BRENN))
    async with served(app, llm) as desk:
        yield desk


async def test_a_rerun_looks_for_no_candidates(settings: Settings) -> None:
    """Nobody would see them, and whoever waits for an answer waits for spaCy."""
    seen: list[str] = []

    def names(text: str) -> tuple[Mention, ...]:
        seen.append(text)
        return ()

    llm = ScriptedClient()
    llm.answers = [named(("Mara Quill", "person"))]
    async with served(ner_app.build(settings, client=llm, names=names), llm) as desk:
        await desk.http.post("/v1/documents", json={"text": TEXT})
        await desk.http.post("/v1/rerun", json={"where": "provider=vllm"})
        assert [job["state"] for job in await ended(desk)] == ["done"]

    assert seen == [TEXT]


async def test_what_the_model_did_not_see_is_listed_and_not_stored(seeing: Desk) -> None:
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


def test_a_candidate_that_touches_a_mention_is_none() -> None:
    """The model saw something there, if with another type or other ends."""
    quill = Mention(text="Quill met", type="other", start=5, end=14)
    assert unseen((MARA, TESSEL), (quill,), DEFAULT) == (TESSEL,)
    assert unseen((MARA, TESSEL), (), DEFAULT) == (MARA, TESSEL)


def test_a_type_that_was_not_looked_for_is_left_out() -> None:
    places = Shape(name="places", entity_types=("place",))
    assert unseen((MARA, TESSEL, BRENN), (), places) == (BRENN,)
    assert unseen((MARA, TESSEL), (), Shape(name="any", entity_types=("ship",), is_open=True)) == (MARA, TESSEL)


def test_a_service_that_cannot_give_candidates_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODEL, None)
    promised = load({"CUTOVER_HOME": str(tmp_path), "ADMIN_TOKEN": TOKEN, "NER_CANDIDATES": "spacy"})
    with pytest.raises(SettingsError, match=r"NER_CANDIDATES=spacy: spaCy is not installed here; `python -m pip"):
        ner_app.build(promised, client=ScriptedClient())


def test_another_source_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="NER_CANDIDATES='nltk' must be spacy, or empty for none"):
        load({"NER_CANDIDATES": "nltk"})
