"""Seconds in which documents are at a stage, by a clock that the test moves."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.rag.stages import Stage, Stages


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def stages(registry: CollectorRegistry, clock: Clock) -> Stages:
    return Stages(registry, clock=clock)


def busy(registry: CollectorRegistry, stage: Stage) -> float | None:
    return registry.get_sample_value("rag_ingest_busy_seconds_total", {"stage": stage})


def test_every_stage_is_there_before_anything_came_in(stages: Stages, registry: CollectorRegistry) -> None:
    assert {stage: busy(registry, stage) for stage in Stage} == dict.fromkeys(Stage, 0.0)


def test_two_documents_at_once_are_not_twice_as_long(stages: Stages, registry: CollectorRegistry, clock: Clock) -> None:
    """One from 0 s to 4 s, one from 3 s to 10 s: ten seconds."""
    first, second = stages.at(Stage.EMBED), stages.at(Stage.EMBED)
    first.__enter__()
    clock.now_s += 3
    second.__enter__()
    clock.now_s += 1
    first.__exit__(None, None, None)
    assert busy(registry, Stage.EMBED) == 4.0

    clock.now_s += 6
    second.__exit__(None, None, None)
    assert busy(registry, Stage.EMBED) == 10.0


def test_time_between_documents_is_nobody_s(stages: Stages, registry: CollectorRegistry, clock: Clock) -> None:
    for _ in range(2):
        with stages.at(Stage.READ):
            clock.now_s += 2
        clock.now_s += 50

    assert (busy(registry, Stage.READ), busy(registry, Stage.STORE)) == (4.0, 0.0)


def test_a_document_that_fails_has_taken_its_time_and_is_gone(
    stages: Stages, registry: CollectorRegistry, clock: Clock
) -> None:
    with pytest.raises(ValueError, match="broken"), stages.at(Stage.CUT):
        clock.now_s += 5
        raise ValueError("broken")
    clock.now_s += 50
    with stages.at(Stage.CUT):
        clock.now_s += 1

    assert busy(registry, Stage.CUT) == 6.0
