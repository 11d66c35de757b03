"""What is told of each request: metrics from closed label sets, one log line without prompts."""

from __future__ import annotations

import json

from prometheus_client import CollectorRegistry, generate_latest

from services.llm.breaker import State
from services.llm.errors import ErrorType
from services.llm.hooks import log_line
from services.llm.measures import METRICS
from services.llm.metrics import Metrics
from services.llm.types import Message, Role
from tests.fakes.engine import Fault
from tests.unit.llm.conftest import MakeRig, ask, read


def test_zeros_exist_before_the_first_request() -> None:
    """A ratio over errors has a value before the first error."""
    registry = CollectorRegistry()
    Metrics(registry, service="rag", providers=["vllm", "ollama"], models=["m"])
    labels = {"service": "rag", "provider": "vllm", "attempt": "first"}

    for error in ErrorType:
        assert registry.get_sample_value("llm_attempts_total", {**labels, "error_type": str(error)}) == 0
    assert registry.get_sample_value("llm_breaker_open", {"service": "rag", "provider": "vllm"}) == 0


def test_every_definition_is_exposed() -> None:
    """What is documented is what Prometheus gets."""
    registry = CollectorRegistry()
    Metrics(registry, service="rag", providers=["vllm"], models=["m"])
    page = generate_latest(registry).decode()

    assert [d.name for d in METRICS if f"# HELP {d.name} " not in page] == []


async def test_stream_times_are_observed(make_rig: MakeRig) -> None:
    """The first token of a stream is timed for the request and for the attempt that gave it."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.CUT_FIRST
        await read(rig.client, ask())
        count = rig.registry.get_sample_value

        served = {"service": "notes", "provider": "ollama"}
        assert count("llm_time_to_first_chunk_seconds_count", served) == 1
        assert count("llm_attempt_time_to_first_chunk_seconds_count", {**served, "attempt": "fallback"}) == 1
        assert count("llm_tokens_total", {**served, "model": "smollm2-135m", "type": "output"}) == 3


async def test_measuring_requests_are_counted_apart(make_rig: MakeRig) -> None:
    """What the gate asks is no user's traffic: no `first` try, no fallback of one, no time of one."""
    async with make_rig(pin="auto") as rig:
        rig.vllm.default = Fault.CUT_FIRST
        await read(rig.client, ask(first="vllm"))
        count = rig.registry.get_sample_value
        of = {"service": "notes", "attempt": "measured"}
        labels = {"service": "notes", "provider": "ollama", "error_type": "none"}
        moved = {"service": "notes", "from": "vllm", "to": "ollama", "reason": "cut"}

        assert count("llm_attempts_total", {**of, "provider": "vllm", "error_type": "cut"}) == 1
        for metric, found in (
            ("llm_attempts_total", labels),
            ("llm_fallbacks_total", moved),
            ("llm_attempt_duration_seconds_count", {"service": "notes", "provider": "ollama"}),
            ("llm_attempt_time_to_first_chunk_seconds_count", {"service": "notes", "provider": "ollama"}),
        ):
            assert count(metric, {**found, "attempt": "measured"}) == 1
            assert count(metric, {**found, "attempt": "first"}) == 0


async def test_log_line_tells_the_attempts_and_no_prompt(make_rig: MakeRig) -> None:
    """One JSON line per request with its attempts; never what was asked or answered."""
    async with make_rig() as rig:
        rig.vllm.default = Fault.BUSY_503
        await rig.client.chat(ask(messages=(Message(role=Role.USER, content="my secret"),), request_id="r-7"))
    line = log_line(rig.events[0])
    event = json.loads(line)

    assert event["request_id"] == "r-7"
    assert [(a["provider"], a["error"]) for a in event["attempts"]] == [("vllm", "http_5xx"), ("ollama", None)]
    assert event["fallback_reason"] == "http_5xx"
    assert "secret" not in line
    assert "Ollama" not in line


def test_a_provider_with_two_models_shows_open_while_any_breaker_is() -> None:
    """One breaker per model, one gauge: the embedding model's recovery must not hide the chat model's illness."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, service="rag", providers=["vllm"], models=["a", "b"])
    shown = []
    for state in (State.OPEN, State.OPEN, State.CLOSED, State.CLOSED):
        metrics.breaker_changed("vllm", state)
        shown.append(registry.get_sample_value("llm_breaker_open", {"service": "rag", "provider": "vllm"}))

    assert shown == [1, 1, 1, 0]
