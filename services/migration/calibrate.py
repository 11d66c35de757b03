"""Measures the judge: engines whose truth is known, two noise models, many seeds; how often is it wrong?

Every run is judged as the gate judges it: at each planned look in turn, and no further once it is decided.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from services.migration import looks, simulated_canary, stats
from services.migration.judge import judge
from services.migration.records import Record, Run
from services.migration.simulated import Change, Noise, World, candidate, dead, fallback, other_template, simulated
from services.migration.verdict import Outcome

LEVEL = 0.975
"""One-sided level of the printed bounds of a rate: 95 % two-sided."""

DEFAULT_SEEDS = 60
"""Seeds for each engine and noise model: what two busy cores manage in three minutes."""

WORKERS = 2
OnProgress = Callable[[int, int, str], None]
"""Told now and then: runs done, runs in all, a note."""


def now_and_then(record: Record) -> Record:
    """One answer in twenty comes from the fallback; else the engine is twice as fast."""
    return fallback(record) if (record.round * 10 + record.position) % 20 == 7 else record


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A pair of engines with a known truth. `long` has 40 rounds, enough answers that a pass is possible at all."""

    world: World
    change: Change | None = None


@functools.cache
def subjects() -> Mapping[str, Subject]:
    """Every pair of engines by name."""
    short, long = World(rounds=20, block=10), World(rounds=40, block=10)
    return {
        "identical": Subject(world=short),
        "10 % worse": Subject(world=replace(long, slower=1.1)),
        "30 % worse": Subject(world=replace(short, slower=1.3)),
        "30 % worse, 40 rounds": Subject(world=replace(long, slower=1.3)),
        "40 % better": Subject(world=replace(long, slower=0.6)),
        "dead": Subject(world=long, change=candidate(dead)),
        "fallback serves all": Subject(world=long, change=candidate(fallback)),
        "fallback serves 5 %": Subject(world=replace(long, slower=0.5), change=candidate(now_and_then)),
        "other template": Subject(world=replace(short, slower=0.5), change=candidate(other_template)),
        "70x in 2 % of requests": Subject(world=replace(long, rare=0.02)),
        "70x in 2 %, else faster": Subject(world=replace(long, rare=0.02, slower=0.6)),
        "doubled variance": Subject(world=replace(long, scatter=2.0)),
        "2 % misshapen, else faster": Subject(world=replace(long, misshapen=0.02, slower=0.6)),
        "10 % of answers lost, else faster": Subject(world=replace(long, lost=0.1, slower=0.6)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a rate should be: at most `most`, or at least `least`. Neither: it is shown only."""

    most: float | None = None
    least: float | None = None

    def met(self, low: float, high: float) -> bool:
        """Whether all of an interval is within the target; a point is an interval too."""
        return (self.most is None or high <= self.most) and (self.least is None or low >= self.least)

    def __str__(self) -> str:
        if self.most is not None:
            return "never" if self.most == 0 else f"at most {self.most:.1%}"
        return "-" if self.least is None else f"at least {self.least:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How often do these subjects get one of these outcomes?"""

    subjects: tuple[str, ...]
    outcomes: frozenset[Outcome]
    target: Target


NEVER = Target(most=0.0)
PASS, FAIL = frozenset({Outcome.PASS}), frozenset({Outcome.FAIL})
QUESTIONS: Mapping[str, Question] = {
    "identical_fail": Question(subjects=("identical",), outcomes=FAIL, target=Target(most=0.02)),
    "worse30_pass": Question(subjects=("30 % worse", "30 % worse, 40 rounds"), outcomes=PASS, target=NEVER),
    "worse30_fail": Question(subjects=("30 % worse",), outcomes=FAIL, target=Target(least=0.80)),
    "fallback_pass": Question(subjects=("fallback serves all", "fallback serves 5 %"), outcomes=PASS, target=NEVER),
    "template_not_invalid": Question(
        subjects=("other template",),
        outcomes=frozenset({Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE}),
        target=NEVER,
    ),
    "rare70x_pass": Question(
        subjects=("70x in 2 % of requests", "70x in 2 %, else faster"), outcomes=PASS, target=NEVER
    ),
    "variance2x_pass": Question(subjects=("doubled variance",), outcomes=PASS, target=NEVER),
    "misshapen2_pass": Question(subjects=("2 % misshapen, else faster",), outcomes=PASS, target=NEVER),
    "lost10_pass": Question(subjects=("10 % of answers lost, else faster",), outcomes=PASS, target=NEVER),
    "worse10_pass": Question(subjects=("10 % worse",), outcomes=PASS, target=Target(most=0.025)),
    "dead_pass": Question(subjects=("dead",), outcomes=PASS, target=NEVER),
    "dead_fail": Question(subjects=("dead",), outcomes=FAIL, target=Target()),
    "better40_pass": Question(subjects=("40 % better",), outcomes=PASS, target=Target()),
}
CANARY = "canary_equal_rollback"
CANARY_TARGET = Target(most=0.015)
ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often something came up: `count` of `n`, with exact bounds (Clopper and Pearson 1934)."""

    count: int
    n: int
    target: Target

    @property
    def rate(self) -> float:
        return self.count / self.n

    @property
    def bounds(self) -> stats.Interval:
        return stats.clopper_pearson(self.count, self.n, level=LEVEL)

    @property
    def met(self) -> bool:
        """By the point rate."""
        return self.target.met(self.rate, self.rate)

    def said(self) -> str:
        """Met or not, and whether so many seeds can show it at all. That something never happens none can."""
        if self.target == Target():
            return ""
        if not self.met:
            return "NOT met"
        if self.target.most == 0.0:
            return "met"
        if self.target.met(self.bounds.low, self.bounds.high):
            return "met, shown"
        return f"met, not shown{self._needed()}"

    def _needed(self) -> str:
        if self.target.most is None:
            return ""
        least = stats.needed_for_bound(0, 1, limit=self.target.most, level=LEVEL, most=100_000)
        return f": needs {least} runs" if least and least > self.n else ""

    def document(self) -> dict[str, Any]:
        bounds = self.bounds
        return {
            "rate": self.rate, "low": bounds.low, "high": bounds.high, "n": self.n, "count": self.count,
            "target": str(self.target), "met": self.met, "said": self.said(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One simulated run: a subject, or the canary, under one noise and one seed."""

    subject: str
    noise: Noise
    seed: int


def outcome(world: World, change: Change | None = None) -> Outcome:
    """What the gate would have said: judged at each look until decided."""
    run = simulated(world, change=change)
    plan = run.plan
    found = Outcome.INCONCLUSIVE
    for look in looks.looks(plan.method, rounds=len(plan.schedule), attempt=plan.attempt):
        found = judge(_until(run, look.rounds)).outcome
        if looks.decided(found):
            break
    return found


def _until(run: Run, rounds: int) -> Run:
    return replace(run, records=tuple(r for r in run.records if r.round < rounds))


def play(task: Task) -> str:
    """The outcome of one run, by name. Runs in a worker process."""
    if task.subject == CANARY:
        rolled_back = simulated_canary.equal_rolls_back(task.noise, task.seed)
        return ROLLED_BACK if rolled_back else "kept"
    subject = subjects()[task.subject]
    return str(outcome(replace(subject.world, noise=task.noise, seed=task.seed), subject.change))


def calibrate(seeds: int, *, on_progress: OnProgress, workers: int = WORKERS) -> Mapping[str, Rate]:
    """Every rate, in the order of `QUESTIONS`, the canary's last. The same seeds give the same rates."""
    tasks = [Task(subject=s, noise=n, seed=i) for i in range(seeds) for s in (*subjects(), CANARY) for n in Noise]
    found: dict[str, list[str]] = {}
    for index, (task, said) in enumerate(zip(tasks, _played(tasks, workers), strict=True), start=1):
        found.setdefault(task.subject, []).append(said)
        if index % 50 == 0 or index == len(tasks):
            on_progress(index, len(tasks), f"last: {task.subject}, {task.noise}")
    rates = {key: _rate(q, found) for key, q in QUESTIONS.items()}
    rolled = found[CANARY]
    return {**rates, CANARY: Rate(count=rolled.count(ROLLED_BACK), n=len(rolled), target=CANARY_TARGET)}


def _rate(question: Question, found: Mapping[str, Sequence[str]]) -> Rate:
    said = [outcome for subject in question.subjects for outcome in found[subject]]
    return Rate(count=sum(o in question.outcomes for o in said), n=len(said), target=question.target)


def _played(tasks: Sequence[Task], workers: int) -> Iterator[str]:
    if workers == 1:
        yield from map(play, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(play, tasks, chunksize=max(1, min(20, math.ceil(len(tasks) / workers / 8))))


def document(rates: Mapping[str, Rate]) -> dict[str, Any]:
    """What `cutover gate --calibrate --json` prints."""
    return {key: rate.document() for key, rate in rates.items()}


def all_met(rates: Mapping[str, Rate]) -> bool:
    return all(rate.met for rate in rates.values())
