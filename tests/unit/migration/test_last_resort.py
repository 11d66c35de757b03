"""A migration neither credits nor blames an engine for what a last resort answered."""

from __future__ import annotations

import pytest

from services.migration import gates
from services.migration.facts import begin, parse
from services.migration.records import Record, Side

POLICY = gates.load().policy


def test_attempts_outside_count_for_neither_engine() -> None:
    """They have names of their own; whatever they do, the step has the evidence that the two engines gave it."""
    page = "# TYPE llm_attempts counter\n"
    row = 'llm_attempts_total{{service="notes",provider="{}",attempt="first",error_type="{}"}} {}\n'
    quiet = parse(page + row.format("vllm", "none", 0), service="notes")
    engines = row.format("vllm", "none", 40) + row.format("vllm", "http_5xx", 2) + row.format("ollama", "none", 50)
    far = "".join(
        row.format(name, error, 1000).replace("first", attempt)
        for attempt in ("first", "fallback")
        for name in ("remote", "anthropic")
        for error in ("none", "http_5xx", "budget")
    )

    without = begin(quiet).advanced(parse(page + engines, service="notes"), POLICY)
    beside = begin(quiet).advanced(parse(page + engines + far, service="notes"), POLICY)

    assert (beside.candidate, beside.control) == (without.candidate, without.control)
    assert (beside.candidate.requests, beside.candidate.errors) == (42, 2)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("provider", ["remote", "anthropic"])
def test_an_answer_from_outside_is_no_arms_answer(side: Side, provider: str) -> None:
    """In a gate it is a fallback, of either arm."""
    record = Record(
        round=1, side=side, position=0, item="a", scheduled_s=0.0, sent_s=0.0, end_s=1.0, served_by=provider
    )

    assert (record.answered, record.fell_back) == (False, True)
