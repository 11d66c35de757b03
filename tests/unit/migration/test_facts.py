"""What the counters of a service say about each engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.llm.metrics import Metrics
from services.migration import evidence, facts, gates
from services.migration.facts import Counters, Watch

POLICY = gates.load().policy


def watch(*readings: Counters) -> Watch:
    found = facts.begin({})
    for reading in readings:
        found = found.advanced(reading, POLICY)
    return found


def test_a_fallback_answer_is_an_error_of_the_one_who_should_have_answered() -> None:
    """vLLM was tried twice and passed over three times; Ollama's answers for it are no requests of Ollama's arm."""
    now = {
        "first/vllm/none": 1, "first/vllm/cut": 1, "passed/vllm/breaker_open": 3, "later/ollama/none": 4,
        "first/ollama/none": 10,
    }  # fmt: skip
    found = watch(now)
    assert (found.candidate.requests, found.candidate.errors) == (5, 4)
    assert (found.control.requests, found.control.errors) == (10, 0)
    assert found.evidence.processes["errors"].candidate == evidence.Seen(n=5, bad=4)


def test_a_row_ends_with_any_answer_also_one_given_for_the_other() -> None:
    found = watch({"passed/vllm/breaker_open": 4}, {"passed/vllm/breaker_open": 6})
    assert found.candidate.in_a_row == 6
    found = found.advanced({"passed/vllm/breaker_open": 8, "later/vllm/none": 1}, POLICY)
    assert found.candidate.in_a_row == 0


@pytest.mark.parametrize("error", ["http_4xx", "context_length", "cancelled"])
def test_what_callers_do_wrong_is_neither_good_nor_bad(error: str) -> None:
    assert watch({f"first/vllm/{error}": 9}).candidate.requests == 0


def took(engine: str, *seconds: float) -> dict[str, float]:
    """The counters of answers that took so long, as a metrics page shows them."""
    counts = {edge: float(sum(s <= edge for s in seconds)) for edge in facts.EDGES["slow"]}
    return {f"slow/{engine}/{edge}": n for edge, n in counts.items() if n}


def test_slow_is_judged_by_what_ollama_took_before_the_reading() -> None:
    """The first reading only teaches how long Ollama takes; the second is judged by it."""
    quick, late = took("ollama", *[0.6] * 40), took("vllm", *[0.7] * 5, *[1.9] * 25)
    found = watch(quick, {**quick, **late})
    slow = found.evidence.processes["slow"]
    assert (slow.candidate, slow.control) == (evidence.Seen(n=30, bad=25), evidence.Seen())
    assert watch({**quick, **late}).evidence.processes["slow"].candidate == evidence.Seen()


def test_an_engine_that_takes_three_times_as_long_is_slow_wherever_it_stands_between_edges() -> None:
    """The edges are near enough to each other, whatever the control takes."""
    for base in (0.05, 0.1, 0.13, 0.19, 0.29, 0.3, 0.45, 0.7, 1.1, 3.0, 20.0):
        quick = took("ollama", *(base * (1 + i / 200) for i in range(40)))
        found = watch(quick, {**quick, **took("vllm", *[3 * base] * 30)}).evidence.processes["slow"]
        assert found.candidate == evidence.Seen(n=30, bad=30), base


def test_one_counter_that_fell_means_that_all_began_anew() -> None:
    before = {"first/vllm/none": 50.0, "first/ollama/none": 10.0}
    assert facts.since(before, {"first/vllm/none": 60.0}) == {"first/vllm/none": 60.0}
    assert facts.since(before, {**before, "first/vllm/none": 51.0}) == {"first/vllm/none": 1.0, "first/ollama/none": 0}


def test_the_clients_own_page_is_understood() -> None:
    """The names, labels and bucket edges are those of `services/llm/measures.py`.

    Last resorts are left out, and what the gate asked.
    """
    registry = CollectorRegistry()
    Metrics(registry, service="notes", providers=("vllm", "ollama", "anthropic"), models=("chat",))
    for name, labels in (
        ("llm_attempts", ("vllm", "first", "none")),
        ("llm_attempts", ("vllm", "measured", "none")),
        ("llm_attempts", ("anthropic", "first", "none")),
        ("llm_fallbacks", ("vllm", "ollama", "breaker_open", "first")),
        ("llm_fallbacks", ("vllm", "ollama", "breaker_open", "measured")),
        ("llm_fallbacks", ("vllm", "ollama", "capability", "first")),
    ):
        registry._names_to_collectors[name].labels("notes", *labels).inc()  # type: ignore[attr-defined]
    histogram = registry._names_to_collectors["llm_attempt_duration_seconds"]
    histogram.labels("notes", "vllm", "first").observe(1.0)  # type: ignore[attr-defined]
    histogram.labels("notes", "vllm", "measured").observe(0.5)  # type: ignore[attr-defined]
    found = facts.parse(generate_latest(registry).decode(), service="notes")
    assert {k: v for k, v in found.items() if not k.startswith("slow/")} == {
        "first/vllm/none": 1.0,
        "passed/vllm/breaker_open": 1.0,
    }
    times = facts._buckets(found, "slow", "vllm")
    assert set(times) == set(facts.EDGES["slow"])
    assert (times[0.64], times[1.28]) == (0.0, 1.0)
    assert facts.parse(generate_latest(registry).decode(), service="rag") == {}


def test_a_watch_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = watch({"first/vllm/none": 9, "first/vllm/cut": 3, "first/ollama/none": 50, "slow/ollama/inf": 9.0})
    facts.keep(tmp_path, "notes", found, seq=7)
    assert facts.kept(tmp_path, "notes") == facts.Kept(seq=7, watch=found)
    assert facts.kept(tmp_path, "rag") is None


def test_a_new_step_keeps_what_is_slow_and_nothing_else() -> None:
    found = watch({"first/vllm/cut": 3, "first/ollama/none": 50, "slow/ollama/inf": 9.0})
    begun = facts.begin({"first/vllm/cut": 3}, after=found)
    assert begun == Watch(last={"first/vllm/cut": 3}, control_times={"slow/ollama/inf": 9.0})


@pytest.mark.parametrize("text", ["", "{}", '{"seq": 7, "watch": {"last": {}}, "alternatives": [2.0]}'])
def test_a_watch_of_nonsense_or_of_another_program_is_not_used(tmp_path: Path, text: str) -> None:
    facts.keep(tmp_path, "notes", watch({}), seq=7)
    (tmp_path / "canary" / "notes.json").write_text(text)
    assert facts.kept(tmp_path, "notes") is None
