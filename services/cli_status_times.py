"""Time to first token by provider, out of the services' own `/metrics`: the same histogram that dashboards read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

METRIC = "llm_attempt_time_to_first_chunk_seconds"
WINDOW_S = 300.0
ENOUGH_S = 60.0
"""How long somebody has to have looked before that says more than all time."""

Buckets = Mapping[str, Mapping[float, float]]
"""Provider -> upper edge in seconds -> how many streams had their first token within it, since the services started."""


def buckets(pages: Iterable[str]) -> Buckets:
    """All services' streams together. A page that is no exposition raises `ValueError`."""
    found: dict[str, dict[float, float]] = {}
    for page in pages:
        for family in text_string_to_metric_families(page):
            if family.name != METRIC:
                continue
            for sample in family.samples:
                if sample.name == f"{METRIC}_bucket":
                    edges = found.setdefault(sample.labels["provider"], {})
                    edge = float(sample.labels["le"])
                    edges[edge] = edges.get(edge, 0.0) + sample.value
    return found


def quantile(edges: Mapping[float, float], q: float) -> float | None:
    """As Prometheus' `histogram_quantile`: linear within a bucket, at most the last edge; None without data."""
    ordered = sorted(edges.items())
    total = ordered[-1][1] if ordered else 0.0
    if total <= 0:
        return None
    below, start = 0.0, 0.0
    for edge, count in ordered:
        if count >= q * total:
            if math.isinf(edge):
                return start
            return start + (edge - start) * (q * total - below) / (count - below) if count > below else edge
        below, start = count, edge
    return start


@dataclass(slots=True)
class Window:
    """What was seen of the last minutes. The first minute has too little to compare with: it tells of all time."""

    clock: Callable[[], float]
    seen: deque[tuple[float, Buckets]] = field(default_factory=deque)

    def recent(self, now: Buckets) -> tuple[Buckets, float | None]:
        """What was added since the oldest look of the window, and how many seconds ago that was; None: all time."""
        at = self.clock()
        while len(self.seen) > 1 and self.seen[1][0] <= at - WINDOW_S:
            self.seen.popleft()
        if self.seen and _began_anew(self.seen[-1][1], now):
            self.seen.clear()
        self.seen.append((at, now))
        since, before = self.seen[0]
        if at - since < ENOUGH_S:
            return now, None
        added = {p: {e: c - before.get(p, {}).get(e, 0.0) for e, c in edges.items()} for p, edges in now.items()}
        return added, at - since


def _began_anew(before: Buckets, now: Buckets) -> bool:
    """Whether a service was started again or is away, so that counts went back."""
    return any(now.get(p, {}).get(e, 0.0) < count for p, edges in before.items() for e, count in edges.items())
