"""Restarts a vLLM that is up but no longer generates: rarely, after a second look, and written down first.

A process that dies is Docker's own matter (`restart: unless-stopped`). This is for the one that lives and is silent.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.stack import compose, compose_probe
from services.stack.compose import Container, Place
from services.stack.compose_probe import Probe

HOUR_S = 3600.0
ENGINE = "vllm"
ACT = "restart"


class Outcome(enum.StrEnum):
    """How a look ended."""

    GENERATES = "generates"
    WAITS = "waits"
    RESTARTED = "restarted"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How often at most, how long between two, and what counts as starting.

    Three restarts of some minutes each leave vLLM half of an hour. The pause doubles, because what one restart does not
    cure, the next at once will not either. A large model without a health check takes up to ten minutes to start.
    """

    per_hour: int = 3
    pause_s: float = 300.0
    start_s: float = 600.0
    looks: int = 2
    deadline_s: int = compose_probe.DEADLINE_S
    stop_s: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of it, with a sentence."""

    outcome: Outcome
    why: str


class Journal(Protocol):
    """The ledger, wherever this stack has it."""

    def past(self) -> Sequence[float]:
        """When the engine was restarted by us, in seconds since 1970, oldest first."""

    def write(self, reason: str, evidence: Mapping[str, Any]) -> None:
        """On disk when it returns; raises where it cannot be, or when somebody else acts already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a test replaces: the clock and the question."""

    clock: Callable[[], float] = time.time
    probe: Callable[[Any, int], Probe] = field(default=compose_probe.probe)


def revive(
    where: Place | None, journal: Callable[[Any], Journal], bounds: Bounds, *, service: str = ENGINE, world: World
) -> Looked:
    """Look, and restart if need be. `journal` gets the SDK's client. Raises `NoEngine`, and what the journal raises."""
    limit_s = bounds.deadline_s + compose_probe.GRACE_S + bounds.stop_s
    with compose.engine(where, limit_s) as client:
        assert where is not None  # `engine` has refused that
        container = compose.one(client, where.project, service)
        state = compose.read(container.attrs)
        if why := not_ours(state, world.clock(), bounds):
            return Looked(outcome=Outcome.WAITS, why=why)
        seen = _ask(container, bounds, world)
        if seen.generates:
            return Looked(outcome=Outcome.GENERATES, why=_alive(seen))
        book = journal(client)
        if held := too_often(book.past(), world.clock(), bounds):
            return held
        container.reload()
        if compose.read(container.attrs).started_at != state.started_at:
            return Looked(outcome=Outcome.WAITS, why="it was started again meanwhile")
        book.write(f"up, and no token from it: {seen.why}", _evidence(state, world.clock()))
        container.restart(timeout=bounds.stop_s)
        return Looked(outcome=Outcome.RESTARTED, why=f"{state.container} was up and silent: {seen.why}")


def not_ours(state: Container, now: float, bounds: Bounds) -> str:
    """Why this container is to be left alone, else "". Pure."""
    match state.status:
        case "restarting":
            return f"Docker restarts it already ({state.restarts} times, exit code {state.exit_code})"
        case "running":
            return _starting(state, now, bounds)
        case status:
            return f"it is {status}, which somebody wanted; `docker compose up --detach` starts it"


def _starting(state: Container, now: float, bounds: Bounds) -> str:
    if state.health == "starting":
        return "it is starting"
    age_s = now - (state.started_at or now)
    if state.health is None and age_s < bounds.start_s:
        return f"it has no health check and started {age_s:.0f} s ago; {bounds.start_s:.0f} s count as starting"
    return ""


def too_often(past: Sequence[float], now: float, bounds: Bounds) -> Looked | None:
    """Whether another restart is too soon or too much. Each pause is twice the one before. Pure."""
    recent = [at for at in past if now - at < HOUR_S]
    if len(recent) >= bounds.per_hour:
        why = f"restarted {len(recent)} times within the hour without curing it; read its log and `cutover history`"
        return Looked(outcome=Outcome.GIVEN_UP, why=why)
    if recent:
        left_s = bounds.pause_s * 2 ** (len(recent) - 1) - (now - recent[-1])
        if left_s > 0:
            return Looked(outcome=Outcome.WAITS, why=f"silent, and restarted lately; the next try is in {left_s:.0f} s")
    return None


def _ask(container: Any, bounds: Bounds, world: World) -> Probe:
    """Ask until it generates, `looks` times at most."""
    seen = world.probe(container, bounds.deadline_s)
    for _ in range(bounds.looks - 1):
        if seen.generates:
            break
        seen = world.probe(container, bounds.deadline_s)
    return seen


def _alive(seen: Probe) -> str:
    return "it gave a token" if not seen.why else f"it is busy: {seen.others:.0f} tokens for others meanwhile"


def _evidence(state: Container, now: float) -> dict[str, Any]:
    up_s = None if state.started_at is None else round(now - state.started_at)
    return {"container": state.container, "image": state.image, "health": state.health, "up_s": up_s}
