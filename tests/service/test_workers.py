"""Two worker processes of one service show one page, whoever is asked, and a killed one takes nothing with it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from services.llm.limits import START
from services.settings import SettingsError, load

REPO = Path(__file__).resolve().parents[2]
ASKED = 12
WORKERS = 2
NOTE = {"text": "The boiler is checked on Mondays by Ingrid.", "max_tokens": 8}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, as whoever starts the workers must leave it."""
    made = tmp_path / "counted"
    made.mkdir()
    return made


@pytest.fixture
def service(tmp_path: Path, folder: Path) -> Iterator[str]:
    """Notes with two workers, and no engine to ask: each request is one that failed, soon."""
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}"
    env = {**os.environ, "CUTOVER_HOME": str(tmp_path), "VLLM_URL": nobody, "OLLAMA_URL": nobody}
    env |= {"WEB_CONCURRENCY": str(WORKERS), "PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": str(REPO)}
    argv = [sys.executable, "-m", "uvicorn", "services.notes.app:create", "--factory", "--port", str(port)]
    argv += ["--timeout-worker-healthcheck", "60"]  # after 5 s it kills one that a busy machine lets wait
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*argv, "--no-access-log"], env=env, stdout=log, stderr=log)
        try:
            until(lambda: len(pids(folder)) == WORKERS, "both workers have written")
            until(lambda: listens(port), "one of them listens, after its store is open")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(120)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def pids(folder: Path) -> set[int]:
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_livesum_*.db")}


def shown(service: str, name: str, **labels: str) -> float:
    """The sum of a metric's series on a page got by a connection of its own, so from either worker."""
    text = httpx2.get(f"{service}/metrics", trust_env=False, timeout=60).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def test_a_killed_worker_leaves_its_counts_and_takes_its_gauges(service: str, folder: Path) -> None:
    """Every page says the same sum, before and after, with a third process in the place of the second."""
    for _ in range(ASKED):
        assert httpx2.post(f"{service}/v1/summarize", json=NOTE, trust_env=False, timeout=120).status_code >= 500
    assert [shown(service, "llm_requests_total", outcome="error") for _ in range(8)] == [ASKED] * 8
    assert shown(service, "llm_concurrency_limit", provider="ollama") == WORKERS * START
    before = pids(folder)

    os.kill(min(before), signal.SIGKILL)

    until(lambda: shown(service, "llm_requests_total") == ASKED and len(pids(folder) - before) == 1, "one has come")
    with contextlib.suppress(ProcessLookupError):
        os.kill(min(before), 0)
        pytest.fail("the worker lives")
    assert [shown(service, "llm_requests_total", outcome="error") for _ in range(8)] == [ASKED] * 8
    until(lambda: shown(service, "llm_concurrency_limit", provider="ollama") == WORKERS * START, "gauges of two")
    assert min(before) not in pids(folder)


def test_no_gauge_keeps_a_series_of_each_process(tmp_path: Path) -> None:
    """Prometheus' default does, for good: each worker that ever lived is a series then."""
    from services.notes.app import build

    registry = build(load({"CUTOVER_HOME": str(tmp_path)})).state.room.registry
    assert isinstance(registry, CollectorRegistry)
    gauges = [c for c in registry._collector_to_names if isinstance(c, Gauge)]
    assert gauges
    assert all(gauge._multiprocess_mode.startswith("live") for gauge in gauges)


def test_several_workers_without_a_folder_are_refused() -> None:
    """Each would show its own part, and Prometheus take every turn for a restart."""
    with pytest.raises(SettingsError, match="PROMETHEUS_MULTIPROC_DIR"):
        load({"WEB_CONCURRENCY": "2"})
