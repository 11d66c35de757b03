"""A canary against an engine that is exactly as good: whoever rolls it back was fooled. For calibration.

Every request goes to one of two equal engines on one noisy machine; in slow spells both answer late and both fail more
often. The counters of each reading go the controller's own way: `facts.Watch`, then `stages.decide`.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections import Counter
from collections.abc import Iterator

from services.llm.errors import ErrorType
from services.llm.rollout import Stage, Standing
from services.llm.routing import OLLAMA, VLLM
from services.migration import facts, gates
from services.migration.gates import Policy
from services.migration.simulated import Noise, machine
from services.migration.stages import Action, Facts, decide
from services.migration.verdict import Outcome

A_READING = 40
"""Requests between two readings of the counters."""

ENOUGH = 400
"""Requests at vLLM after which a step that was not promoted is left, so that every step is tried."""

MEDIAN_S = 2.0
SPREAD = 0.25
QUIET, BUSY = 0.002, 0.03
"""Share of failed requests at either engine while the machine is quiet, and while it is slow or stands still."""


def equal_rolls_back(noise: Noise, seed: int) -> bool:
    """Whether a canary of equal engines is rolled back anywhere on its way, from the first step to the holdback."""
    policy = gates.load().policy
    generator = random.Random(seed * 104_729 + 3)
    requests = _requests(generator, noise)
    shares = [*policy.steps[:-1], 1.0 - policy.holdback]
    return any(_step(share, requests, generator, policy) for share in shares)


def _step(share: float, requests: Iterator[tuple[bool, float]], generator: random.Random, policy: Policy) -> bool:
    """One step of the canary, reading by reading, until it is promoted, rolled back or has seen enough."""
    stage = Stage.CANARY if share <= policy.steps[-2] else Stage.FULL
    standing = Standing(stage=stage, share=share, verdict="v")
    counters: Counter[str] = Counter()
    watch = facts.begin({})
    while watch.candidate.requests < ENOUGH:
        for _ in range(A_READING):
            _count(counters, VLLM if generator.random() < share else OLLAMA, *next(requests))
        watch = watch.advanced(_page(counters), policy)
        known = Facts(
            candidate=watch.candidate, control=watch.control, evidence=watch.evidence, doctor_failed=False,
            verdict=Outcome.PASS, verdict_id="v", fresh=True,
        )  # fmt: skip
        action = decide(standing, known, policy).action
        if action is not Action.HOLD:
            return action is Action.ROLLBACK
    return False


def _requests(generator: random.Random, noise: Noise) -> Iterator[tuple[bool, float]]:
    """Whether a request fails and how many seconds it takes, whoever answers it."""
    for slowed, halted in machine(noise, generator):
        busy = slowed > 1.5 or halted > 0
        took = MEDIAN_S * (generator.lognormvariate(0, SPREAD) * slowed + halted)
        yield generator.random() < (BUSY if busy else QUIET), took


def _count(counters: Counter[str], engine: str, failed: bool, took: float) -> None:
    """One request: how it ended, and into which bucket of each histogram it falls."""
    if failed:
        counters[f"first/{engine}/{ErrorType.HTTP_5XX}"] += 1
        return
    counters[f"first/{engine}/{ErrorType.NONE}"] += 1
    for kind, seconds in (("slow", took), ("chunk", took / 3)):
        edges = facts.EDGES[kind]
        counters[f"{kind}/{engine}/{float(edges[bisect.bisect_left(edges, seconds)])}"] += 1


def _page(counters: Counter[str]) -> dict[str, float]:
    """The counters as a service shows them: histograms cumulated from edge to edge."""
    page = {key: float(n) for key, n in counters.items() if key.startswith("first/")}
    for kind, edges in facts.EDGES.items():
        for engine in (VLLM, OLLAMA):
            keys = [f"{kind}/{engine}/{float(edge)}" for edge in edges]
            shown = zip(keys, itertools.accumulate(counters[key] for key in keys), strict=True)
            page.update({key: float(n) for key, n in shown if n})
    return page
