"""Every panel of every board that needs no GPU has data, on a real Prometheus over real engines under load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from services.llm.rollout import Stage, Standing
from services.migration import ledger, rollout
from services.monitor.boards import BOARDS
from services.monitor.panels import Need, plain
from services.settings import Settings
from services.stack import local
from tests.conftest import REPO
from tests.engines.test_kill import NOTE, under_load
from tests.engines.watching import Watch, needs_prometheus, own_services, watched

pytestmark = [pytest.mark.engines, needs_prometheus]

LIMIT_S = 600
VALUES = {"service": "rag", "__rate_interval": "60s", "__range": "300s", "__interval": "60s"}
ASKED = {
    f"{board.uid} / {panel.title} / {query.legend}": plain(query.expr, VALUES)
    for board in BOARDS
    for panel in board.panels
    if panel.need is Need.NOTHING
    for query in panel.queries
}


async def test_every_panel_has_data(
    engines: Settings, child_env: dict[str, str], progress: local.Progress, tmp_path: Path
) -> None:
    """Half of the users at vLLM, one verdict measured, both kinds of answers asked for."""
    with own_services(engines, child_env, progress, tmp_path / "home") as (settings, env):
        _halfway(settings)
        _measure(env)
        with watched(settings, env, tmp_path / "watch") as watch:
            async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
                document = {"title": "Backups", "text": NOTE}
                await http.post(f"{settings.service_url('rag')}/v1/documents", json=document)
            async with under_load(settings) as load:
                left = await _without_data(watch)
            assert load.failed == []

    assert left == set(), "no data"


def _halfway(settings: Settings) -> None:
    half = Standing(stage=Stage.CANARY, share=0.5, demo=True)
    for service in ("rag", "notes"):
        entry = ledger.Entry(service=service, source=Standing(), target=half, actor="test", reasons=("panels",))
        rollout.move(settings.state_dir, entry, expected=None)


def _measure(env: dict[str, str]) -> None:
    """One round decides nothing; it writes a verdict, which is what boards show. RAG needs what it is asked about."""
    for verb in (["sample"], ["gate", "rag", "--rounds", "1"]):
        argv = [sys.executable, "-m", "services.cli", *verb, "--json"]
        done = subprocess.run(argv, env=env, cwd=REPO, capture_output=True, text=True, timeout=900, check=False)
        assert done.stdout, done.stderr


async def _without_data(watch: Watch) -> set[str]:
    """Names of queries that never had a value; a value that is not a number is none."""
    left = dict(ASKED)
    async with asyncio.timeout(2 * LIMIT_S):
        for _ in range(LIMIT_S // 5):
            for name, expr in list(left.items()):
                if any(value == value for value in await asyncio.to_thread(watch.values, expr)):
                    del left[name]
            if not left:
                break
            await asyncio.sleep(5)
    return set(left)
