"""The client's Prometheus metrics: a hook over request events. Requests and attempts are counted apart.

Names, units and buckets follow `reference/observability.md` section 1; `docs/METRICS.md` describes each for people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.llm.breaker import State
from services.llm.errors import BusyError, ErrorType
from services.llm.hooks import Operation, RequestEvent, Result
from services.llm.limits import AimdLimit
from services.llm.measures import METRICS, Definition
from services.llm.types import Attempt, Outcome, Usage

ATTEMPTS = ("first", "fallback", "repair")
UPSTREAM_503 = "upstream_503"
SHED_REASONS = ("queue_full", "deadline", UPSTREAM_503)


class Metrics:
    """Give `observe` to the client as a hook, `breaker_changed` to its links, `shed` to its limits.

    `models` are the aliases that the service asks. Label children exist from the start: a rate must be zero before the
    first error, not absent.
    """

    def __init__(
        self, registry: CollectorRegistry, *, service: str, providers: Sequence[str], models: Sequence[str]
    ) -> None:
        self._service = service
        made = {d.name: _make(d, registry) for d in METRICS}
        self._counters = {n: m for n, m in made.items() if isinstance(m, Counter)}
        self._gauges = {n: m for n, m in made.items() if isinstance(m, Gauge)}
        self._histograms = {n: m for n, m in made.items() if isinstance(m, Histogram)}
        self._children: dict[tuple[str, ...], Any] = {}
        self._replays: dict[str, tuple[Callable[[], int], int]] = {}
        self._open: dict[str, int] = {}
        self._register_zeros(providers, models)

    def watch(self, provider: str, limit: AimdLimit, replays: Callable[[], int]) -> None:
        """Show what a provider's limit does, and how often its connections were found gone."""
        shown = {
            "llm_in_flight_requests": lambda: limit.in_flight,
            "llm_queue_depth": lambda: limit.queued,
            "llm_concurrency_limit": lambda: int(limit.limit),
        }
        for name, read in shown.items():
            self._gauges[name].labels(self._service, provider).set_function(read)
        self._replays[provider] = (replays, 0)

    def observe(self, event: RequestEvent) -> None:
        """Count one ended request and its attempts."""
        served = event.provider or "none"
        self._count("llm_requests_total", served, event.operation, event.result)
        self._time("llm_request_duration_seconds", event.duration_s, served, event.operation)
        if event.first_token_s is not None:
            self._time("llm_time_to_first_chunk_seconds", event.first_token_s, served)
        if event.stream and event.outcome is not None:
            self._count("llm_streams_total", event.outcome)
        if event.attempts:
            self._time("llm_queue_wait_seconds", event.queued_s)
        for attempt in event.attempts:
            self._attempt(event, attempt)
        if event.fallback_reason is not None:
            self._count("llm_fallbacks_total", event.chain[0], served, event.fallback_reason)
        self._count_replays()

    def breaker_changed(self, provider: str, state: State) -> None:
        """A provider has one breaker per model; the gauge shows whether any of them is open."""
        self._open[provider] = self._open.get(provider, 0) + (1 if state is State.OPEN else -1)
        self._gauges["llm_breaker_open"].labels(self._service, provider).set(self._open[provider] > 0)
        self._count("llm_breaker_transitions_total", provider, state)

    def shed(self, reason: str) -> None:
        """An attempt was not made: `queue_full` or `deadline`."""
        self._count("llm_shed_total", reason)

    def _attempt(self, event: RequestEvent, attempt: Attempt) -> None:
        provider, error = attempt.provider, attempt.error
        first = "first" if provider == event.chain[0] else "fallback"
        self._count(
            "llm_attempts_total",
            provider,
            "repair" if attempt.repair else first,
            error.type if error else ErrorType.NONE,
        )
        if isinstance(error, BusyError):
            self._count("llm_shed_total", UPSTREAM_503)
        for param in attempt.dropped:
            self._count("llm_params_dropped_total", provider, param)
        if attempt.first_token_s is not None:
            self._time("llm_attempt_time_to_first_chunk_seconds", attempt.first_token_s, provider)
        if attempt.longest_gap_s is not None:
            self._time("llm_attempt_longest_gap_seconds", attempt.longest_gap_s, provider)
        if attempt.usage is not None:
            self._used(event, attempt, attempt.usage)
        if error is None:
            self._time("llm_attempt_duration_seconds", attempt.duration_s, provider)

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

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        self._child(self._counters, name, labels).inc(by)

    def _time(self, name: str, seconds: float, *labels: str) -> None:
        self._child(self._histograms, name, labels).observe(seconds)

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
            made = self._counters.get(definition.name) or self._gauges.get(definition.name)
            for labels in itertools.product(*kinds):
                (made or self._histograms[definition.name]).labels(self._service, *map(str, labels))


def _make(definition: Definition, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match definition.kind:
        case "counter":
            return Counter(definition.name, definition.help, definition.labels, registry=registry)
        case "gauge":
            return Gauge(definition.name, definition.help, definition.labels, registry=registry)
        case "histogram":
            return Histogram(
                definition.name, definition.help, definition.labels, registry=registry, buckets=definition.buckets
            )
        case other:
            raise ValueError(f"{definition.name}: no metric kind {other!r}")
