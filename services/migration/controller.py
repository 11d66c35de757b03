"""Moves one service, step by step: doctor, verdict, canary shares, full, holdback; and takes it back.

A controller that dies anywhere is gone on with by the next `migrate`. A rollback needs none.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.llm.rollout import Stage, Standing
from services.migration import gates, ledger, report, rollout, workload
from services.migration.asking import Asker, NotReached, unreachable
from services.migration.gates import Policy
from services.migration.journey import Journey, MigrationResult
from services.migration.ledger import Entry
from services.migration.measure import MARGIN_S, WORLD, Seams
from services.migration.rounds import OnRound
from services.migration.stages import held_back
from services.settings import Settings

OPERATOR = "operator"


def _silent(_done: int, _total: int, _note: str) -> None:
    """Tells nobody."""


async def migrate(
    settings: Settings,
    service: str,
    recipe: Path,
    token: str,
    *,
    demo: bool = False,
    watch: bool = False,
    rounds: int = 20,
    seed: int = 1,
    on_progress: OnRound = _silent,
    seams: Seams = WORLD,
    policy: Policy | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> MigrationResult:
    """Move a service as far as the evidence carries. `demo` shows the move without evidence and marks every line.

    `watch` stays, once full, and guards vLLM until the holdback's time is over; other services may move meanwhile.
    Raises `LockHeld` where another controller is at work, `Superseded` where somebody rolled back meanwhile.
    """
    found = workload.load(recipe, service=service)
    async with seams.connect() as client:
        asker = Asker(
            client=client, url=settings.service_url(service), workload=found, keys=settings.api_keys, token=token,
            limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
        )  # fmt: skip
        journey = Journey(
            settings=settings, service=service, recipe=recipe, token=token, demo=demo, rounds=rounds, seed=seed,
            on_progress=on_progress, seams=seams, policy=policy or gates.load().policy, sleep=sleep, asker=asker,
        )  # fmt: skip
        try:
            result = await _travelled(journey, watch=watch)
        except NotReached as exc:
            raise unreachable(service, asker.url) from exc
    return result


async def _travelled(journey: Journey, *, watch: bool) -> MigrationResult:
    """The moves under the lock of all moves, then the holdback under one of its own, for it takes a day."""
    state_dir, service = journey.settings.state_dir, journey.service
    if journey.demo or not (watch and held_back(rollout.standing(state_dir, service))):
        with rollout.controller_lock(state_dir, service=service):
            result = await _locked(journey)
        if journey.demo or not (watch and held_back(result.standing)):
            return result
    journey.guarding = True
    with rollout.watch_lock(state_dir, service=service):
        return await _locked(journey)


async def _locked(journey: Journey) -> MigrationResult:
    state_dir = journey.settings.state_dir
    ledger.trusted(state_dir / ledger.FILE_NAME)
    rollout.project(state_dir)  # a killed controller, or a hand, may have left it apart from the ledger
    result = await journey.travel()
    report.write(state_dir, journey.service, prices=journey.settings.telemetry.prices)
    return result


def rollback(settings: Settings, service: str, reason: str = "asked for by hand") -> Standing:
    """Send a service back to Ollama, now. Needs no engine, no service and no controller, and wins over one at work.

    Also writes the rollout file anew from the ledger. On Ollama already, it only does that.
    """
    source = rollout.standing(settings.state_dir, service)
    idle = source.stage in (Stage.OLLAMA, Stage.ROLLED_BACK) and not _controller_at_work(settings.state_dir)
    if idle:
        return rollout.project(settings.state_dir).standing(service)
    target = Standing(stage=Stage.ROLLED_BACK, verdict=source.verdict, demo=source.demo)
    entry = Entry(
        service=service, source=source, target=target, actor=OPERATOR, reasons=(reason,), verdict=source.verdict
    )
    return rollout.move(settings.state_dir, entry, expected=None).target


def _controller_at_work(state_dir: Path) -> bool:
    """Whether a living controller holds the lock: it could be about to move the service."""
    try:
        with (state_dir / rollout.LOCK_NAME).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as exc:
        raise ledger.not_ours(state_dir / rollout.LOCK_NAME, exc) from exc
    return False


def history(settings: Settings, service: str | None = None) -> list[Entry]:
    """The ledger's lines of one service, or of all, oldest first. `ledger.document` gives their JSON."""
    return ledger.history(settings.state_dir / ledger.FILE_NAME, service)
