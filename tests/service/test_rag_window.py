"""What RAG shows a model fits the smallest window of its chain, so that a fallback is shown all of it as well."""

from __future__ import annotations

import pytest

from services.llm.build import assemble
from services.llm.errors import DeadError
from services.llm.mapping import prompt_bound
from services.llm.types import ChatRequest, Completion, Finish
from services.rag import app as rag_app
from services.settings import Limits, Settings
from tests.service.scripted import ScriptedClient, served
from tests.unit.llm.scripted import Scripted

SMALL, LARGE = 1024, 8192


class Windowed(Scripted):
    """A provider that keeps what it was asked; one without an `answer` is dead."""

    def __init__(self, name: str, *, tokens: int, answer: str = "") -> None:
        super().__init__(name)
        self.tokens = tokens
        self.answer = answer
        self.asked: list[ChatRequest] = []

    def window(self, alias: str) -> int:
        return self.tokens

    async def chat(self, request: ChatRequest) -> Completion:
        self.asked.append(request)
        if not self.answer:
            raise DeadError("refused", provider=self.name)
        return Completion(text=self.answer, finish=Finish.STOP)


@pytest.mark.parametrize(("first", "second"), [(LARGE, SMALL), (SMALL, LARGE)])
async def test_the_smaller_window_decides_whoever_is_asked_first(settings: Settings, first: int, second: int) -> None:
    """The first provider dies, and the second is shown the very same passages, all of which fit it."""
    dead, alive = Windowed("vllm", tokens=first), Windowed("ollama", tokens=second, answer="At 02:40.")
    alias = settings.aliases["rag"]
    client = assemble((dead, alive), service="rag", alias=alias, pin="vllm", limits=Limits(), probe_every_s=60)

    async with served(rag_app.build(settings, client=client), ScriptedClient()) as rag:
        for n in range(20):
            document = {"title": f"Backup {n}", "text": f"Backup {n} words. " * 30}
            await rag.http.post("/v1/documents", json=document)
        asked = {"question": "backup words", "k": 20, "max_tokens": 100}
        response = await rag.http.post("/v1/ask", json=asked)

    assert response.json()["llm"]["provider"] == "ollama"
    [shown] = {request.messages for request in dead.asked + alive.asked}
    assert SMALL // 2 < prompt_bound(shown) + 100 <= SMALL
