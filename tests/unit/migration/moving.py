"""Helpers of the controller's tests: a migration with users' traffic, and a fresh pass in the state folder."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any

from services.migration import engines, measure, workload
from services.migration.controller import MigrationResult, history, migrate
from services.migration.gates import Policy
from services.migration.judge import judge
from services.migration.records import Engine
from services.migration.simulated import World, run
from services.migration.verdict import Verdict
from tests.unit.migration.house import TOKEN, House

POLICY = Policy(steps=(0.05, 0.25, 0.5, 1.0), min_requests=300, error_limit=0.01, level=0.95, consecutive_errors=5)


async def go(
    house: House,
    *,
    traffic: Callable[[], None] = lambda: None,
    asleep: Callable[[float], Awaitable[None]] | None = None,
    **options: Any,
) -> MigrationResult:
    """`migrate`, with users' traffic arriving whenever the controller sleeps; `asleep` replaces that."""

    async def sleep(seconds: float) -> None:
        house.now_s += seconds
        traffic()

    return await migrate(
        house.settings,
        "notes",
        house.recipe,
        TOKEN,
        rounds=2,
        seams=house.seams,
        sleep=asleep or sleep,
        policy=POLICY,
        **options,
    )


def users(house: House, *, good: int = 100, bad: int = 0, late: int = 0, polls: int = 1000) -> Callable[[], None]:
    """Traffic: so many good and bad answers of vLLM, and as many good ones of Ollama, at each of some polls.

    `late` of the good ones at vLLM take 40 s.
    """
    left = [polls]

    def arrive() -> None:
        if left[0] == 0:
            return
        left[0] -= 1
        house.attempts["vllm", "none"] += good
        house.late["vllm"] += late
        house.attempts["vllm", "http_5xx"] += bad
        house.attempts["ollama", "none"] += good + bad

    return arrive


@functools.cache
def twice_as_fast() -> Verdict:
    """A pass, judged once for all tests."""
    return judge(run(World(slower=0.5, rounds=40)))


async def passed(house: House, **changes: Any) -> Verdict:
    """Put a fresh pass of this world's own engines into the state folder."""
    async with house.seams.connect() as client:
        described = await measure.described(engines.engines(house.settings, "notes", client), house.seams)
    verdict = twice_as_fast()
    recipe = workload.load(house.recipe, service="notes")

    def arm(name: str, engine: Engine) -> Any:
        return replace(verdict.arms[name], **{k: v for k, v in asdict(engine).items() if k != "started_with"})

    if any(engine.started_with for engine in described):
        seen = {"baseline": described[0].started_with, "candidate": described[1].started_with}
        changes = {"environment": {**verdict.environment, "started_with": seen}, **changes}

    made = replace(
        verdict, arms={"baseline": arm("baseline", described[0]), "candidate": arm("candidate", described[1])},
        plan={**verdict.plan, "prompts_sha256": recipe.sha256}, **changes,
    )  # fmt: skip
    measure.save(house.state, made)
    return made


def steps(house: House) -> list[tuple[str, float]]:
    return [(str(e.target.stage), e.target.share) for e in history(house.settings, "notes")]


CANARY_STEPS = [("canary", 0.05), ("canary", 0.25), ("canary", 0.5)]
ALL_STEPS = [*CANARY_STEPS, ("full", 0.98)]
DEMO_STEPS = [*CANARY_STEPS, ("full", 1.0)]
