"""A real Prometheus, Alertmanager and exporter over services of a test's own, by the files that are checked in."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services import settings as settings_room
from services.monitor import here
from services.settings import SERVICES, Settings
from services.stack import local
from tests.conftest import REPO, free_ports

MONITORING = REPO / "monitoring"
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SHORTEST_S = 4

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("prometheus-alertmanager")),
    reason="prometheus is missing: apt-get install prometheus prometheus-alertmanager",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Where both answer."""

    prometheus: str
    alertmanager: str

    def values(self, expr: str) -> list[float]:
        """The value of each series now."""
        answer = httpx2.get(f"{self.prometheus}/api/v1/query", params={"query": expr}, trust_env=False, timeout=60)
        document = answer.json()
        assert document["status"] == "success", f"{expr}: {document}"
        result = document["data"]["result"]
        return [float(row["value"][1]) for row in result] if isinstance(result, list) else []

    def firing(self) -> set[str]:
        """Names of alerts that fire at Prometheus."""
        found = httpx2.get(f"{self.prometheus}/api/v1/alerts", trust_env=False, timeout=60).json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    def told(self) -> dict[str, str]:
        """What Alertmanager knows: alert name to `active` or `suppressed`."""
        found: list[dict[str, Any]] = httpx2.get(
            f"{self.alertmanager}/api/v2/alerts", trust_env=False, timeout=60
        ).json()
        return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in found}


@contextlib.contextmanager
def own_services(
    engines: Settings, child_env: Mapping[str, str], progress: local.Progress, home: Path
) -> Iterator[tuple[Settings, dict[str, str]]]:
    """Services with a state folder of their own, on engines that others use too."""
    names = [f"CUTOVER_{name}_PORT" for name in (*(s.upper() for s in SERVICES), "MONITOR")]
    env = {
        **child_env,
        "CUTOVER_HOME": str(home),
        "VLLM_URL": engines.vllm_url,
        "OLLAMA_URL": engines.ollama_url,
        **dict(zip(names, map(str, free_ports(len(names))), strict=True)),
    }
    settings = settings_room.load(env)
    local.up(settings, progress, env=env)
    try:
        yield settings, env
    finally:
        local.down(settings, progress)


@contextlib.contextmanager
def watched(settings: Settings, env: Mapping[str, str], folder: Path, *, times_faster: int = 1) -> Iterator[Watch]:
    """All of `monitoring/`, with this stack's addresses; waits and windows of the rules so many times shorter."""
    prometheus, alertmanager = free_ports(2)
    _configure(folder, here.addresses(settings, f"127.0.0.1:{alertmanager}"), times_faster)
    argvs = [
        [sys.executable, "-m", "services.monitor"],
        [
            *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ],
        [
            *("prometheus-alertmanager", f"--config.file={MONITORING}/alertmanager.yml", "--cluster.listen-address="),
            *(f"--storage.path={folder}/am", f"--web.listen-address=127.0.0.1:{alertmanager}"),
        ],
    ]
    watch = Watch(prometheus=f"http://127.0.0.1:{prometheus}", alertmanager=f"http://127.0.0.1:{alertmanager}")
    with contextlib.ExitStack() as running:
        for argv in argvs:
            running.enter_context(_running(argv, env, folder))
        until(lambda: sum(watch.values("up")) == len(SERVICES) + 2, "all targets answer", 300)
        yield watch


def until(holds: Callable[[], bool], what: str, limit_s: float) -> None:
    """Look again until it holds. What does not answer yet does not hold."""
    deadline = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(httpx2.TransportError, ValueError):
            if holds():
                return
        assert time.monotonic() < deadline, f"waited {limit_s:g} s in vain until {what}"
        time.sleep(0.5)


def shortened(rules: str, times: int) -> str:
    """The rules with every wait, window and interval so many times shorter, and never shorter than makes sense."""

    def short(found: re.Match[str]) -> str:
        seconds = max(SHORTEST_S, int(found[2]) * SECONDS[found[3]] // times)
        return f"{found[1]}{seconds}s{found[4]}"

    return re.sub(r"(\bfor: |\binterval: |\[)(\d+)([smhd])(\]|\b)", short, rules)


def _configure(folder: Path, targets: Mapping[str, str], times_faster: int) -> None:
    text = here.config((MONITORING / "prometheus.yml").read_text(), targets, rules=folder / "rules")
    text = re.sub(r"_interval: 15s", "_interval: 2s", text).replace("timeout: 10s", "timeout: 2s")
    (folder / "rules").mkdir(parents=True)
    (folder / "prometheus.yml").write_text(text)
    for file in (MONITORING / "rules").glob("*.yml"):
        (folder / "rules" / file.name).write_text(
            shortened(file.read_text(), times_faster) if times_faster > 1 else file.read_text()
        )


@contextlib.contextmanager
def _running(argv: list[str], env: Mapping[str, str], folder: Path) -> Iterator[None]:
    """A process of ours, ended by its own handle; its log lies in the folder."""
    with (folder / f"{Path(argv[-1]).name if argv[0] == sys.executable else argv[0]}.log").open("wb") as log:
        process = subprocess.Popen(argv, env={**os.environ, **env}, cwd=REPO, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)
