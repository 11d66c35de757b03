"""What `cutover bench --ingest` says of its runs: the document for `--json`, tables and sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from services.evaluation.flatness import Flatness, Verdict, of_children, of_service, overall
from services.evaluation.ingest_run import Quarter, Run, quarters

MIB = 1024 * 1024
EXIT = {Verdict.FLAT: 0, Verdict.GROWS: 1, Verdict.INCONCLUSIVE: 2}

_COLUMNS = (
    "quarter", "documents/s", "chunks/s", "MB/s", "service\npeak MiB", "service\nmedian", "readers\npeak MiB",
    "readers\nmedian", "pages of\nfiles", "log\nMiB",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """What embedding `chunks` took by itself. Seconds of the processor change less under another program's load."""

    chunks: int
    took_s: float
    cpu_s: float

    @property
    def chunks_per_s(self) -> float:
        return self.chunks / max(self.took_s, 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run on one store. `alone`: the embedder by itself on a part of its chunks; `not_alone` why it lacks that."""

    store: str
    run: Run
    embeds: bool = False
    alone: Alone | None = None
    not_alone: str = ""

    @property
    def share(self) -> float | None:
        """Of the run's seconds of the processor, what the embedder by itself takes for as many chunks."""
        if self.alone is None or not self.alone.chunks:
            return None
        return self.alone.cpu_s / self.alone.chunks * self.run.chunks / max(self.run.cpu_s, 1e-9)

    @property
    def memory(self) -> dict[str, Flatness]:
        """Whether memory was flat, by kind of process."""
        found = quarters(self.run)
        return {"service": of_service(found), "readers": of_children(found)}


def verdict(found: Sequence[Measured]) -> Verdict:
    """Of all runs together."""
    return overall([flatness for measured in found for flatness in measured.memory.values()])


def document(measured: Measured) -> dict[str, Any]:
    """One run for `--json`."""
    run = measured.run
    rates = {
        "documents_per_s": len(run.documents) / run.took_s,
        "chunks_per_s": run.chunks / run.took_s,
        "mb_per_s": run.bytes / 1e6 / run.took_s,
    }
    embedder: dict[str, float] = {}
    if measured.alone is not None and measured.share is not None:
        embedder = {"embedder_chunks_per_s": measured.alone.chunks_per_s, "embedder_share": measured.share}
    return {
        "store": measured.store,
        "embeds": measured.embeds,
        "took_s": run.took_s,
        "cpu_s": run.cpu_s,
        "bytes": run.bytes,
        "documents": len(run.documents),
        "chunks": run.chunks,
        "same": run.same,
        "failed": dict(run.failed),
        **rates,
        "busy": run.busy,
        **embedder,
        "store_bytes": run.seen[-1].store,
        "memory": {kind: asdict(flatness) for kind, flatness in measured.memory.items()},
        "quarters": [asdict(quarter) for quarter in quarters(run)],
    }


def shown(found: Sequence[Measured], machine: Mapping[str, Any]) -> list[RenderableType]:
    """Every run, and what they were made on."""
    made: list[RenderableType] = []
    for measured in found:
        made += [_table(measured), *map(Text, _said(measured))]
    load = machine["load"]
    told = f"load {load['before']} before, {load['after']} after, on {machine['cores']} cores; {machine['machine']}"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [*made, Text(f"{told}; {versions}")]


def _table(measured: Measured) -> Table:
    kind = "with vectors" if measured.embeds else "without vectors"
    table = Table(title=f"{measured.store}, {kind}", title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    for number, quarter in enumerate(quarters(measured.run), 1):
        table.add_row(str(number), *_cells(quarter))
    return table


def _cells(quarter: Quarter) -> list[str]:
    took = max(quarter.took_s, 1e-9)
    rates = (quarter.documents / took, quarter.chunks / took, quarter.bytes / 1e6 / took)
    service, readers = (quarter.service_peak, quarter.service_median), (quarter.children_peak, quarter.children_median)
    sizes = (*service, *readers, quarter.service_files + quarter.children_files, quarter.log_peak)
    return [f"{rates[0]:.1f}", f"{rates[1]:.0f}", f"{rates[2]:.2f}", *(f"{size / MIB:.0f}" for size in sizes)]


def _said(measured: Measured) -> list[str]:
    run = measured.run
    lines = [
        f"{len(run.documents)} documents, {run.chunks} chunks, {run.bytes / 1e6:.1f} MB in {run.took_s:.0f} s: "
        f"{len(run.documents) / run.took_s:.1f} documents/s, {run.chunks / run.took_s:.0f} chunks/s, "
        f"{run.bytes / 1e6 / run.took_s:.2f} MB/s; {run.cpu_s:.0f} s of CPU",
        *(_of_memory(kind, flatness) for kind, flatness in measured.memory.items()),
        _of_stages(run),
    ]
    if measured.alone is not None and measured.share is not None:
        told = f"{measured.alone.chunks_per_s:.0f} chunks/s (of {measured.alone.chunks})"
        lines.append(f"the embedder alone: {told}, {measured.share:.0%} of the run's CPU time")
    if measured.not_alone:
        lines.append(f"the embedder alone: not measured, {measured.not_alone}")
    if run.failed:
        lines.append("refused: " + ", ".join(f"{count} {code}" for code, count in run.failed.items()))
    return lines


def _of_memory(kind: str, found: Flatness) -> str:
    head = f"memory of the {kind}: {found.verdict}"
    if found.verdict is Verdict.INCONCLUSIVE:
        return f"{head}, {found.why}"
    second, last, limit = (f"{size / MIB:.1f}" for size in (found.second, found.last, found.limit))
    return f"{head}, median {second} MiB in quarter 2 and {last} in quarter 4, at most {limit} is flat"


def _of_stages(run: Run) -> str:
    """Which share of the time documents were at each stage, and which stage had one the most."""
    busy = {stage: share for stage, share in run.busy.items() if share}
    if not busy:
        return "stages: nothing was read"
    shares = ", ".join(f"{stage} {share:.0%}" for stage, share in busy.items())
    return f"busy, of the time: {shares}; the most: {max(busy, key=busy.__getitem__)}"
