"""A run with real processes and a handful of calls: what comes out, never how long it took."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from services.overhead import measure, processes, report, worker
from services.overhead.plan import OURS, SUBJECTS, cases


def test_a_run_measures_every_cell_and_says_what_it_ran_on() -> None:
    """Every subject sent what ours sends and gave the whole text, or the run would have stopped."""
    steps: list[str] = []
    setup = measure.Setup(
        rounds=2,
        calls=1,
        seed=1,
        peers=None,
        env=dict(os.environ),
        on_progress=lambda step, _done, _total: steps.append(step),
    )
    raw = measure.measure(setup)

    assert set(raw.cells) == {(OURS, subject, case.name) for subject in SUBJECTS[OURS] for case in cases(1)}
    assert {len(values) for values in raw.cells.values()} == {2}
    assert all(value > 0 for values in raw.cells.values() for value in values)
    assert raw.versions[OURS]["openai"]
    assert {name: len(found) for name, found in raw.imports.items()} == {"openai": 1, "ours": 1}
    assert steps.count("rounds") == 2
    assert report.document(raw)["call_ratio_openai"]["value"] > 0


def test_a_worker_that_cannot_work_says_why() -> None:
    """The error of the other process, not a broken pipe."""
    with (
        processes.worker(OURS, Path(sys.executable), "http://127.0.0.1:1", core=None, env=os.environ) as started,
        pytest.raises(processes.OverheadError, match="the ours process failed: KeyError: 'nobody'"),
    ):
        started.order(do="load", subject="nobody", bodies={})


def test_what_the_sdk_has_no_word_for_goes_into_the_extra_body() -> None:
    def create(*, model: str, seed: int, extra_body: object = None) -> None: ...

    assert worker.arguments({"model": "m", "seed": 0, "top_k": 3}, create) == {
        "model": "m",
        "seed": 0,
        "extra_body": {"top_k": 3},
    }
