"""The table of the client's metrics: names, labels, buckets and meaning. `docs/METRICS.md` describes each for people.

Names, units and buckets follow `reference/observability.md` section 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

Workers = Literal["livesum", "livemax", "livemin"]

TTFC_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
"""vLLM's own time-to-first-token edges, so that client and engine share a panel."""

TPOT_BUCKETS = (
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80),
)
"""vLLM's inter-token edges, and two below them for a fast GPU."""

DURATION_BUCKETS = tuple(0.01 * 2**i for i in range(16))
"""OpenTelemetry's client list, 10 ms doubling to 328 s."""

ATTEMPT_BUCKETS = tuple(float(f"{0.01 * 2 ** (i / 3):.5g}") for i in range(46))
"""The same with two edges between each two, 26 % apart: a canary's guard tells slow answers by them, and between edges
that double it did not see an engine that took three times as long."""

ATTEMPT_TTFC_BUCKETS = tuple(sorted({*TTFC_BUCKETS, *ATTEMPT_BUCKETS[:43]}))
"""vLLM's own edges and as many between them, for the same reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric: `kind` is `counter`, `gauge` or `histogram`.

    `workers` says what a gauge of several worker processes is as one number: `livesum`, `livemax` or `livemin` over
    those that live. Prometheus' own default keeps one series per process, those of the dead included.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    workers: Workers | None = None


METRICS = (
    Definition(
        name="llm_requests_total",
        kind="counter",
        labels=("service", "provider", "operation", "outcome"),
        help="Requests of services by the provider that finally served them and how they ended",
    ),
    Definition(
        name="llm_request_duration_seconds",
        kind="histogram",
        labels=("service", "provider", "operation"),
        help="A request end to end, failed tries included",
        buckets=DURATION_BUCKETS,
    ),
    Definition(
        name="llm_time_to_first_chunk_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="From the request to its first content token, failed tries included; streams only",
        buckets=TTFC_BUCKETS,
    ),
    Definition(
        name="llm_streams_total",
        kind="counter",
        labels=("service", "outcome"),
        help="Streams that had begun, by how they ended for the reader",
    ),
    Definition(
        name="llm_attempts_total",
        kind="counter",
        labels=("service", "provider", "attempt", "error_type"),
        help="Tries at one provider, by whether it was asked first, or for a measurement, and how the try ended",
    ),
    Definition(
        name="llm_attempt_duration_seconds",
        kind="histogram",
        labels=("service", "provider", "attempt"),
        help="One try at one provider that answered",
        buckets=ATTEMPT_BUCKETS,
    ),
    Definition(
        name="llm_attempt_time_to_first_chunk_seconds",
        kind="histogram",
        labels=("service", "provider", "attempt"),
        help="From the start of a try to its first content token; streams only",
        buckets=ATTEMPT_TTFC_BUCKETS,
    ),
    Definition(
        name="llm_attempt_time_per_output_token_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="Time behind the first token by the number of tokens behind it, once per streamed try",
        buckets=TPOT_BUCKETS,
    ),
    Definition(
        name="llm_attempt_longest_gap_seconds",
        kind="histogram",
        labels=("service", "provider"),
        help="Longest silence between two tokens of a streamed try",
        buckets=TTFC_BUCKETS,
    ),
    Definition(
        name="llm_tokens_total",
        kind="counter",
        labels=("service", "provider", "model", "type"),
        help="Tokens as the engines counted them; type is input or output",
    ),
    Definition(
        name="llm_usage_missing_total",
        kind="counter",
        labels=("service", "provider"),
        help="Tries that answered without saying how many tokens they took",
    ),
    Definition(
        name="llm_fallbacks_total",
        kind="counter",
        labels=("service", "from", "to", "reason", "attempt"),
        help="Answers given by a later provider of the chain, with why the first did not",
    ),
    Definition(
        name="llm_params_dropped_total",
        kind="counter",
        labels=("service", "provider", "param"),
        help="Parameters of requests that the provider asked has no word for",
    ),
    Definition(
        name="llm_breaker_open",
        kind="gauge",
        labels=("service", "provider"),
        help="1 while the breaker keeps requests away from the provider",
        workers="livemax",
    ),
    Definition(
        name="llm_breaker_transitions_total",
        kind="counter",
        labels=("service", "provider", "to_state"),
        help="Breaker state changes; shows a flapping engine between two scrapes",
    ),
    Definition(
        name="llm_in_flight_requests",
        kind="gauge",
        labels=("service", "provider"),
        help="Attempts under way",
        workers="livesum",
    ),
    Definition(
        name="llm_concurrency_limit",
        kind="gauge",
        labels=("service", "provider"),
        help="Attempts that may be under way at a time, as the limit has found it",
        workers="livesum",
    ),
    Definition(
        name="llm_queue_depth",
        kind="gauge",
        labels=("service", "provider"),
        help="Attempts that wait for their turn",
        workers="livesum",
    ),
    Definition(
        name="llm_queue_wait_seconds",
        kind="histogram",
        labels=("service",),
        help="What a request has waited for its turns, all providers together",
        buckets=TTFC_BUCKETS,
    ),
    Definition(
        name="llm_shed_total",
        kind="counter",
        labels=("service", "reason"),
        help="Attempts turned away: the queue was full, it would have taken too long, or the engine said so",
    ),
    Definition(
        name="llm_retries_total",
        kind="counter",
        labels=("service", "provider"),
        help="Requests sent a second time because a kept connection was gone before an answer began",
    ),
)


def made(definition: Definition, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    """The metric of a definition, in `registry`. Raises `ValueError` for a gauge that does not say what workers do."""
    name, said, labels = definition.name, definition.help, definition.labels
    match definition.kind:
        case "counter":
            return Counter(name, said, labels, registry=registry)
        case "gauge" if definition.workers is not None:
            return Gauge(name, said, labels, registry=registry, multiprocess_mode=definition.workers)
        case "histogram":
            return Histogram(name, said, labels, registry=registry, buckets=definition.buckets)
        case other:
            raise ValueError(f"{name}: no metric of kind {other!r}, or a gauge that does not say what workers do")


@dataclass(slots=True, eq=False)
class BeforeEach:
    """Register it before the metrics that its functions set: they are called first, whenever the registry is looked at.

    Prometheus' own `set_function` is for one process only: what it reads never reaches a page of several workers.
    """

    todo: list[Callable[[], None]] = field(default_factory=list)

    def collect(self) -> Iterable[Metric]:
        for do in self.todo:
            do()
        return ()
