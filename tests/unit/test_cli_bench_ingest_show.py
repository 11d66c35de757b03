"""What `cutover bench --ingest` says of a run that was scripted."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from services import cli_bench_ingest_show as show
from services.cli_bench_ingest_show import Alone, Measured
from services.evaluation.flatness import SMALLEST, Verdict
from services.evaluation.ingest_run import Footprint, Run, Stored

MIB = 1024 * 1024
MACHINE = {"cores": 2, "load": {"before": 0.1, "after": 1.9}, "machine": "Linux x86_64", "versions": {"python": "3"}}


def measured(*, mib_a_look: float = 0.0, size: int = 2 * SMALLEST, alone_s: float | None = None) -> Measured:
    """Four documents in 400 s, looked at every 5 s; the service holds `mib_a_look` more at each look."""
    run = Run(took_s=400.0, documents=[Stored(id=str(n), size=size // 4, chunks=50, chars=9, at_s=100.0 + 100 * n)
                                       for n in range(4)])  # fmt: skip
    run.seen = [
        Footprint(
            at_s=5.0 * n, service=int((100 + n * mib_a_look) * MIB), children=30 * MIB, service_files=200 * MIB,
            children_files=50 * MIB, cpu_s=float(n),
        )
        for n in range(81)
    ]  # fmt: skip
    run.busy_s = {"read": 100.0, "cut": 4.0, "embed": 380.0 if alone_s else 0.0, "store": 40.0}
    alone = None if alone_s is None else Alone(chunks=run.chunks // 2, took_s=alone_s / 2, cpu_s=30.0)
    return Measured(store="sqlite", run=run, embeds=alone is not None, alone=alone)


def said(*found: Measured) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    for part in show.shown(found, MACHINE):
        console.print(part)
    return console.export_text()


def test_a_flat_run_says_what_was_compared_and_what_bounds_it() -> None:
    text = said(measured())

    assert "memory of the service: flat, median 100.0 MiB in quarter 2 and 100.0 in quarter 4, at most 105.0" in text
    assert "memory of the readers: flat, median 30.0 MiB" in text
    assert "busy, of the time: read 25%, cut 1%, store 10%; the most: read" in text
    assert "embed" not in text


def test_pages_of_files_stand_beside_memory_and_are_not_in_it() -> None:
    """100 MiB of the service's own, 30 of the readers', 250 of files."""
    row = next(line.split() for line in said(measured()).splitlines() if line.split()[:1] == ["1"])

    assert row[4:9] == ["100", "100", "30", "30", "250"]


def test_a_run_that_grows_is_told_and_is_no_success() -> None:
    found = measured(mib_a_look=0.25)

    assert "memory of the service: grows" in said(found)
    assert show.EXIT[show.verdict([found])] == 1


def test_the_embedder_s_share_of_the_time_is_beside_the_others() -> None:
    """By the service's own clock; what it takes alone is by the processor's."""
    text = said(measured(alone_s=100.0))

    assert "read 25%, cut 1%, embed 95%, store 10%; the most: embed" in text
    assert "the embedder alone: 2 chunks/s (of 100), 75% of the run's CPU time" in text


def test_an_embedder_that_was_not_measured_alone_costs_the_run_nothing() -> None:
    """The machine had no time for it."""
    run = measured(alone_s=100.0).run
    found = Measured(store="sqlite", run=run, embeds=True, not_alone="in_process: 120 s are up")

    assert "with vectors" in said(found)
    assert "the embedder alone: not measured, in_process: 120 s are up" in said(found)
    assert show.document(found)["embeds"]
    assert "embedder_share" not in show.document(found)


def test_a_short_run_says_what_it_lacks() -> None:
    found = measured(size=SMALLEST // 4)

    assert "memory of the service: inconclusive, 5.0 MB of documents, at least 21 are needed" in said(found)
    assert show.EXIT[show.verdict([found])] == 2


def test_a_run_of_nothing_is_told_all_the_same() -> None:
    """Every file was refused."""
    nothing = Measured(store="sqlite", run=Run(took_s=1.0, seen=[Footprint(at_s=0.0, service=1, children=0)]))

    assert "stages: nothing was read" in said(nothing)
    assert show.verdict([nothing]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("found", [measured(), measured(alone_s=100.0)], ids=["without vectors", "with vectors"])
def test_the_document_holds_quarters_verdicts_and_shares(found: Measured) -> None:
    document = json.loads(json.dumps(show.document(found)))

    assert document["memory"]["service"]["verdict"] == "flat"
    assert document["busy"]["read"] == 0.25
    assert [quarter["service_median"] for quarter in document["quarters"]] == [100 * MIB] * 4
    assert ("embedder_share" in document) is document["embeds"]
