"""The report's part about memory: what each engine took, what that buys, what it means."""

from __future__ import annotations

from services.migration.memory_document import Memory
from services.migration.memory_words import ratio_rows, settings_rows, taken_rows, told, unknown
from services.migration.report_tables import Table


def tables(found: Memory) -> tuple[Table, ...]:
    """Taken, bought, set; a table without rows is not shown."""
    return (
        Table(
            caption="What each engine took",
            head=("", "engine", "idle", "under load, median", "peak", "samples"),
            rows=tuple(taken_rows(found)),
        ),
        Table(
            caption="What it buys, side by side; `?` is not known",
            head=("", "ollama", "vllm", "vllm / ollama"),
            rows=tuple(ratio_rows(found)),
        ),
        Table(
            caption="Settings that decide it, as the processes were started",
            head=("engine", "settings"),
            rows=tuple(settings_rows(found)),
        ),
    )


def sentences(found: Memory) -> tuple[str, ...]:
    """What the numbers mean, what is not known, and under what they were measured."""
    return (*found.says, *(f"Not known: {line}" for line in unknown(found)), *told(found))
