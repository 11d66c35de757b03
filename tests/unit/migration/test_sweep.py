"""What a sweep says of engines whose truth is known: rates, waits, knees, and from when vLLM pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.migration import sweep, sweep_words
from services.migration.errors import GateError
from tests.unit.migration import sweeps
from tests.unit.migration.sweeps import Rule, serial

BATCHES = {1: 1.2, 2: 1.3, 4: 1.5, 8: 4.0, 16: 9.0}
"""Seconds of an answer of an engine that batches well up to four."""


def crossing(name: str, users: int) -> float:
    """Alone Ollama is faster; with more users it queues and vLLM batches."""
    return BATCHES[users] if name == "vllm" else serial(1.0, int(name.rpartition("-")[2]))(users)


def test_rates_are_what_came_back_over_the_time_that_it_took() -> None:
    """Eight users, two waves of an answer each of 4 s and 10 tokens."""
    found = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing)))
    level = found.curve("vllm").levels[-1]

    assert (level.users, level.requests, level.failed) == (8, 12 * 16, 0)
    assert level.requests_per_s.value == pytest.approx(2.0, rel=0.03)
    assert level.tokens_per_s.value == pytest.approx(20.0, rel=0.03)
    assert level.e2e_p50.value == pytest.approx(4.0, rel=0.03)
    assert level.ttft_p95.value == pytest.approx(1.0, rel=0.05)
    assert level.tokens_per_s.low < level.tokens_per_s.value < level.tokens_per_s.high


def test_vllm_pays_from_the_smallest_level_from_which_on_it_is_better() -> None:
    """Behind alone, ahead from two users on."""
    found = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing)))

    assert (found.throughput.users, found.wait.users) == (2, 2)
    assert [s.holds for s in found.throughput.steps] == [False, True, True, True]
    assert found.throughput.steps[0].ratio == pytest.approx(1 / 1.2, rel=0.01)


def test_the_baseline_is_the_best_setting_and_every_setting_must_be_beaten() -> None:
    """NUM_PARALLEL=4 carries Ollama further, so vLLM pays later than against its default."""
    contenders = ("vllm", "ollama-1", "ollama-4")
    found = sweep.analysed(sweeps.raw(sweeps.plan(contenders=contenders), Rule(seconds=crossing)))

    assert found.best_ollama == "ollama-4"
    assert found.throughput.users is None
    assert [s.against for s in found.throughput.steps[1:]] == ["ollama-4"] * 3
    assert "Ollama is ahead or level at 8" in found.throughput.why


def test_a_lead_lost_again_at_more_users_is_none() -> None:
    """From how many users on, means: and at every larger number."""
    lead = {1: 0.5, 2: 1.0, 4: 2.0, 8: 20.0}
    rule = Rule(seconds=lambda name, users: lead[users] if name == "vllm" else serial(1.0, 1)(users))

    assert sweep.analysed(sweeps.raw(sweeps.plan(), rule)).throughput.users is None


def test_two_rounds_prove_a_lead_only_if_it_is_far_beyond_their_scatter() -> None:
    """The bootstrap of two rounds has no width to speak of; the t-interval beside it has."""
    rule = Rule(seconds=lambda name, users: 0.97 if name == "vllm" else 1.0)
    few = sweep.analysed(sweeps.raw(sweeps.plan(rounds=1), rule)).throughput
    more = sweep.analysed(sweeps.raw(sweeps.plan(rounds=12), rule)).throughput

    assert few.users is None and "one round has no interval" in few.why
    assert more.users == 1


@pytest.mark.parametrize("served_by", ["ollama", ""])
def test_an_answer_by_another_engine_is_a_failure(served_by: str) -> None:
    """It has no tokens and counts as a wait without an answer, however fast it came."""
    by = lambda name: served_by if name == "vllm" else "ollama"  # noqa: E731 - a rule is a function
    found = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=lambda name, users: 0.01, served_by=by)))
    level = found.curve("vllm").levels[0]

    assert level.failed == level.requests
    assert (level.tokens_per_s.value, level.ttft_p50.value) == (0.0, 130)
    assert found.throughput.users is found.wait.users is None
    assert "each counts as a wait of 130 s" in " ".join(found.notes)
    assert sweep_words.cells(found, found.curve("vllm"), 1, apart=" ")[2] == "no answer"


def test_the_knee_of_an_engine_that_batches_is_where_its_waiting_takes_over() -> None:
    """Power = throughput / response time: greatest at four, where the answer still takes 1.5 s."""
    knee = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing))).curve("vllm").knee

    assert (knee.users, knee.low, knee.high) == (4, 4, 4)


def test_a_serial_engine_has_its_knee_at_one_user() -> None:
    """A second user only waits."""
    knee = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing))).curve("ollama-1").knee

    assert knee.users == 1 and "or below" in knee.why


def test_a_knee_beyond_the_measured_range_is_not_made_up() -> None:
    """As long as users cost nothing, the range ends before the knee."""
    rule = Rule(seconds=lambda name, users: 1.0)
    knee = sweep.analysed(sweeps.raw(sweeps.plan(), rule)).curve("vllm").knee

    assert knee.users is None and "not reached: at 8 users" in knee.why


def test_a_service_that_answers_whole_is_compared_by_the_whole_answer() -> None:
    """Nobody sees a first token there, so none is shown."""
    found = sweep.analysed(sweeps.raw(sweeps.plan(stream=False), Rule(seconds=crossing)))

    assert found.wait.quantity == "median time of a whole answer"
    assert found.wait.users == 2
    assert found.curve("vllm").levels[0].ttft_p50.value is None


def test_a_round_cut_by_a_kill_is_left_out_and_said() -> None:
    """A round is a comparison only as a whole."""
    made = sweeps.plan(rounds=3)
    whole = len(made.schedule) // 3
    found = sweep.analysed(sweeps.raw(made, Rule(seconds=crossing), blocks=2 * whole + 1))

    assert found.rounds == 2
    assert "2 of 3 planned rounds are whole" in found.notes[0]
    with pytest.raises(GateError, match="no whole round"):
        sweep.analysed(sweeps.raw(made, Rule(seconds=crossing), blocks=whole - 1))


def test_memory_is_told_per_contender_where_somebody_looked() -> None:
    """Steady is the median before a block, peak the most during one."""
    found = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing)))

    assert [(c.steady_bytes, c.peak_bytes) for c in found.curves] == [(100, 200)] * 2
    assert "Memory of vLLM" in " ".join(sweep_words.said(found))


def test_what_was_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    """The report's copy is the result itself."""
    found = sweep.analysed(sweeps.raw(sweeps.plan(), Rule(seconds=crossing)))
    sweep.save(tmp_path, found)

    assert sweep.saved(tmp_path, "rag") == found
    assert sweep.saved(tmp_path, "ner") is None
