"""The drill: vLLM is killed under load, the right alerts fire, one of them reaches people, and all of them resolve."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from services.settings import Settings
from services.stack import local
from tests.engines.test_kill import NOTE, Load, in_full, under_load
from tests.engines.test_kill import until as answered
from tests.engines.watching import Watch, needs_prometheus, own_services, shortened, until, watched

pytestmark = [pytest.mark.engines, needs_prometheus]

TIMES = 4
"""How many times shorter the rules wait: still long enough for ten requests in the shortest window, on two cores."""

OF_A_DEAD_ENGINE = {"EngineDown", "BreakerOpen", "FallbackRatioHigh"}
LIMIT_S = 600


def test_rules_are_shortened_and_nothing_else() -> None:
    """The drill is of the rules that are checked in, with other times."""
    rules = "rate(x_total[5m]) > 0.2 and y_rate5m > 10\n    for: 2m\n  interval: 1m\n  [3d]"

    assert (
        shortened(rules, 4) == "rate(x_total[75s]) > 0.2 and y_rate5m > 10\n    for: 30s\n  interval: 15s\n  [64800s]"
    )


async def test_a_dead_engine_is_told_and_the_all_clear_too(
    engines: Settings,
    child_env: dict[str, str],
    progress: local.Progress,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One page for what is broken, none for what follows from it, and no burnt budget: nobody lost an answer."""
    with (
        own_services(engines, child_env, progress, tmp_path / "home") as (settings, env),
        in_full(settings, "notes", "rag"),
        watched(settings, env, tmp_path / "watch", times_faster=TIMES) as watch,
    ):
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
            await http.post(f"{settings.service_url('rag')}/v1/documents", json={"title": "Backups", "text": NOTE})
        async with under_load(settings) as load:
            seen = await _drill(engines, child_env, progress, watch, load)

    assert load.failed == []
    with capsys.disabled():  # what a person wants to see
        sys.stderr.write(f"\nalert drill: {seen}, {len(load.answered)} answered, {len(load.failed)} failed\n")


async def _drill(
    engines: Settings, env: dict[str, str], progress: local.Progress, watch: Watch, load: Load
) -> dict[str, object]:
    await answered(lambda: load.providers.count("vllm") >= 4, "vLLM answers", load)
    await _until(lambda: watch.told().get("Watchdog") == "active", "the way to Alertmanager is open")
    await _until(lambda: not watch.firing() & OF_A_DEAD_ENGINE, "none fires: a cold engine's first tokens are slow")
    before = watch.firing()

    os.killpg(local.snapshot(engines)["vllm"].pid, signal.SIGKILL)
    try:
        await _until(lambda: watch.firing() >= OF_A_DEAD_ENGINE, "all three fire")
        during = watch.firing()
        await _until(lambda: watch.told().get("EngineDown") == "active", "Alertmanager has the page")
        await _until(lambda: watch.told().get("BreakerOpen") == "suppressed", "what follows from it is held back")
    finally:
        await asyncio.to_thread(local.start_engine, engines, "vllm", progress, env=env)

    await _until(lambda: not watch.firing() & OF_A_DEAD_ENGINE, "all three resolve")
    await _until(lambda: not watch.told().keys() & OF_A_DEAD_ENGINE, "Alertmanager has the all-clear")
    assert not {alert for alert in during if alert.startswith("ErrorBudget")}
    return {"before": sorted(before), "during": sorted(during), "after": sorted(watch.firing())}


async def _until(holds: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(until, holds, what, LIMIT_S)
