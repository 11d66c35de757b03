"""Runs the rounds: one upstream, one worker per interpreter, one cell at a time. Gives raw numbers, judges nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.overhead import imports, plan, processes
from services.overhead.plan import Case, Cell
from services.overhead.processes import OverheadError, Upstream, Worker
from services.overhead.upstream import text_of

WARM_UPS = 3
"""Calls of each cell before the first round: connections, caches and lazy imports."""

Key = tuple[str, str, str]
"""Interpreter, subject, case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Everything measured. `cells` holds seconds of CPU per call, one per round; `load` the 1-minute load averages."""

    rounds: int
    calls: int
    seed: int
    load: tuple[float, float]
    versions: Mapping[str, Mapping[str, str]]
    cells: Mapping[Key, list[float]]
    imports: Mapping[str, list[imports.Import]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What to measure and how long. `peers` is their interpreter, None to leave them out; `env` the children's."""

    rounds: int
    calls: int
    seed: int
    peers: Path | None
    env: Mapping[str, str]
    on_progress: Callable[[str, int, int], None] = field(default=lambda _step, _done, _total: None)


def measure(setup: Setup) -> Raw:
    """One whole measurement. Raises `OverheadError`."""
    before = load()
    counted = max(1, setup.rounds // 2)
    imported = imports.measure(
        counted,
        seed=setup.seed,
        env=setup.env,
        on_round=lambda done, total: setup.on_progress("imports", done, total),
    )
    cells: dict[Key, list[float]] = {}
    with _bench(setup) as bench:
        order = plan.rounds(setup.rounds, setup.calls, interpreters=list(bench.workers), seed=setup.seed)
        for done, cells_of_round in enumerate(order, start=1):
            for cell in cells_of_round:
                key = (cell.interpreter, cell.subject, cell.case.name)
                cells.setdefault(key, []).append(bench.cpu_s(cell, calls=cell.case.calls))
            setup.on_progress("rounds", done, setup.rounds)
        versions = {name: worker.versions for name, worker in bench.workers.items()}
    return Raw(
        rounds=setup.rounds,
        calls=setup.calls,
        seed=setup.seed,
        load=(before, load()),
        versions=versions,
        cells=cells,
        imports=imported,
    )


def load() -> float:
    """The machine's load average of the last minute."""
    return round(os.getloadavg()[0], 2)


@dataclass(frozen=True, slots=True)
class Bench:
    """The running processes."""

    upstream: Upstream
    workers: Mapping[str, Worker]

    def cpu_s(self, cell: Cell, *, calls: int) -> float:
        """Seconds of CPU time per call of one cell, now."""
        case = cell.case
        self.upstream.pace(case.gap_us)
        told = self.workers[cell.interpreter].order(
            do="measure",
            subject=cell.subject,
            stream=case.stream,
            chunks=case.chunks,
            calls=calls,
            expected=text_of(case.chunks),
        )
        return float(told["cpu_s"])


@contextlib.contextmanager
def _bench(setup: Setup) -> Iterator[Bench]:
    work, serve = processes.cores()
    interpreters = {plan.OURS: Path(sys.executable)} | ({plan.PEERS: setup.peers} if setup.peers else {})
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(processes.upstream(serve))
        workers = {
            name: stack.enter_context(processes.worker(name, python, upstream.url, core=work, env=setup.env))
            for name, python in interpreters.items()
        }
        bench = Bench(upstream, workers)
        _prepare(bench, setup)
        yield bench


def _prepare(bench: Bench, setup: Setup) -> None:
    """Load every subject with the bodies that ours sends, warm it up, and see that it sends the same."""
    cases = plan.cases(setup.calls)
    bench.workers[plan.OURS].order(do="load", subject="ours", bodies={})
    bodies = {case.name: _body(bench, Cell(plan.OURS, "ours", case)) for case in cases}
    templates = {"call": bodies["call"], "stream": bodies["stream-20"]}
    for name in bench.workers:
        for subject in plan.SUBJECTS[name]:
            if subject != "ours":
                bench.workers[name].order(do="load", subject=subject, bodies=templates)
            for case in cases:
                _warm_up(bench, Cell(name, subject, case), bodies[case.name])
            setup.on_progress(f"warming up {subject} ({name})", 1, 1)


def _body(bench: Bench, cell: Cell) -> dict[str, Any]:
    bench.cpu_s(cell, calls=1)
    return bench.upstream.recorded()


def _warm_up(bench: Bench, cell: Cell, expected: Mapping[str, Any]) -> None:
    bench.cpu_s(cell, calls=WARM_UPS if short(cell.case) else 1)
    sent = bench.upstream.recorded()
    if sent != expected:
        differs = sorted(k for k in {*sent, *expected} if sent.get(k) != expected.get(k))
        raise OverheadError(f"{cell.subject} ({cell.interpreter}) sends another {', '.join(differs)} than ours")


def short(case: Case) -> bool:
    """Whether a case is over quickly enough to be repeated for a warm-up."""
    return case.chunks <= 20
