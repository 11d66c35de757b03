"""When a run may be judged, and how sure each judgement must be, so that looking often errs no more often. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.migration import stats
from services.migration.gates import Method
from services.migration.records import Run, Side
from services.migration.verdict import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One planned judgement: after how many rounds, and the one-sided level of its bounds."""

    rounds: int
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The look that a run is at. `planned` is False between looks, where no result counts."""

    look: Look
    number: int
    of: int
    planned: bool


def alpha(method: Method, attempt: int) -> float:
    """What the bounds of one run may err by, one-sided.

    Each further attempt gets half of the one before, so that all attempts together never err more often than twice
    the first: measuring until it is green does not work.
    """
    return (1 - method.level) * math.pow(0.5, attempt - 1)


def looks(method: Method, *, rounds: int, attempt: int = 1) -> tuple[Look, ...]:
    """The looks of a run of that many rounds.

    Each spends its share of the run's alpha, so that by Bonferroni's inequality a wrong bound at any of them is no
    likelier than alpha, however much they depend on one another. A look below the least rounds could decide nothing;
    its share goes to the next.
    """
    found, saved = [], 0.0
    for part, share in zip(method.looks, method.spend, strict=True):
        saved += share * alpha(method, attempt)
        after = math.ceil(part * rounds)
        if after >= method.min_rounds or part == 1.0:
            found.append(Look(rounds=after, level=round(1 - saved, 9)))
            saved = 0.0
    return tuple(found)


def last_level(method: Method, attempt: int) -> float:
    """How sure the last look of a long run must be."""
    return 1 - method.spend[-1] * alpha(method, attempt)


def taken(run: Run) -> Taken:
    """Where a run stands: at one of its looks, or on the way to the next."""
    planned = looks(run.plan.method, rounds=len(run.plan.schedule), attempt=run.plan.attempt)
    begun = len({r.round for r in run.records})
    number = next((i for i, look in enumerate(planned) if look.rounds >= begun), len(planned) - 1)
    look = planned[number]
    return Taken(look=look, number=number + 1, of=len(planned), planned=run.done == look.rounds == begun)


def decided(outcome: Outcome) -> bool:
    """Whether more rounds would be wasted. A broken experiment may still mend, for example the noise floor."""
    return outcome in (Outcome.PASS, Outcome.FAIL)


def could_pass(run: Run) -> bool:
    """Whether a run reached a look with enough answers to pass, had none failed: such a run was an attempt."""
    planned = looks(run.plan.method, rounds=len(run.plan.schedule), attempt=run.plan.attempt)
    reached = [look for look in planned if look.rounds <= run.done]
    n = sum(r.side is Side.CANDIDATE for r in run.latest())
    limit = run.plan.margin("errors")
    return bool(reached) and stats.clopper_pearson(0, n, level=reached[-1].level).high <= limit
