"""A model of one's own is everywhere: in the services, the doctor, the engines that `cutover up` starts."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from services import settings as settings_room
from services.migration.doctor_wire import Overrides, wire
from services.migration.engines import engines
from services.ner import app as ner
from services.notes import app as notes
from services.rag import app as rag
from services.settings import Settings
from services.stack.engines import local_model

ENTRY = '[mine]\nwhy = "of one\'s own"\ncontext = 512\nvllm = "mine"\nollama = "mine:latest"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """All services on a model that only the user's own registry has."""
    (tmp_path / "models.toml").write_text(ENTRY)
    return settings_room.load({"CUTOVER_HOME": str(tmp_path), "LLM_MODEL": "mine"})


@pytest.mark.parametrize("service", [rag, notes, ner])
def test_a_service_starts_with_it(service: object, settings: Settings) -> None:
    assert service.build(settings)  # type: ignore[attr-defined]


async def test_the_gate_and_the_doctor_ask_for_it_by_its_names(settings: Settings) -> None:
    async with httpx2.AsyncClient() as http:
        assert engines(settings, "notes", http)
        assert wire(settings, "notes", http, Overrides()).model.names == {"vllm": "mine", "ollama": "mine:latest"}


def test_the_stack_would_serve_it(settings: Settings) -> None:
    """Having no source it cannot be fetched, which is said later and of its own."""
    assert local_model(settings).alias == "mine"
