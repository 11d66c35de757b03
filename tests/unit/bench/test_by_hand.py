"""`locust -f bench/` by hand: the web UI answers, offers our arguments, and starts and stops a load."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.unit.bench.conftest import ROOT, FakeService, clean_environment, free_port

OFFERED = ("rag_url", "notes_url", "ner_url", "arm", "rounds", "round_requests", "rate", "max_in_flight", "seed")


@contextmanager
def web_ui(service: FakeService, *arguments: str) -> Iterator[httpx2.Client]:
    """A Locust with its web UI on a free port, stopped by its process id."""
    port = str(free_port())
    command = [sys.executable, "-m", "locust", "-f", "bench/", "--web-host", "127.0.0.1", "--web-port", port]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=clean_environment(service), stderr=subprocess.DEVNULL
    ) as process:
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=120) as http:
                until(lambda: process.poll() is not None or answers(http))
                yield http
        finally:
            process.terminate()


def answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/").status_code == 200
    except httpx2.TransportError:
        return False


def until(holds: Any) -> None:
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_web_ui_offers_our_arguments_and_runs_a_load(service: FakeService, tmp_path: Path) -> None:
    """Rounds chosen in the form are played, and their lines are in the file that the command line named."""
    raw = tmp_path / "raw.jsonl"
    with web_ui(service, "--raw", str(raw)) as http:
        page = http.get("/").text
        assert [name for name in OFFERED if f'"{name}"' not in page] == []
        assert str(raw) not in page, "a path on this machine is nothing to type into a page"
        form = {"user_count": "3", "spawn_rate": "3", "rounds": "1", "round_requests": "2"}
        assert http.post("/swarm", data=form).json()["success"]
        until(lambda: http.get("/stats/requests").json()["state"] == "stopped")
    rows = [json.loads(line) for line in raw.read_text().splitlines()]
    assert {(r["service"], r["round"]) for r in rows} == {(s, n) for s in ("rag", "notes", "ner") for n in (-1, 0)}
    assert len(rows) == 3 * 2 * 2
