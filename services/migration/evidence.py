"""Weighs the canary against its control: an e-process over counters, valid at every look. Pure.

Two questions are asked of each kind of badness (an error, a slow answer, a slow first chunk), and the smaller answer
counts, so that an engine goes back only when it is worse than its control *and* beyond the gate's own margin:

- `worse`: are the odds of a bad request higher at vLLM than at Ollama in the same moment? Within one reading of the
  counters the number of bad requests is taken as given; who has them is then, between equal engines, a draw without
  replacement. e = product over readings of w^x / E[w^X], X hypergeometric: the likelihood ratio of Fisher's noncentral
  law at odds ratio w. With one request on each side it is (2q)^x (2(1-q))^(n-x) over discordant pairs, q = w/(1+w).
  A machine that has a bad hour moves both arms together and so moves nothing.
- `beyond`: does more than a share `limit` of vLLM's requests go bad? e = product over readings of
  (p/limit)^x ((1-p)/(1-limit))^(n-x).

Promotion asks the question the other way round, by the same means: `surely_below` is the smallest limit against
which the requests so far speak with an e-value of 1 / (1 - level), so it too may be looked at after every reading.

Each is averaged over a grid of alternatives. Every factor has mean <= 1 given the past while vLLM is no worse (or
within the limit), so P(e ever >= 100) <= 1 % however often it is looked at (Ville 1939). The minimum of the two and an
average over kinds keep that. Sources: ter Schure, Perez-Ortiz, Ly, Grünwald, The anytime-valid logrank test
(arXiv:2011.06931, ties by the noncentral hypergeometric law); Turner, Ly, Grünwald, Generic e-variables for exact
sequential k-sample tests (arXiv:2106.02693); Waudby-Smith and Ramdas, Estimating means of bounded random variables by
betting (arXiv:2010.09686). What is assumed: a request's arm says nothing about it but the engine, and bad ones
come singly within an arm. One user with one bad document, asking again and again under one sticky key, breaks that; so
does one short outage of one engine, which is why `stages` asks for as many bad requests as end a row before it believes
an e-value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize, special  # type: ignore[import-untyped]

ODDS = (1.5, 2.0, 3.0, 5.0, 8.0, 15.0, 40.0, 200.0)
"""The alternatives, as odds ratios: from what takes thousands of requests to see up to a dead engine."""

EDGE = 1e-9
"""How near to 0 and 1 a share is looked for."""

EVEN = (0.0,) * len(ODDS)
KINDS = ("errors", "slow", "slow first chunk")
BELOW = ((0.0, 0.46), (0.25, 0.27), (0.5, 0.17), (0.75, 0.1))
"""How far below a limit an engine may lie, as shares of it, and what part of the stake each takes."""

LEAST_TIMED = 20
"""Answers of the control before its 95 % quantile means anything: one of twenty lies beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Requests of one arm in one reading, and how many of them were bad."""

    n: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One kind of badness since the step began: log e-values by alternative, and what they were computed from."""

    worse: tuple[float, ...] = EVEN
    beyond: tuple[float, ...] = EVEN
    candidate: Seen = field(default_factory=Seen)
    control: Seen = field(default_factory=Seen)

    def after(self, candidate: Seen, control: Seen, *, limit: float) -> Process:
        """The process after one more reading. `limit` is the share of bad requests that the gate allows."""
        return Process(
            worse=_sum(self.worse, _worse(candidate, control)),
            beyond=_sum(self.beyond, _beyond(candidate, limit)),
            candidate=_added(self.candidate, candidate),
            control=_added(self.control, control),
        )

    def e_value(self, *, alone: bool) -> float:
        """The evidence against vLLM. `alone`: nobody asks the control first, so only the limit can be asked about."""
        beyond = _mean(self.beyond)
        return beyond if alone else min(beyond, _mean(self.worse))

    def said(self) -> str:
        a, b = self.candidate, self.control
        return f"{a.bad} of {a.n} at vLLM, {b.bad} of {b.n} at Ollama"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All kinds of one step."""

    processes: Mapping[str, Process] = field(default_factory=lambda: dict.fromkeys(KINDS, Process()))

    def after(self, kind: str, candidate: Seen, control: Seen, *, limit: float) -> Evidence:
        moved = self.processes[kind].after(candidate, control, limit=limit)
        return replace(self, processes={**self.processes, kind: moved})

    def e_value(self, *, looks: int, alone: bool = False) -> float:
        """The average over kinds, divided by `looks`: the steps of one canary, which share the one per cent.

        Averaging e-processes that begin one after the other, each worth 1 until then, is an e-process again.
        """
        total = sum(p.e_value(alone=alone) for p in self.processes.values())
        return total / len(self.processes) / looks

    def strongest(self, *, alone: bool = False) -> tuple[str, Process]:
        """The kind that speaks loudest against vLLM."""
        return max(self.processes.items(), key=lambda item: item[1].e_value(alone=alone))


def threshold(buckets: Mapping[float, float], *, margin: float) -> float | None:
    """From where an answer is slow: the first bucket edge at or above `margin` times the control's 95 % quantile.

    `buckets` are cumulative counts by upper edge in seconds, as Prometheus gives them; the quantile is interpolated
    inside its bucket. No more than 5 % beyond the edge is then the gate's own margin on q95. None without enough data.
    """
    edges = sorted(e for e in buckets if math.isfinite(e))
    n = buckets.get(math.inf, 0.0)
    if n < LEAST_TIMED or not edges:
        return None
    wanted, below, low = 0.95 * n, 0.0, 0.0
    for edge in edges:
        count = buckets[edge]
        if count >= wanted:
            slow = margin * (low + (edge - low) * (wanted - below) / (count - below))
            return next((e for e in edges if e >= slow), None)
        below, low = count, edge
    return None


def surely_below(seen: Seen, *, level: float) -> float:
    """The smallest limit that the bad requests of one arm surely lie below, at every look of a step together.

    Surely: where the true share is at or above the limit, this says so in no more than 1 - level of all steps, however
    often it is asked (Ville). The price of looking: without a bad one 348 requests bound the share at 1 %, not 299.
    1.0 before the first request, and where nearly all are bad.
    """

    def beyond(limit: float) -> float:
        return _for_below(seen, limit) + math.log1p(-level)

    lowest, highest = seen.bad / seen.n + EDGE if seen.n else 1.0, 1 - EDGE
    if lowest >= highest or beyond(highest) < 0:
        return 1.0
    return float(optimize.brentq(beyond, lowest, highest))


def _for_below(seen: Seen, limit: float) -> float:
    """Log of the e-value against a share of at least `limit`: an average of likelihood ratios by the totals."""
    good = seen.n - seen.bad
    logs = [
        math.log(stake) + (seen.bad * math.log(part) if part else 0.0)
        + good * (math.log1p(-part * limit) - math.log1p(-limit))
        for part, stake in BELOW if part or not seen.bad
    ]  # fmt: skip
    return float(special.logsumexp(logs))


def above(buckets: Mapping[float, float], edge: float) -> Seen:
    """How many of the answers in a histogram took longer than `edge` seconds."""
    n = round(buckets.get(math.inf, 0.0))
    return Seen(n=n, bad=min(n, max(0, n - round(buckets.get(edge, 0.0)))))


def _worse(candidate: Seen, control: Seen) -> tuple[float, ...]:
    """Log of w^x / E[w^X] by alternative. 0 where an arm was not asked: nothing to compare with."""
    n, bad = candidate.n + control.n, candidate.bad + control.bad
    if not candidate.n or not control.n or not bad or bad == n:
        return EVEN
    support = np.arange(max(0, bad - control.n), min(bad, candidate.n) + 1)
    law = _choose(bad, support) + _choose(n - bad, candidate.n - support) - _choose(n, candidate.n)
    logs = np.log(np.asarray(ODDS))
    norms = special.logsumexp(law[:, None] + support[:, None] * logs, axis=0)
    return tuple(float(v) for v in candidate.bad * logs - norms)


def _choose(n: int, k: npt.NDArray[np.int64] | int) -> npt.NDArray[np.float64]:
    """Log of n over k."""
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1), dtype=np.float64)


def _beyond(candidate: Seen, limit: float) -> tuple[float, ...]:
    """Log likelihood ratios of rates whose odds are so many times those of `limit`."""
    odds = limit / (1 - limit)
    rates = [w * odds / (1 + w * odds) for w in ODDS]
    good = candidate.n - candidate.bad
    return tuple(candidate.bad * math.log(p / limit) + good * math.log((1 - p) / (1 - limit)) for p in rates)


def _sum(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _added(a: Seen, b: Seen) -> Seen:
    return Seen(n=a.n + b.n, bad=a.bad + b.bad)


def _mean(logs: tuple[float, ...]) -> float:
    """The average of e-values given by their logs; capped, for JSON knows no infinity."""
    most = max(logs)
    return float(math.exp(min(most, 600.0)) * sum(math.exp(v - most) for v in logs) / len(logs))
