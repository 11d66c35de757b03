"""The day's work on the three real services, each answer by a scripted engine: what is counted, and what went wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from services.evaluation.day import Desk, Row, Work, day
from services.evaluation.questions import Kind, Question, Split
from services.evaluation.sections import Section
from services.llm.errors import DeadError, ErrorType
from services.llm.types import Answer, ChatRequest
from services.ner import app as ner_app
from services.notes import app as notes_app
from services.rag import app as rag_app
from services.settings import SERVICES, Settings
from tests.service.scripted import TOKEN, ScriptedClient, answer, served

BUILDS = {"rag": rag_app.build, "notes": notes_app.build, "ner": ner_app.build}
ASKED = next(
    q
    for q in (Question(text=f"When does backup {n} start?", kind=Kind.ASKED, gold=0) for n in range(9))
    if q.split is Split.HELD_OUT
)
LONG = "The backup of Bergen is watched by Ingrid Solheim of Haldorsen, who has the tape library moved to Oslo. " * 4
PASSAGES = [
    Section(page="docs/backup.html", number=0, heading="Backups", text=LONG, identifiers=()),
    Section(page="docs/other.html", number=0, heading="", text="nothing to speak of", identifiers=()),
]
PAGES = [
    ("docs/backup.html", f"<html><body><p>{ASKED.text} At 02:40. {LONG}</p></body></html>".encode()),
    ("docs/empty.html", b"<html><body></body></html>"),
]


class Engines(ScriptedClient):
    """Each arm answers for itself, but for `broken` (service, arm), and those that the other one steps in for."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[tuple[str, str | None]] = set()
        self.absent: set[tuple[str, str | None]] = set()

    async def chat(self, request: ChatRequest) -> Answer:
        asked = (request.service, request.first)
        if asked in self.broken:
            raise DeadError("gone")
        names = '{"entities": [{"text": "Ingrid Solheim", "type": "person"}, {"text": "Atlantis", "type": "place"}]}'
        text = names if request.service == "ner" else "At 02:40 [1]."
        if asked in self.absent:
            return answer(text, provider="ollama", error=DeadError("slow", type=ErrorType.TIMEOUT_FIRST_TOKEN))
        return answer(text, provider=request.first or "vllm")


@pytest.fixture
def engines() -> Engines:
    return Engines()


@pytest.fixture
async def desk(settings: Settings, engines: Engines) -> AsyncIterator[Desk]:
    apps = {service: BUILDS[service](settings, client=engines) for service in SERVICES}
    mounts = {f"http://{service}": httpx2.ASGITransport(app) for service, app in apps.items()}
    async with (
        served(apps["rag"], engines),
        served(apps["notes"], engines),
        served(apps["ner"], engines),
        httpx2.AsyncClient(mounts=mounts, trust_env=False) as http,
    ):
        yield Desk(urls={service: f"http://{service}" for service in SERVICES}, token=TOKEN, http=http)


def work() -> Work:
    return Work(pages=PAGES, passages=PASSAGES, asked=[ASKED], questions=1, notes=1, paragraphs=1)


def rows(found: list[Row]) -> dict[tuple[str, str], Row]:
    return {(row.what, row.arm): row for row in found}


async def test_every_piece_is_asked_of_both_engines_and_its_worth_is_told(desk: Desk) -> None:
    """The page that says nothing is not stored, with its reason; the cited page is the one that answers."""
    found = await day(desk, work(), lambda told: None)
    row = rows(list(found.rows))

    assert (found.ingested.documents, dict(found.ingested.refused)) == (1, {"document-empty": 1})
    assert found.ingested.passages >= 1
    assert set(row) == {(what, arm) for what in ("questions", "summaries", "names") for arm in ("ollama", "vllm")}
    assert all(
        (one.asked, one.answered, dict(one.fallbacks), dict(one.failed)) == (1, 1, {}, {}) for one in row.values()
    )
    for arm in ("ollama", "vllm"):
        assert row["questions", arm].facts == {"answerable": 1.0, "right page cited": 1.0, "quotes verified": 1.0}
        assert row["names", arm].facts["made up"] == 1.0
        assert 0 < row["summaries", arm].facts["shorter to"] < 1
    assert found.problems == ("1 documents were not stored: document-empty",)


async def test_what_fails_or_comes_from_the_other_engine_is_not_the_engines_work(desk: Desk, engines: Engines) -> None:
    """Neither is averaged in, both are told."""
    engines.broken, engines.absent = {("notes", "vllm")}, {("ner", "vllm")}
    found = await day(desk, work(), lambda told: None)
    row = rows(list(found.rows))

    assert dict(row["summaries", "vllm"].failed) == {"urn:cutover:problem:engines-down": 1}
    assert (row["names", "vllm"].answered, dict(row["names", "vllm"].fallbacks)) == (0, {"timeout_first_token": 1})
    assert row["names", "vllm"].facts == {}
    assert row["summaries", "ollama"].answered == row["names", "ollama"].answered == 1
    assert {p for p in found.problems if "documents" not in p} == {
        "summaries by vllm: 1 failed: urn:cutover:problem:engines-down",
        "names by vllm: 1 answered by the other engine: timeout_first_token",
    }
