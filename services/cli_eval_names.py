"""`cutover eval ner`: names and relations of the gold set as spaCy and both engines find them, in one table."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services.cli_commands import Call, Result, recipe
from services.evaluation.app import names_by_engines
from services.evaluation.names import SERVICE, SPACY, Line, of_spacy
from services.migration import workload
from services.migration.workload import Workload
from services.ner import spacy_names
from services.rag.metrics import Estimate

STEP = "eval ner"


def evaluation(call: Call) -> Result:
    """Print each reader's figures, or why it has none. Exit 1 where nobody could read."""
    gold = workload.load(recipe(SERVICE), service=SERVICE)
    call.display.begin(STEP, "spaCy, then each engine")
    engines = asyncio.run(names_by_engines(call.settings, gold, lambda told: call.display.note(STEP, told)))
    lines = [_baseline(gold), *engines]
    read = [line for line in lines if not line.absent]
    call.display.end(STEP, f"{len(gold.items)} texts, {len(read)} readers")
    return Result(document=_document(lines, gold), shown=_shown(lines, gold), code=0 if read else 1)


def _baseline(gold: Workload) -> Line:
    try:
        return of_spacy(spacy_names.load().find, gold)
    except spacy_names.NotInstalled as exc:
        return Line(reader=SPACY, absent=str(exc))


def _document(lines: Sequence[Line], gold: Workload) -> Mapping[str, Any]:
    return {
        "readers": [asdict(line) for line in lines],
        "recipe_sha256": gold.sha256,
        "load": os.getloadavg()[0],
    }


def _shown(lines: Sequence[Line], gold: Workload) -> list[Table | Text]:
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for column in ("reader", "strict F1 of names", "F1 of relations", "failed", "median"):
        table.add_column(column)
    for line in lines:
        table.add_row(*_row(line))
    related = sum("relations" in item.gold for item in gold.items)
    said = f"means over {len(gold.items)} texts, of relations over {related}, with 95 % intervals"
    absent = [Text(f"{line.reader}: {line.absent}", style="yellow") for line in lines if line.absent]
    return [table, Text(said), *absent]


def _row(line: Line) -> tuple[str, ...]:
    if line.absent:
        return (line.reader, "not here, see below")
    return (
        line.reader,
        _figure(line.span_f1),
        _figure(line.relation_f1),
        str(line.failed),
        "" if line.median_s is None else f"{line.median_s:.2f} s",
    )


def _figure(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})"
