"""docs/METRICS.md is what the services register: each metric, its type, its labels, each value of closed labels."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.llm.cost import COST, KINDS, PER
from services.llm.errors import ErrorType
from services.llm.hooks import Operation, Result
from services.llm.measures import METRICS
from services.llm.metrics import ATTEMPTS, SHED_REASONS
from services.llm.outside import PAID
from services.llm.rollout import Stage
from services.llm.types import Outcome
from services.migration.verdict import Outcome as Verdict
from services.monitor.measures import BOUNDS, EXPORTED, FILES, MEMORY
from services.rag.stages import Stage as IngestStage
from services.settings import SERVICES, load
from tests.house.sources import ROOT

PAGE = ROOT / "docs" / "METRICS.md"
ROW = re.compile(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*)\| ([^|]+) \|$", re.MULTILINE)


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name -> type and labels, from the page's table."""
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(rows) == len({name for name, *_ in rows}), "a metric is there twice"
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in rows}


def registered(home: Path) -> dict[str, str]:
    """Name -> type of every metric in the registries of the real apps, none of them started, and of the exporter."""
    found = {}
    for service in SERVICES:
        app = importlib.import_module(f"services.{service}.app").build(load({"CUTOVER_HOME": str(home)}))
        registry = app.state.room.registry
        assert isinstance(registry, CollectorRegistry)
        for family in registry.collect():
            found[f"{family.name}_total" if family.type == "counter" else family.name] = family.type
    return {**found, **{definition.name: definition.kind for definition in EXPORTED}}


def test_the_page_and_the_services_name_the_same_metrics(tmp_path: Path) -> None:
    assert {name: kind for name, (kind, _) in documented().items()} == registered(tmp_path)


@pytest.mark.parametrize("definition", [*METRICS, *PAID, *COST, *EXPORTED], ids=lambda d: d.name)
def test_the_labels_are_those_of_the_code(definition: object) -> None:
    assert documented()[definition.name] == (definition.kind, definition.labels)  # type: ignore[attr-defined]


CLOSED = [*Result, *Outcome, *Operation, *ATTEMPTS, *SHED_REASONS, *ErrorType, *KINDS, *PER]
CLOSED += [*Stage, *Verdict, *BOUNDS, *FILES, *MEMORY, *IngestStage]


@pytest.mark.parametrize("value", CLOSED, ids=str)
def test_every_value_of_a_closed_label_is_explained(value: str) -> None:
    assert f"`{value}`" in PAGE.read_text(encoding="utf-8")


def test_queries_on_the_page_ask_for_metrics_that_exist() -> None:
    """A histogram is asked for by its buckets, sum or count."""
    queries = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    asked = set(re.findall(r"\b((?:llm|ner|rag)_\w+)", "\n".join(queries)))
    assert asked
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= set(documented())
