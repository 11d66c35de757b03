"""`cutover eval ner`: what each reader is worth on gold, and what is told of one that is not there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from services import cli_eval_names
from services.evaluation import app
from services.evaluation.names import Asker, Line, of_engines, of_spacy
from services.llm.errors import DeadError
from services.llm.types import Answer, ChatRequest
from services.migration import workload
from services.ner.grounding import Mention
from services.rag.metrics import Estimate
from services.settings import Pin, Settings
from tests.service.scripted import ScriptedClient, answer

GOLD = workload.load(Path(__file__).parents[2] / "bench" / "workloads" / "ner.toml", service="ner")
BY_TEXT = {str(item.body["text"]): item.gold for item in GOLD.items}


class Readers(ScriptedClient):
    """Engines that know the gold, but for `gone` ones, and those that answer the `broken` texts with nothing."""

    def __init__(self, *, gone: str = "", broken: slice = slice(0)) -> None:
        super().__init__()
        self.gone, self.broken = gone, list(BY_TEXT)[broken]
        self.relations_asked = 0

    async def chat(self, request: ChatRequest) -> Answer:
        """A lone fallback answers for the one that is gone, as the real client does."""
        text, first = request.messages[-1].content, request.first or ""
        assert isinstance(text, str)
        if text in self.broken:
            raise DeadError("cut")
        gold, wants = BY_TEXT[text], "relations" in request.schema["properties"]  # type: ignore[index]
        self.relations_asked += wants
        entities = [{"text": e["text"], "type": e["type"]} for e in gold["entities"]]
        relations = [{"quote": " ".join(text.split())[:240], **r} for r in gold["relations"]] if wants else []
        told = json.dumps({"entities": entities, "relations": relations})
        return answer(told, provider="vllm" if first == self.gone else first)


async def lines(client: Readers) -> dict[str, Line]:
    told: list[str] = []
    found = await of_engines(Asker(client=client, alias="smollm2"), GOLD, told.append)
    assert any(said.endswith("names 60/60") for said in told)
    return {line.reader: line for line in found}


async def test_engines_that_know_the_gold_score_all_of_what_can_be_scored() -> None:
    """Names inside longer ones keep NER itself from 1 (docs/QUALITY.md)."""
    client = Readers()
    found = await lines(client)
    for line in found.values():
        assert line.span_f1 is not None and 0.95 < line.span_f1.value < 1.0
        assert line.relation_f1 == Estimate(value=1.0, low=1.0, high=1.0)
        assert (line.texts, line.failed, line.absent) == (60, 0, "")
    assert client.relations_asked == 2 * sum("relations" in gold for gold in BY_TEXT.values())


async def test_what_another_engine_had_to_answer_is_not_its_own() -> None:
    found = await lines(Readers(gone="ollama"))
    assert found["ollama"].absent == "ollama did not answer; `cutover up` starts it, `cutover status` shows it"
    assert found["ollama"].span_f1 is None
    assert found["vllm"].span_f1 is not None


async def test_a_text_without_an_answer_scores_nothing_and_is_counted() -> None:
    whole, cut = await lines(Readers()), await lines(Readers(broken=slice(1, 7)))
    for reader, line in cut.items():
        before = whole[reader].span_f1
        assert line.failed > 6, "some of these texts have gold relations too"
        assert line.span_f1 is not None and before is not None
        assert line.span_f1.value == pytest.approx(before.value - 6 / 60, abs=0.02)


async def test_one_text_that_fails_is_no_engine_that_is_not_there() -> None:
    """Even where it is the first one."""
    for line in (await lines(Readers(broken=slice(1)))).values():
        assert (line.absent, line.failed > 0) == ("", True)


async def test_the_time_is_that_of_its_own_answers() -> None:
    """What it gave no answer to says nothing about how fast it answers."""

    class Fading(Readers):
        async def chat(self, request: ChatRequest) -> Answer:
            """Each engine answers once."""
            if [r.first for r in self.requests].count(request.first):
                raise DeadError("gone")
            self.requests.append(request)
            return await super().chat(request)

    found = await lines(Fading())
    rows = [cli_eval_names._row(line) for line in found.values()]

    assert [(line.absent, line.median_s) for line in found.values()] == [("", None)] * 2
    assert [row[-1] for row in rows] == ["", ""]


async def test_an_engine_that_ner_is_pinned_to_does_not_answer_for_both(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins: list[Pin] = []

    @asynccontextmanager
    async def client_for(settings: Settings, service: str, registry: object) -> AsyncIterator[Readers]:
        pins.append(settings.pins[service])
        yield Readers()

    monkeypatch.setattr(app, "client_for", client_for)
    pinned = replace(settings, pins={**settings.pins, "ner": Pin.OLLAMA})
    await app.names_by_engines(pinned, GOLD, lambda said: None)

    assert pins == [Pin.AUTO]


def test_spacy_is_scored_by_place_and_type() -> None:
    """One that sees every name and takes all for people."""

    def names(text: str) -> tuple[Mention, ...]:
        return tuple(
            Mention(text=e["text"], type="person", start=e["start"], end=e["end"]) for e in BY_TEXT[text]["entities"]
        )

    line = of_spacy(names, GOLD)
    assert line.span_f1 is not None
    assert 0.2 < line.span_f1.value < 0.5
    assert (line.relation_f1, line.texts) == (None, 60)


def test_who_is_absent_has_a_row_and_its_command_below(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    here = Line(reader="vllm", span_f1=Estimate(value=0.25, low=0.2, high=0.3), texts=60, median_s=1.5)
    there = Line(reader="spacy", absent="spaCy is not installed here; `install it`")
    console = Console(width=80)
    for part in cli_eval_names._shown([there, here], GOLD):
        console.print(part)
    said = capsys.readouterr().out
    assert "spacy    not here, see below" in said
    assert "0.250 (0.200 .. 0.300)" in said
    assert "spacy: spaCy is not installed here; `install it`" in said
