"""The three services in process, each on its own SQLite file and a scripted model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.ner import app as ner_app
from services.notes import app as notes_app
from services.rag import app as rag_app
from services.settings import Settings, load
from tests.service.scripted import TOKEN, Desk, ScriptedClient, first_places, seeing_names, served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"CUTOVER_HOME": str(tmp_path), "ADMIN_TOKEN": TOKEN, "LLM_DEADLINE_S": "60"})


@pytest.fixture
def llm() -> ScriptedClient:
    return ScriptedClient()


@pytest.fixture
async def rag(settings: Settings, llm: ScriptedClient) -> AsyncIterator[Desk]:
    async with served(rag_app.build(settings, client=llm), llm) as desk:
        yield desk


@pytest.fixture
async def notes(settings: Settings, llm: ScriptedClient) -> AsyncIterator[Desk]:
    async with served(notes_app.build(settings, client=llm), llm) as desk:
        yield desk


@pytest.fixture
async def ner(settings: Settings, llm: ScriptedClient) -> AsyncIterator[Desk]:
    async with served(ner_app.build(settings, client=llm), llm) as desk:
        yield desk


@pytest.fixture
async def seeing(settings: Settings, llm: ScriptedClient) -> AsyncIterator[Desk]:
    """NER beside which somebody else sees three names."""
    find = first_places(("Mara Quill", "person"), ("Tessel", "organisation"), ("Brenn", "place"))
    async with served(ner_app.build(settings, client=llm, names=seeing_names(find)), llm) as desk:
        yield desk


@pytest.fixture(params=["rag", "notes", "ner"])
def desk(request: pytest.FixtureRequest) -> Desk:
    """Each of the three in turn, for what they answer alike."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Desk)
    return found
