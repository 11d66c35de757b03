"""The client's Prometheus metrics: a hook over request events. Requests and attempts are counted apart.

Names, units and buckets follow `reference/observability.md` section 1; `docs/METRICS.md` describes each for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.llm.breaker import State
from services.llm.errors import ErrorType
from services.llm.hooks import RequestEvent

TTFT_BUCKETS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160)
"""vLLM's own time-to-first-token edges from 10 ms up, so that client and engine share a panel."""

DURATION_BUCKETS = tuple(0.01 * 2**i for i in range(16))
"""OpenTelemetry's client list, 10 ms doubling to 328 s."""

RESULTS = ("ok", "partial", "cancelled", "shed", "error")
ATTEMPTS = ("first", "fallback")


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric: `kind` is `counter`, `gauge` or `histogram`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


METRICS = (
    Definition(
        name="llm_requests_total",
        kind="counter",
        labels=("service", "provider", "result"),
        help="Requests of services by the provider that finally served them and how they ended",
    ),
    Definition(
        name="llm_request_duration_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="A request end to end, failed tries included",
        buckets=DURATION_BUCKETS,
    ),
    Definition(
        name="llm_time_to_first_token_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="From the request to its first content token, failed tries included; streams only",
        buckets=TTFT_BUCKETS,
    ),
    Definition(
        name="llm_attempts_total",
        kind="counter",
        labels=("service", "provider", "attempt", "error_type"),
        help="Tries at one provider, by whether it was asked first and how the try ended",
    ),
    Definition(
        name="llm_attempt_duration_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="One try at one provider that answered",
        buckets=DURATION_BUCKETS,
    ),
    Definition(
        name="llm_attempt_time_to_first_token_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="From the start of a try to its first content token; streams only",
        buckets=TTFT_BUCKETS,
    ),
    Definition(
        name="llm_fallbacks_total",
        kind="counter",
        labels=("service", "from", "to", "reason"),
        help="Answers given by a later provider of the chain, with why the first did not",
    ),
    Definition(
        name="llm_tokens_total",
        kind="counter",
        labels=("service", "provider", "type"),
        help="Tokens as the engines counted them; type is input or output",
    ),
    Definition(
        name="llm_breaker_open",
        kind="gauge",
        labels=("service", "provider"),
        help="1 while the breaker keeps requests away from the provider",
    ),
    Definition(
        name="llm_breaker_transitions_total",
        kind="counter",
        labels=("service", "provider", "to_state"),
        help="Breaker state changes; shows a flapping engine between two scrapes",
    ),
)


class Metrics:
    """Give `observe` to the client as a hook, `breaker_changed` to its links. Label children exist from the start."""

    def __init__(self, registry: CollectorRegistry, *, service: str, providers: Sequence[str]) -> None:
        self._service = service
        made = {d.name: _make(d, registry) for d in METRICS}
        self._counters = {n: m for n, m in made.items() if isinstance(m, Counter)}
        self._gauges = {n: m for n, m in made.items() if isinstance(m, Gauge)}
        self._histograms = {n: m for n, m in made.items() if isinstance(m, Histogram)}
        self._register_zeros(providers)

    def observe(self, event: RequestEvent) -> None:
        """Count one ended request and its attempts."""
        served = event.provider or "none"
        self._count("llm_requests_total", served, event.result)
        self._time("llm_request_duration_seconds", served, event.duration_s)
        if event.first_token_s is not None:
            self._time("llm_time_to_first_token_seconds", served, event.first_token_s)
        for attempt in event.attempts:
            which = "first" if attempt.provider == event.chain[0] else "fallback"
            error = str(attempt.error.type if attempt.error else ErrorType.NONE)
            self._count("llm_attempts_total", attempt.provider, which, error)
            if attempt.error is None:
                self._time("llm_attempt_duration_seconds", attempt.provider, attempt.duration_s)
            if attempt.first_token_s is not None:
                self._time("llm_attempt_time_to_first_token_seconds", attempt.provider, attempt.first_token_s)
        if event.fallback_reason is not None:
            self._count("llm_fallbacks_total", event.chain[0], served, event.fallback_reason)
        self._count("llm_tokens_total", served, "input", by=event.usage.prompt_tokens or 0)
        self._count("llm_tokens_total", served, "output", by=event.usage.completion_tokens or 0)

    def breaker_changed(self, provider: str, state: State) -> None:
        self._gauges["llm_breaker_open"].labels(self._service, provider).set(state is State.OPEN)
        self._count("llm_breaker_transitions_total", provider, str(state))

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        self._counters[name].labels(self._service, *labels).inc(by)

    def _time(self, name: str, provider: str, seconds: float) -> None:
        self._histograms[name].labels(self._service, provider).observe(seconds)

    def _register_zeros(self, providers: Sequence[str]) -> None:
        """Rates and ratios must exist before the first error does."""
        for provider in providers:
            for result in RESULTS:
                self._count("llm_requests_total", provider, result, by=0)
            for which in ATTEMPTS:
                for error in ErrorType:
                    self._count("llm_attempts_total", provider, which, str(error), by=0)
            for type in ("input", "output"):
                self._count("llm_tokens_total", provider, type, by=0)
            for state in State:
                self._count("llm_breaker_transitions_total", provider, str(state), by=0)
            for histogram in self._histograms.values():
                histogram.labels(self._service, provider)
            self._gauges["llm_breaker_open"].labels(self._service, provider).set(0)


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
