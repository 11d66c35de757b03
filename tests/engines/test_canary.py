"""A real canary: the candidate is a second Ollama on the same weights, equal to the control until SIGSTOP slows it.

Two like engines, because only then is it known what the controller should do. The service asks the second one by vLLM's
protocol (`/v1`), as it would ask vLLM. Requests come from many users, both arms at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import httpx2
import pytest

from services import settings as settings_room
from services.llm.rollout import Stage, Standing
from services.migration import facts, gates, ledger, rollout
from services.migration.controller import migrate
from services.migration.journey import MigrationResult
from services.migration.stages import Action
from services.settings import Settings
from services.stack import local
from services.stack.trial import trials
from tests.conftest import REPO, free_ports

pytestmark = pytest.mark.engines

TRIES = 10
SHARE = 0.5
EXPOSURE = 45
"""Requests at the candidate in a try."""

LIMIT_S = 900
STOPPED_S, RUNNING_S = 0.2, 0.1  # two thirds of the time stopped: three times slower
POLICY = replace(gates.load().policy, poll_s=0.5)
RECIPE = REPO / "bench" / "workloads" / "notes.toml"
NOTE = "The tape library in Bergen is backed up at 02:10. Ingrid checks it."


@dataclass(frozen=True, slots=True)
class Canary:
    """A service of its own in front of two equal engines, and the process group of the candidate."""

    settings: Settings
    candidate: int

    def begin(self, reason: str) -> None:
        """Half of the users ask the candidate first, from now on."""
        source = rollout.standing(self.settings.state_dir, "notes")
        target = Standing(stage=Stage.CANARY, share=SHARE, verdict="v1")
        entry = ledger.Entry(service="notes", source=source, target=target, actor="test", reasons=(reason,))
        rollout.move(self.settings.state_dir, entry, expected=None)

    def watch(self) -> facts.Watch | None:
        """What the controller has seen in this step so far."""
        kept = facts.kept(self.settings.state_dir, "notes")
        last = ledger.read(self.settings.state_dir / ledger.FILE_NAME).last("notes")
        return kept.watch if kept and last and kept.seq == last.seq else None

    def asked(self) -> int:
        seen = self.watch()
        return seen.candidate.requests if seen else 0

    def e_value(self) -> float:
        seen = self.watch()
        return seen.evidence.e_value(looks=len(POLICY.steps)) if seen else 0.0

    def why(self) -> str:
        last = ledger.read(self.settings.state_dir / ledger.FILE_NAME).last("notes")
        return "; ".join(last.reasons) if last else "the ledger is empty"

    async def controlled(self, exposure: int) -> MigrationResult | None:
        """The controller at work until it decides, or None when it has seen so many requests and still holds."""
        token = local.admin_token(self.settings)
        assert token is not None
        work = asyncio.create_task(migrate(self.settings, "notes", RECIPE, token.value, policy=POLICY))
        async with asyncio.timeout(LIMIT_S):
            while not work.done() and self.asked() < exposure:
                await asyncio.sleep(0.1)
        if work.done():
            return work.result()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return None


@pytest.fixture(scope="module")
def canary(
    stack: Settings, child_env: dict[str, str], progress: local.Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Canary]:
    """Notes once more, in front of the stack's Ollama and of its twin, which stands where vLLM would."""
    with trials(stack, "notes", progress, env=child_env, parallel=(1,), given={}) as (_, twin):
        (port,) = free_ports(1)
        env = {
            **child_env,
            "CUTOVER_HOME": str(tmp_path_factory.mktemp("canary")),
            "CUTOVER_NOTES_PORT": str(port),
            "OLLAMA_URL": stack.ollama_url,
            "VLLM_URL": twin.engine_url,
        }
        settings = settings_room.load(env)
        local.up(settings, progress, env=env, services=("notes",))
        try:
            yield Canary(settings, local.snapshot(stack)[twin.process].pid)
        finally:
            local.down(settings, progress)


@contextlib.asynccontextmanager
async def users(canary: Canary) -> AsyncIterator[list[str]]:
    """A request after the other, each of another user; what went wrong is kept.

    One at a time, because two Ollamas at work on two cores spin on each other's locks and slow one another tenfold.
    The same words each time: both engines then have the prompt cached, and more requests fit into a minute.
    """
    failed: list[str] = []
    url = f"{canary.settings.service_url('notes')}/v1/summarize"

    async def ask() -> None:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
            while True:
                body = {"text": NOTE, "max_tokens": 4}
                answer = await http.post(url, json=body, headers={"X-Sticky-Key": uuid.uuid4().hex})
                if answer.status_code != 200:
                    failed.append(f"{answer.status_code} {answer.text}")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        try:
            yield failed
        finally:
            task.cancel()


@contextlib.asynccontextmanager
async def slowed(group: int) -> AsyncIterator[None]:
    """Stop a process group and let it go on, over and over: it has a third of its time left."""

    async def bursts() -> None:
        while True:
            os.killpg(group, signal.SIGSTOP)
            await asyncio.sleep(STOPPED_S)
            os.killpg(group, signal.SIGCONT)
            await asyncio.sleep(RUNNING_S)

    task = asyncio.create_task(bursts())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        os.killpg(group, signal.SIGCONT)


async def test_an_equal_engine_stays_in_ten_tries_and_one_made_three_times_slower_goes_back(
    canary: Canary, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same traffic without a pause; each try is a step of its own. Nobody's request fails in either case."""
    highest = []
    async with users(canary) as failed:
        for number in range(TRIES):
            canary.begin(f"try {number}")
            assert await canary.controlled(EXPOSURE) is None, f"try {number}: {canary.why()}"
            highest.append(canary.e_value())
        canary.begin("slowed")
        async with slowed(canary.candidate):
            result = await canary.controlled(2 * EXPOSURE)
    assert failed == []
    assert result is not None
    assert result.action is Action.ROLLBACK, result.reasons
    assert rollout.standing(canary.settings.state_dir, "notes").stage is Stage.ROLLED_BACK
    with capsys.disabled():  # the figures that a person wants to see
        sys.stderr.write(
            f"\ncanary: {TRIES} equal engines stayed, e at most {max(highest):.2g}; "
            f"slowed 3x, rolled back: {'; '.join(result.reasons)}\n"
        )
