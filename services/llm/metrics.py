"""The client's Prometheus metrics: a hook over request events. Requests and attempts are counted apart.

Names, units and buckets follow `reference/observability.md` section 1; `docs/METRICS.md` describes each for people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.llm.breaker import State
from services.llm.errors import BusyError, ErrorType
from services.llm.hooks import Operation, RequestEvent, Result
from services.llm.limits import AimdLimit
from services.llm.measures import METRICS, BeforeEach, made
from services.llm.routing import MEASURED as MEASURED_ROUTE
from services.llm.types import Attempt, Outcome, Usage

MEASURED = "measured"
"""Every try of a measuring request: what the gate and the doctor ask is no user's traffic, so no canary's evidence."""

FIRST = "first"
ATTEMPTS = (FIRST, "fallback", "repair", MEASURED)
UPSTREAM_503 = "upstream_503"
SHED_REASONS = ("queue_full", "deadline", UPSTREAM_503)

LONGEST_ID = 64
"""Characters of a request id. OpenMetrics allows 128 for an exemplar, its label's name included."""

Example = dict[str, str] | None
"""The request that a count came from, shown where the page is OpenMetrics: leads from a slow bucket to its log line."""


class Metrics:
    """Give `observe` to the client as a hook, `breaker_changed` to its links, `shed` to its limits.

    `models` are the aliases that the service asks. Label children exist from the start: a rate must be zero before the
    first error, not absent.
    """

    def __init__(
        self, registry: CollectorRegistry, *, service: str, providers: Sequence[str], models: Sequence[str]
    ) -> None:
        self._service = service
        registry.register(BeforeEach([self._levels_now]))
        found = {d.name: made(d, registry) for d in METRICS}
        self._counters = {n: m for n, m in found.items() if isinstance(m, Counter)}
        self._gauges = {n: m for n, m in found.items() if isinstance(m, Gauge)}
        self._histograms = {n: m for n, m in found.items() if isinstance(m, Histogram)}
        self._children: dict[tuple[str, ...], Any] = {}
        self._replays: dict[str, tuple[Callable[[], int], int]] = {}
        self._open: dict[str, int] = {}
        self._limits: dict[str, AimdLimit] = {}
        self._register_zeros(providers, models)

    def watch(self, provider: str, limit: AimdLimit, replays: Callable[[], int]) -> None:
        """Show what a provider's limit does, and how often its connections were found gone."""
        self._limits[provider] = limit
        self._replays[provider] = (replays, 0)

    def observe(self, event: RequestEvent) -> None:
        """Count one ended request and its attempts."""
        served = event.provider or "none"
        example = _example(event.request_id)
        self._count("llm_requests_total", served, event.operation, event.result, example=example)
        self._time("llm_request_duration_seconds", event.duration_s, served, event.operation, example=example)
        if event.first_token_s is not None:
            self._time("llm_time_to_first_chunk_seconds", event.first_token_s, served, example=example)
        if event.stream and event.outcome is not None:
            self._count("llm_streams_total", event.outcome)
        if event.attempts:
            self._time("llm_queue_wait_seconds", event.queued_s)
        for attempt in event.attempts:
            self._attempt(event, attempt, example)
        if event.fallback_reason is not None:
            asked = event.chain[0], served, event.fallback_reason, MEASURED if _measured(event) else FIRST
            self._count("llm_fallbacks_total", *asked, example=example)
        self._count_replays()

    def breaker_changed(self, provider: str, state: State) -> None:
        """A provider has one breaker per model; the gauge shows whether any of them is open."""
        self._open[provider] = self._open.get(provider, 0) + (1 if state is State.OPEN else -1)
        self._gauges["llm_breaker_open"].labels(self._service, provider).set(self._open[provider] > 0)
        self._count("llm_breaker_transitions_total", provider, state)

    def shed(self, reason: str) -> None:
        """An attempt was not made: `queue_full` or `deadline`."""
        self._count("llm_shed_total", reason)

    def _levels_now(self) -> None:
        """Written down when looked at, not read through functions: those do not reach another worker's page."""
        for provider, limit in self._limits.items():
            now = {
                "llm_in_flight_requests": limit.in_flight,
                "llm_queue_depth": limit.queued,
                "llm_concurrency_limit": int(limit.limit),
            }
            for name, value in now.items():
                self._child(self._gauges, name, (provider,)).set(value)

    def _attempt(self, event: RequestEvent, attempt: Attempt, example: Example) -> None:
        provider, error, kind = attempt.provider, attempt.error, _kind(event, attempt)
        ended = error.type if error else ErrorType.NONE
        self._count("llm_attempts_total", provider, kind, ended, example=example)
        if isinstance(error, BusyError):
            self._count("llm_shed_total", UPSTREAM_503)
        for param in attempt.dropped:
            self._count("llm_params_dropped_total", provider, param)
        if attempt.first_token_s is not None:
            waited_s = attempt.first_token_s
            self._time("llm_attempt_time_to_first_chunk_seconds", waited_s, provider, kind, example=example)
        if attempt.longest_gap_s is not None:
            self._time("llm_attempt_longest_gap_seconds", attempt.longest_gap_s, provider)
        if attempt.usage is not None:
            self._used(event, attempt, attempt.usage)
        if error is None:
            self._time("llm_attempt_duration_seconds", attempt.duration_s, provider, kind, example=example)

    def _used(self, event: RequestEvent, attempt: Attempt, usage: Usage) -> None:
        provider = attempt.provider
        if usage.prompt_tokens is None:
            self._count("llm_usage_missing_total", provider)
        self._count("llm_tokens_total", provider, event.alias, "input", by=usage.prompt_tokens or 0)
        tokens = usage.completion_tokens or 0
        self._count("llm_tokens_total", provider, event.alias, "output", by=tokens)
        if attempt.first_token_s is not None and tokens > 1:
            per_token_s = (attempt.duration_s - attempt.first_token_s) / (tokens - 1)
            self._time("llm_attempt_time_per_output_token_seconds", per_token_s, provider)

    def _count_replays(self) -> None:
        for provider, (read, seen) in self._replays.items():
            now = read()
            if now != seen:
                self._count("llm_retries_total", provider, by=now - seen)
                self._replays[provider] = (read, now)

    def _count(self, name: str, *labels: str, by: float = 1, example: Example = None) -> None:
        self._child(self._counters, name, labels).inc(by, example)

    def _time(self, name: str, seconds: float, *labels: str, example: Example = None) -> None:
        self._child(self._histograms, name, labels).observe(seconds, example)

    def _child(self, of: Mapping[str, Any], name: str, labels: tuple[str, ...]) -> Any:
        """The series of these labels. Kept, because finding it anew costs more than counting."""
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = of[name].labels(self._service, *map(str, labels))
        return child

    def _register_zeros(self, providers: Sequence[str], models: Sequence[str]) -> None:
        values: dict[str, Sequence[str]] = {
            "provider": providers,
            "model": models,
            "operation": tuple(Operation),
            "attempt": ATTEMPTS,
            "error_type": tuple(ErrorType),
            "type": ("input", "output"),
            "to_state": tuple(State),
        }
        own = {"llm_requests_total": Result, "llm_streams_total": Outcome}
        for definition in METRICS:
            known = {
                **values,
                "outcome": tuple(own.get(definition.name, ())),
                "reason": SHED_REASONS if definition.name == "llm_shed_total" else (),
            }
            kinds = [known.get(label, ()) for label in definition.labels[1:]]
            metric = self._counters.get(definition.name) or self._gauges.get(definition.name)
            for labels in (
                _fallbacks(providers) if definition.name == "llm_fallbacks_total" else itertools.product(*kinds)
            ):
                (metric or self._histograms[definition.name]).labels(self._service, *map(str, labels))


def _measured(event: RequestEvent) -> bool:
    return event.route.startswith(MEASURED_ROUTE)


def _kind(event: RequestEvent, attempt: Attempt) -> str:
    """The `attempt` label of one try."""
    if _measured(event):
        return MEASURED
    if attempt.repair:
        return "repair"
    return FIRST if attempt.provider == event.chain[0] else "fallback"


def _fallbacks(providers: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """From each provider to each other, for every reason that there is, of users and of measuring requests."""
    reasons = [error for error in ErrorType if error is not ErrorType.NONE]
    pairs = itertools.permutations(providers, 2)
    return ((a, b, reason, asked) for (a, b), reason, asked in itertools.product(pairs, reasons, (FIRST, MEASURED)))


def _example(request_id: str) -> Example:
    return {"request_id": request_id} if 0 < len(request_id) <= LONGEST_ID else None
