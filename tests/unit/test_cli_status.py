"""`cutover status`: times out of histograms, who holds which lock, 80 columns, and a watch that ends when asked to."""

from __future__ import annotations

import fcntl
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from rich.console import Console

from services import cli_status_show as show
from services.cli import main, parser
from services.cli_show import Display
from services.cli_status import collect
from services.cli_status_times import METRIC, Window, buckets, quantile
from services.cli_status_work import at_work
from services.migration import rollout
from services.settings import Settings, load
from tests.fakes.engine import free_port

NO_TIMES = {"p50_s": None, "p95_s": None, "streams": 0}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a stack of which nothing runs."""
    ports = {f"CUTOVER_{n}_PORT": str(free_port()) for n in ("RAG", "NOTES", "NER", "VLLM", "OLLAMA")}
    return load({"CUTOVER_HOME": str(tmp_path), **ports})


def page(seconds: dict[str, list[float]]) -> str:
    """One service's `/metrics` after these first tokens."""
    registry = CollectorRegistry()
    histogram = Histogram(METRIC, "x", ("service", "provider"), registry=registry, buckets=(0.1, 0.25, 1, 5))
    for provider, values in seconds.items():
        for value in values:
            histogram.labels("rag", provider).observe(value)
    return generate_latest(registry).decode()


def engine(**more: Any) -> dict[str, Any]:
    return {"up": True, "version": "0.32.0", "model": "smollm2-135m:latest", "url": "http://127.0.0.1:8500", **more}


def busy() -> dict[str, Any]:
    """The widest document there is: every column has its longest word."""
    row = {
        "stage": "rolled_back", "share": 1.0, "demo": True, "pin": "auto", "provider": "anthropic",
        "verdict": "inconclusive", "fallbacks_5m": 1234, "in_flight": 128, "open_breakers": ["vllm", "ollama"],
        "up": True, "url": "http://127.0.0.1:8501",
    }  # fmt: skip
    first = {"p50_s": 12.34, "p95_s": 123.4, "streams": 123456}
    seen = {"in_flight": 128, "queued": 64, "open_for": ["rag"], "last_error": "x", "first_token": first}
    return {
        "services": {"rag": row, "notes": row, "ner": {**row, "up": False}},
        "engines": {"ollama": engine(), "vllm": engine(up=False, version=None, model=None)},
        "providers": {"ollama": seen, "vllm": seen, "anthropic": seen},
        "first_token_over_s": 300.0,
        "containers": {},
        "at_work": [{"verb": "gate", "service": "notes", "pid": 4711, "since": "2026-11-21T12:10:43+00:00"}],
        "problems": ["ner: " + "a long sentence " * 12],
    }


def shown(document: dict[str, Any], columns: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=columns).print(show.status(document))
    return out.getvalue().splitlines()


def test_services_count_together() -> None:
    """An engine is one, however many services stream from it."""
    found = buckets([page({"vllm": [0.2, 0.2]}), page({"vllm": [0.9], "ollama": [3.0]})])

    assert found["vllm"][0.25] == 2
    assert found["vllm"][1.0] == found["vllm"][float("inf")] == 3
    assert found["ollama"][1.0] == 0


@pytest.mark.parametrize(
    ("edges", "q", "expected"),
    [
        ({1.0: 10, 2.0: 20, float("inf"): 20}, 0.5, 1.0),
        ({1.0: 10, 2.0: 20, float("inf"): 20}, 0.75, 1.5),
        ({1.0: 0, 2.0: 0, float("inf"): 4}, 0.5, 2.0),
        ({1.0: 0, float("inf"): 0}, 0.5, None),
        ({}, 0.95, None),
    ],
)
def test_quantiles_are_prometheus_own(edges: dict[float, float], q: float, expected: float | None) -> None:
    assert quantile(edges, q) == expected


