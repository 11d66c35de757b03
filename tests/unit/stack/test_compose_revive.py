"""When a silent vLLM is restarted, and when it is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.stack import compose
from services.stack.compose_probe import Probe, read
from services.stack.compose_revive import Bounds, Outcome, not_ours, too_often
from tests.unit.stack.recorded_containers import attrs

NOW = 1795277740.0 + 7200
BOUNDS = Bounds(per_hour=3, pause_s=300, start_s=600)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"Status": "restarting", "ExitCode": 1}, "Docker restarts it already"),
        ({"Status": "exited", "ExitCode": 0}, "exited, which somebody wanted"),
        ({"Status": "paused"}, "paused"),
        ({"Health": {"Status": "starting"}}, "it is starting"),
    ],
)
def test_whoever_starts_or_was_stopped_is_left_alone(state: dict[str, Any], why: str) -> None:
    assert why in not_ours(compose.read(attrs(**state)), NOW, BOUNDS)


@pytest.mark.parametrize("health", ["healthy", "unhealthy"])
def test_one_that_is_up_is_ours(health: str) -> None:
    """Unhealthy too: Docker does not restart for that."""
    assert not_ours(compose.read(attrs(Health={"Status": health})), NOW, BOUNDS) == ""


def test_without_a_health_check_young_is_starting() -> None:
    state = compose.read(attrs(Health=None))
    assert state.started_at is not None

    assert "count as starting" in not_ours(state, state.started_at + 599, BOUNDS)
    assert not_ours(state, state.started_at + 601, BOUNDS) == ""


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [
        ((), None),
        ((299,), Outcome.WAITS),
        ((301,), None),
        ((1200, 599), Outcome.WAITS),
        ((1200, 601), None),
        ((3000, 2000, 1000), Outcome.GIVEN_UP),
        ((3601, 3000, 2000), None),
    ],
)
def test_pauses_double_and_the_hour_has_a_bound(ago: tuple[float, ...], outcome: Outcome | None) -> None:
    """Seconds since earlier restarts, oldest first; those of more than an hour ago do not count."""
    held = too_often([NOW - s for s in ago], NOW, BOUNDS)

    assert (held.outcome if held else None) is outcome


def test_a_pause_says_how_long_it_lasts_and_giving_up_where_to_look() -> None:
    pause, over = too_often([NOW - 100], NOW, BOUNDS), too_often([NOW - 1] * 3, NOW, BOUNDS)

    assert pause and "200 s" in pause.why
    assert over and "cutover history" in over.why


@pytest.mark.parametrize(
    ("why", "before", "after", "generates"),
    [
        ("", 5.0, 5.0, True),
        ("late", 5.0, 9.0, True),
        ("late", 5.0, 5.0, False),
        ("late", None, None, False),
        ("late", 5.0, None, False),
        ("refused", 5.0, 0.0, False),
    ],
)
def test_tokens_for_others_count_as_generating(
    why: str, before: float | None, after: float | None, generates: bool
) -> None:
    """A queue before us is no silence; a count that fell is another process's."""
    told = json.dumps({"why": why, "before": before, "after": after})

    assert read(f"a warning\n{told}\n").generates is generates


def test_a_probe_that_counts_nothing_is_silent() -> None:
    assert not Probe(why="late", others=0.0).generates
