"""Exemplars: which request a count came from, for who asks for OpenMetrics; and the same edges as vLLM's own."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.llm.measures import TPOT_BUCKETS, TTFC_BUCKETS
from services.llm.metrics import Metrics
from services.web.workers import page
from tests.recorded.pages import edges
from tests.unit.llm.conftest import MakeRig, ask, read

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


async def test_each_count_leads_to_a_request(make_rig: MakeRig) -> None:
    """From a slow bucket to the line in the log."""
    async with make_rig() as rig:
        await read(rig.client, ask(request_id="find-me"))
    text, content_type = page(rig.registry, None, OPENMETRICS)
    named = {line.split(b"{")[0] for line in text.splitlines() if b'# {request_id="find-me"}' in line}

    assert content_type.startswith("application/openmetrics-text")
    assert named >= {
        b"llm_requests_total",
        b"llm_request_duration_seconds_bucket",
        b"llm_time_to_first_chunk_seconds_bucket",
        b"llm_attempt_duration_seconds_bucket",
    }


@pytest.mark.parametrize(
    ("accept", "request_id"), [("text/plain", "find-me"), ("", "find-me"), (OPENMETRICS, "x" * 99)]
)
async def test_elsewhere_there_is_none(make_rig: MakeRig, accept: str, request_id: str) -> None:
    """Prometheus' older text has no place for one, and an id that is too long would break the page."""
    async with make_rig() as rig:
        await read(rig.client, ask(request_id=request_id))
    text, _ = page(rig.registry, None, accept)

    assert b"llm_requests_total" in text
    assert request_id.encode() not in text


def test_fallbacks_are_at_zero_before_the_first() -> None:
    """A share of fallbacks is zero then, not absent."""
    registry = CollectorRegistry()
    Metrics(registry, service="rag", providers=["vllm", "ollama"], models=["m"])
    labels = {"service": "rag", "from": "vllm", "to": "ollama", "reason": "connect", "attempt": "first"}

    assert registry.get_sample_value("llm_fallbacks_total", labels) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(TTFC_BUCKETS, "vllm:time_to_first_token_seconds"), (TPOT_BUCKETS, "vllm:inter_token_latency_seconds")],
    ids=["first token", "each token"],
)
def test_our_edges_are_those_of_vllm(ours: tuple[float, ...], theirs: str) -> None:
    """Client and engine share a panel, bucket by bucket; below vLLM's first edge we may look closer."""
    recorded = edges("vllm", theirs)

    assert recorded
    assert [edge for edge in ours if edge >= recorded[0]] == recorded