def test_a_watch_tells_of_the_last_minutes_and_survives_a_restart_of_a_service() -> None:
    """All time at first; then what was added; all time again when counts went back."""
    now = [0.0]
    window = Window(lambda: now[0])
    looks = [(0.0, 100.0), (2.0, 101.0), (120.0, 110.0), (500.0, 150.0), (502.0, 3.0)]
    told = []
    for now[0], count in looks:
        added, over_s = window.recent({"vllm": {1.0: count, float("inf"): count}})
        told.append((added["vllm"][1.0], over_s))

    assert told == [(100.0, None), (101.0, None), (10.0, 120.0), (40.0, 380.0), (3.0, None)]


def test_a_holder_of_a_lock_is_named_and_a_dead_one_is_not(settings: Settings) -> None:
    """A file that a killed gate left behind still names it; nobody holds it."""
    path = settings.state_dir / rollout.GATE_LOCK_NAME
    path.parent.mkdir(parents=True)
    told = {"pid": os.getpid(), "since": "2026-11-21T12:00:00+00:00", "service": "notes"}
    path.write_text(json.dumps(told))

    assert at_work(settings) == []
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert at_work(settings) == [{"verb": "gate", **told}]
    assert at_work(settings) == []


@pytest.mark.parametrize(
    ("lock", "verb"),
    [(rollout.gate_lock, "gate"), (rollout.controller_lock, "migrate"), (rollout.watch_lock, "guard")],
)
def test_whoever_takes_a_lock_is_seen(lock: Any, verb: str, settings: Settings) -> None:
    """The same files and fields as the code that takes them."""
    with lock(settings.state_dir, service="ner"):
        (found,) = at_work(settings)

    assert (found["verb"], found["service"], found["pid"]) == (verb, "ner", os.getpid())


async def test_nothing_up_is_a_status_as_well(settings: Settings) -> None:
    """The keys that machines read are there, and nothing fails for what is missing."""
    document = await collect(settings)

    keys = ("stage", "share", "provider", "verdict", "fallbacks_5m")
    rows = {service: tuple(row[key] for key in keys) for service, row in document["services"].items()}
    assert rows == dict.fromkeys(("rag", "notes", "ner"), ("ollama", 0.0, "ollama", None, None))
    assert {e: (r["up"], r["version"], r["model"]) for e, r in document["engines"].items()} == dict.fromkeys(
        ("ollama", "vllm"), (False, None, None)
    )
    assert any("down" in line for line in shown(document))


def test_the_widest_status_fits_80_columns_and_cuts_no_number() -> None:
    lines = shown(busy())
    text = "\n".join(lines)

    assert max(map(len, lines)) <= 80
    for word in ("inconclusive", "anthropic", "1234", "123456", "12.3 s", "123.4 s", "0.32.0", "pid 4711", "smollm2"):
        assert word in text


def test_a_watch_looks_again_and_ends_on_ctrl_c(settings: Settings) -> None:
    """Two looks, the last picture stays, no traceback and no complaint."""
    out, slept = io.StringIO(), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    with Display(Console(file=out, width=80)) as display:
        show.watch(settings, display, 2.0, as_json=False, sleep=sleep)

    assert slept == [2.0, 2.0]
    assert out.getvalue().count("Ctrl-C ends") == 2


def test_a_watch_for_machines_is_one_object_a_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    def sleep(_seconds: float) -> None:
        raise KeyboardInterrupt

    with Display(Console(stderr=True)) as display:
        show.watch(settings, display, 2.0, as_json=True, sleep=sleep)
    (line,) = capsys.readouterr().out.splitlines()

    assert set(json.loads(line)["services"]) == {"rag", "notes", "ner"}


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "often", "1e9"])
def test_a_watch_of_no_time_is_a_mistake(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", "--watch", seconds])

    assert ended.value.code == 64
    assert "number of seconds" in capsys.readouterr().err


def test_a_watch_without_a_number_has_one() -> None:
    assert parser().parse_args(["status", "--watch"]).watch == 2.0
    assert parser().parse_args(["status"]).watch is None
