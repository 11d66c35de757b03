"""What is kept of each request beside Locust's table: every number of it, and who answered how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

NOBODY = "(nobody)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request. `problem` is None when it succeeded.

    Times in milliseconds from the moment it was due: in a closed loop that is when it was sent, in an open one when the
    schedule said so; `lag_ms` is what lies between. `round` and `position` are None outside of rounds.
    """

    at: float
    service: str
    item: str
    arm: str
    status: int
    problem: str | None
    headers_ms: float
    duration_ms: float
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    first_chunk_ms: float | None = None
    last_token_ms: float | None = None
    last_chunk_ms: float | None = None
    lag_ms: float = 0.0
    round: int | None = None
    position: int | None = None
    worker: int = 0
    restarts: int = 0
    outcome: str | None = None
    llm: Mapping[str, Any] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        return str(self.llm.get("provider") or NOBODY)

    @property
    def fell_back(self) -> bool:
        return self.llm.get("fallback_reason") is not None


class Tally:
    """Counts answers by service and provider. A worker's counts travel to its master with `drain` and `add`."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, record: Record) -> None:
        key = (record.service, record.provider)
        self._counts[*key, "failures" if record.problem else "answers"] += 1
        if record.fell_back and not record.problem:
            self._counts[*key, "fallbacks"] += 1

    def drain(self) -> list[list[Any]]:
        """All counts as plain lists, and forget them."""
        drained = [[*key, n] for key, n in self._counts.items()]
        self._counts.clear()
        return drained

    def add(self, drained: Iterable[Iterable[Any]]) -> None:
        for service, provider, kind, n in drained:
            self._counts[service, provider, kind] += n

    def lines(self) -> list[str]:
        """A table for people; empty when nothing was counted."""
        if not self._counts:
            return []
        table = [f"{'Service':10}{'Answered by':14}{'answers':>9}{'fallbacks':>11}{'failures':>10}"]
        for service, provider in sorted({key[:2] for key in self._counts}):
            n = [self._counts[service, provider, kind] for kind in ("answers", "fallbacks", "failures")]
            table.append(f"{service:10}{provider:14}{n[0]:>9}{n[1]:>11}{n[2]:>10}")
        return table
