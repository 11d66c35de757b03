"""Spans as a collector gets them: a real HTTP server takes OTLP from the real exporter. Or it is dead, or unwanted."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from services.llm.build import client_for
from services.llm.client import LLMClient
from services.llm.tracing_otel import Telling
from services.settings import Settings, SettingsError, load
from tests.fakes.engine import FakeEngine, Fault, free_port, serving
from tests.house.sources import ROOT
from tests.unit.llm.collector import Collector
from tests.unit.llm.conftest import ask, read

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{CALLER}-01"


@pytest.fixture
def collector() -> Any:
    with Collector() as found:
        yield found


@pytest.fixture(autouse=True)
def restored() -> Any:
    logger = logging.getLogger("opentelemetry")
    before = logger.level
    yield
    logger.setLevel(before)


@contextlib.asynccontextmanager
async def traced(folder: Path, endpoint: str, **more: str) -> AsyncIterator[tuple[LLMClient, FakeEngine, FakeEngine]]:
    """Notes' own client by its own bootstrap, between two fakes."""
    vllm, ollama = FakeEngine(), FakeEngine()
    async with serving(vllm.app()) as vllm_url, serving(ollama.app()) as ollama_url:
        told = settings(folder, endpoint, vllm_url, ollama_url, **more)
        async with client_for(told, "notes", CollectorRegistry()) as client:
            yield client, vllm, ollama


def settings(folder: Path, endpoint: str, vllm_url: str, ollama_url: str, **more: str) -> Settings:
    values = {"CUTOVER_HOME": str(folder), "VLLM_URL": vllm_url, "OLLAMA_URL": ollama_url, "LLM_PROVIDER": "vllm"}
    return load({**values, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **more})


async def test_a_fallback_is_one_tree_below_its_caller(tmp_path: Path, collector: Collector) -> None:
    """The caller's span, the request below it, both attempts below that; the engine is told its own attempt."""
    async with traced(tmp_path, collector.url) as (client, vllm, _):
        vllm.default = Fault.BROKEN_500
        await client.chat(ask(request_id="r-1", traceparent=SENT))
    root, first, second = collector.spans("chat smollm2-135m", "chat smollm2-135m", "chat smollm2-135m:latest")

    assert {s.trace for s in collector.all} == {TRACE}
    assert (root.parent, first.parent, second.parent) == (CALLER, root.id, root.id)
    assert vllm.headers[0]["traceparent"] == f"00-{TRACE}-{first.id}-01"
    assert vllm.headers[0]["x-request-id"] == root.attributes["cutover.request.id"] == "r-1"
    assert (first.attributes["gen_ai.provider.name"], second.attributes["gen_ai.provider.name"]) == ("vllm", "ollama")
    assert (first.error, first.attributes["error.type"], first.attributes["http.response.status_code"]) == (
        True, "http_5xx", 500,
    )  # fmt: skip
    assert (root.error, second.error, root.attributes["cutover.fallback.reason"]) == (False, False, "http_5xx")
    assert root.start <= first.start <= first.end <= second.start <= second.end <= root.end
    assert collector.resources == {"cutover-notes"}


async def test_a_stream_has_its_first_chunk_its_tokens_and_its_finish(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector.url) as (client, _, _):
        await read(client, ask())
    root, attempt = collector.spans("chat smollm2-135m", "chat smollm2-135m")

    assert root.parent == ""
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert 0 < attempt.attributes["gen_ai.response.time_to_first_chunk"] < 5
    assert attempt.attributes["gen_ai.usage.output_tokens"] == 4
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert "gen_ai.usage.output_tokens" not in root.attributes


async def test_a_reader_who_leaves_is_no_error(tmp_path: Path, collector: Collector) -> None:
    """The span ends when the reader goes, says so, and blames nobody."""
    async with traced(tmp_path, collector.url) as (client, *_), contextlib.aclosing(client.stream(ask())) as events:
        await anext(events)
    root, attempt = collector.spans("chat smollm2-135m", "chat smollm2-135m")

    assert (root.error, attempt.error) == (False, False)
    assert root.attributes["cutover.result"] == attempt.attributes["error.type"] == "cancelled"


async def test_no_word_of_anybody_is_in_a_span(tmp_path: Path, collector: Collector) -> None:
    async with traced(tmp_path, collector.url) as (client, vllm, _):
        vllm.default = Fault.BAD_REQUEST_400
        with contextlib.suppress(Exception):
            await client.chat(ask())
    assert collector.all
    assert b"Be brief" not in collector.raw and b"temperature" not in collector.raw


@pytest.mark.parametrize(
    ("more", "traceparent", "spans"),
    [
        ({"OTEL_TRACES_SAMPLER": "always_off"}, SENT, 0),
        ({}, SENT[:-2] + "00", 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "", 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, SENT, 2),
    ],
)
async def test_sampling_is_as_set(
    more: dict[str, str], traceparent: str, spans: int, tmp_path: Path, collector: Collector
) -> None:
    async with traced(tmp_path, collector.url, **more) as (client, vllm, _):
        await client.chat(ask(traceparent=traceparent))

    assert len(collector.all) == spans
    assert vllm.headers[0]["traceparent"].endswith("01" if spans else "00")


async def test_a_dead_collector_loses_no_request_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests are answered as ever; the log has one line, however many batches fail."""
    dead = f"http://127.0.0.1:{free_port()}"
    async with traced(tmp_path, dead) as (client, _, _):
        for _ in range(3):
            assert (await client.chat(ask())).text
    told = [r.getMessage() for r in caplog.records if "collector" in r.getMessage() or r.name.startswith("opentel")]

    assert len(told) == 1
    assert told[0].startswith("tracing.collector_lost ")


def test_the_log_tells_each_change_of_the_collector_once(caplog: pytest.LogCaptureFixture) -> None:
    """Lost, then back, then lost again: three lines for eight batches."""
    lost, sent = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    outcomes = [sent, lost, lost, lost, sent, sent, lost, lost]
    telling = Telling(Scripted(outcomes), where="http://collector")
    assert [telling.export(()) for _ in outcomes[:]] == [sent, lost, lost, lost, sent, sent, lost, lost]

    told = [record.getMessage().split(" ")[0] for record in caplog.records]
    assert told == ["tracing.collector_lost", "tracing.collector_back", "tracing.collector_lost"]


class Scripted(SpanExporter):
    """Ends each batch as it is told."""

    def __init__(self, outcomes: list[SpanExportResult]) -> None:
        self._outcomes = list(outcomes)

    def export(self, spans: object) -> SpanExportResult:
        return self._outcomes.pop(0)


@pytest.mark.parametrize("module", ["services.llm.build", "services.rag.app"])
def test_off_is_the_default_and_loads_nothing(module: str) -> None:
    """Neither the SDK nor the exporter comes in. FastAPI brings the bare API along, whoever asks for it."""
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "services.llm.tracing_otel")
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith({heavy!r})])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_on_without_the_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.startswith("opentelemetry") or m == "services.llm.tracing_otel"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    told = settings(tmp_path, "http://127.0.0.1:4318", "http://127.0.0.1:1", "http://127.0.0.1:1")

    with pytest.raises(SettingsError, match=r"requirements/otel\.txt"):
        client_for(told, "notes", CollectorRegistry())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_told(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({"OTEL_TRACES_SAMPLER": "traceidratio", name: value})
