"""What Notes shows a model of its notes fits the smallest window of its chain, whoever is asked first."""

from __future__ import annotations

import pytest

from services.llm.build import assemble
from services.llm.mapping import prompt_bound
from services.notes import app as notes_app
from services.settings import Limits, Settings
from tests.service.scripted import ScriptedClient, served
from tests.service.test_rag_window import LARGE, SMALL, Windowed


@pytest.mark.parametrize(("first", "second"), [(LARGE, SMALL), (SMALL, LARGE)])
async def test_a_fallback_is_shown_all_of_it_as_well(settings: Settings, first: int, second: int) -> None:
    """The first provider dies, and the second is shown the very same passages, all of which fit it."""
    dead, alive = Windowed("vllm", tokens=first), Windowed("ollama", tokens=second, answer="At 02:40.")
    alias = settings.aliases["notes"]
    client = assemble((dead, alive), service="notes", alias=alias, pin="vllm", limits=Limits(), probe_every_s=60)

    async with served(notes_app.build(settings, client=client), ScriptedClient()) as notes:
        for n in range(8):
            await notes.http.post("/v1/notes", json={"title": f"Backup {n}", "text": f"Backup {n} words. " * 20})
        response = await notes.http.post("/v1/ask", json={"question": "backup words", "k": 20, "max_tokens": 100})

    assert response.json()["llm"]["provider"] == "ollama"
    [shown] = {request.messages for request in dead.asked + alive.asked}
    assert SMALL // 2 < prompt_bound(shown) + 100 <= SMALL
