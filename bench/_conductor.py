"""The master's side of a planned load: sends each block when the one before is asked, ends the run after the last.

Works the same with one process, with `--processes N` and with `--master` and `--worker`: Locust's one process sends
messages to itself.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import _arrivals
import _turns
import gevent  # type: ignore[import-untyped]  # has no types
from gevent.event import Event  # type: ignore[import-untyped]  # has no types
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner

LOG = logging.getLogger("cutover.bench")
ALONE = "local"
LOOK_S = 1.0
"""How often it is looked whether a worker that is waited for is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run is to do. `rounds` 0 means no rounds, `rate` 0 a closed loop."""

    arms: tuple[str, ...]
    rounds: int
    size: int
    rate: float
    in_flight: int
    seed: int

    @classmethod
    def of(cls, options: Any, *, rounds: int) -> Plan:
        """The plan that the arguments ask for; turns without a number of rounds take `rounds`."""
        arms = ("ollama", "vllm") if options.arm == "alternate" else (options.arm,)
        return cls(
            arms=arms,
            rounds=options.rounds or (rounds if len(arms) > 1 else 0),
            size=options.round_requests,
            rate=options.rate,
            in_flight=options.max_in_flight,
            seed=options.seed,
        )

    @property
    def is_free(self) -> bool:
        """Whether users just ask, one request after the other."""
        return not self.rounds and not self.rate


class Conductor:
    """Lives where the messages come from: in the master, or in the one process there is."""

    def __init__(self, environment: Any, desk: _turns.Desk) -> None:
        self._environment = environment
        self._desk = desk
        self._run = ""
        self._number = -1
        self._missing: set[str] = set()
        self._told = Event()
        self._greenlet: gevent.Greenlet | None = None

    def begin(self, plan: Plan) -> None:
        """Start the plan once all users are there; more users during a run change nothing."""
        if plan.is_free or (self._greenlet and not self._greenlet.ready()):
            return
        self._run = uuid.uuid4().hex[:8]
        work = self._play if plan.rounds else self._let_arrive
        self._greenlet = gevent.spawn(work, plan)

    def part_is_done(self, process: str, run: str, number: int) -> None:
        if (run, number) == (self._run, self._number):
            self._missing.discard(process)
            self._told.set()

    def end(self, why: str, *, failed: bool = False) -> None:
        """Stop the load, and the process too where nobody sits at a web UI."""
        (LOG.error if failed else LOG.info)(why)
        if failed:
            self._environment.process_exit_code = 1
        runner = self._environment.runner
        if self._environment.parsed_options.headless:
            runner.quit()
        else:
            runner.stop()

    def _play(self, plan: Plan) -> None:
        for block in _turns.blocks(seed=plan.seed, rounds=plan.rounds, arms=plan.arms):
            self._send(block, _turns.deal(self._users(), plan.size))
            lost = self._wait()
            if lost:
                self.end(f"round {block.round} is torn: lost {', '.join(lost)}; run again", failed=True)
                return
            if self._desk.closed.is_set():
                return
        self.end(f"{plan.rounds} rounds are done")

    def _send(self, block: _turns.Block, parts: Mapping[str, Mapping[str, list[int]]]) -> None:
        self._number, self._missing = block.number, set(parts)
        for process, part in parts.items():
            data = {"run": self._run, "block": asdict(block), "part": part}
            self._environment.runner.send_message(_turns.BLOCK, data, process)

    def _wait(self) -> list[str]:
        """Until every process has asked its part; gives those that went away before."""
        while self._missing:
            self._told.wait(timeout=LOOK_S)
            self._told.clear()
            lost = self._lost()
            if lost or self._desk.closed.is_set():
                return lost
        return []

    def _lost(self) -> list[str]:
        """Who is waited for and silent; or gone, unless the run is over and all go."""
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return []
        there = {c.id for c in runner.clients.values() if c.state != STATE_MISSING}
        silent = {c.id for c in runner.clients.values() if c.state == STATE_MISSING}
        return sorted(self._missing & silent if self._desk.closed.is_set() else self._missing - there)

    def _let_arrive(self, plan: Plan) -> None:
        made = _arrivals.sources(self._users(), rate=plan.rate, in_flight=plan.in_flight, seed=plan.seed)
        for process, of_class in made.items():
            data = {name: asdict(source) for name, source in of_class.items()}
            self._environment.runner.send_message(_arrivals.SOURCE, data, process)

    def _users(self) -> dict[str, Mapping[str, int]]:
        """How many users of each class each process has; only processes that have some."""
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return {ALONE: runner.user_classes_count}
        alive = [c for c in runner.clients.values() if c.state in (STATE_RUNNING, STATE_SPAWNING)]
        return {c.id: c.user_classes_count for c in alive if any(c.user_classes_count.values())}
