"""The table of what the exporter shows: names, labels and meaning. `docs/METRICS.md` describes each for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.llm.measures import Definition

BOUNDS = ("effect", "low", "high")
FILES = ("rollout", "ledger", "verdict", "canary")
MEMORY = ("total", "vram")
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Sample:
    """One series now. Label values in the order of the definition's labels."""

    name: str
    labels: tuple[str, ...]
    value: float


GAUGES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("llm_migration_stage", ("service", "stage"), "1 at the stage where the service stands"),
    ("llm_migration_demo", ("service",), "1 while the service stands there for show, without a pass"),
    ("llm_migration_stage_since_timestamp_seconds", ("service",), "When the service was last moved"),
    ("llm_canary_target_ratio", ("service",), "Share of requests that is to ask vLLM first"),
    ("llm_holdback_ratio", ("service",), "Share that still asks Ollama first, as a control, in full"),
    ("llm_canary_e_value", ("service",), "Evidence against vLLM in this step; none below 1"),
    ("llm_canary_e_limit", (), "The e-value that sends a service back"),
    ("llm_canary_requests", ("service", "provider"), "Requests of this step that were to ask the provider first"),
    ("llm_canary_errors", ("service", "provider"), "Those of them that went bad"),
    ("llm_gate_verdict", ("service", "outcome"), "1 at the outcome of the last verdict"),
    ("llm_gate_value", ("service", "gate", "bound"), "What the last verdict measured, and its bounds"),
    ("llm_gate_threshold", ("service", "gate"), "The margin that the measured is held against"),
    ("llm_gate_last_evaluation_timestamp_seconds", ("service",), "When the last verdict was made"),
    ("llm_gate_expires_timestamp_seconds", ("service",), "Until when the last verdict may move a service"),
    ("llm_state_unreadable", ("file",), "Files or lines of the state folder that cannot be read"),
    ("llm_state_free_bytes", (), "Free space where ledger, verdicts and records are written"),
    ("llm_state_size_bytes", (), "Size of that file system"),
    ("llm_provider_up", ("provider",), "1 while the engine answers its health question"),
    ("llm_provider_probe_seconds", ("provider",), "How long that answer took"),
    ("llm_ollama_loaded_model_bytes", ("model", "kind"), "Memory of the models that Ollama holds"),
    ("llm_build_info", ("version", "vllm_version", "ollama_version"), "1; what runs"),
)

MOVES = Definition(
    name="llm_ledger_moves_total",
    kind="counter",
    labels=("service", "stage"),
    help="Moves in the ledger by the stage they led to; rolled_back are the rollbacks",
)

EXPORTED = (MOVES, *(Definition(name=n, kind="gauge", labels=ls, help=h, workers="livemax") for n, ls, h in GAUGES))


def families(samples: Iterable[Sample], definitions: Iterable[Definition] = EXPORTED) -> list[Metric]:
    """The samples by metric. Raises `KeyError` for one that is not in the table."""
    made: Mapping[str, CounterMetricFamily | GaugeMetricFamily] = {d.name: _family(d) for d in definitions}
    for sample in samples:
        made[sample.name].add_metric(sample.labels, sample.value)
    return list(made.values())


def _family(definition: Definition) -> CounterMetricFamily | GaugeMetricFamily:
    if definition.kind == "counter":
        return CounterMetricFamily(definition.name, definition.help, labels=definition.labels)
    return GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
