"""The commands of the README on the real engines: `make run`, then each verb, with the fewest rounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.settings import Settings

pytestmark = pytest.mark.engines

REPO = Path(__file__).resolve().parents[2]
LIMIT_S = 2700


@pytest.fixture(scope="module")
def ran(stack: Settings, child_env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`make run` with one round a service, over the engines that this test run has started."""
    argv = ["make", "run", "ROUNDS=1", f"PYTHON={sys.executable}"]
    return subprocess.run(argv, cwd=REPO, env=child_env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.fixture
def cutover(ran: object, child_env: dict[str, str]) -> Any:
    """Call the installed command; gives exit code and its one JSON object."""

    def call(*argv: str, code: int) -> dict[str, Any]:
        done = subprocess.run(
            [".venv/bin/cutover", *argv, "--json"],
            cwd=REPO,
            env=child_env,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return dict(json.loads(done.stdout))

    return call


def test_make_run_ends_with_the_table(ran: subprocess.CompletedProcess[str]) -> None:
    """Every service is asked, examined, measured and moved as a demo, and the table says so."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for word in ("ask rag", "doctor notes", "gate ner", "full (demo)", "inconclusive", "make down", "reports"):
        assert word in ran.stdout, ran.stdout


def test_status_lists_the_services_with_their_stages(cutover: Any) -> None:
    """A shown move is marked as such."""
    services = cutover("status", code=0)["services"]

    assert {s: services[s]["stage"] for s in services} == dict.fromkeys(("rag", "notes", "ner"), "full")
    assert all(s["demo"] and s["provider"] == "vllm" for s in services.values())


def test_doctor_finds_no_failure_on_our_own_engines(cutover: Any) -> None:
    """Same weights, same template, same window: prompt tokens agree on every shape that the model knows."""
    findings = cutover("doctor", "notes", code=0)["findings"]

    tokens = [f for f in findings if f["check"].startswith("prompt tokens") and "tool" not in f["check"]]
    assert not [f for f in findings if f["level"] == "fail"]
    assert len(tokens) >= 5
    assert all(f["level"] == "pass" and f["ollama"] == f["vllm"] for f in tokens)


def test_short_gate_is_inconclusive_and_recomputable(cutover: Any, stack: Settings) -> None:
    """Two rounds cannot decide, and the raw file gives the same verdict again."""
    verdict = cutover("gate", "notes", "--rounds", "2", code=2)
    raw = stack.state_dir / "raw" / verdict["raw"]["records"]

    assert verdict["outcome"] == "inconclusive"
    assert verdict["reasons"]
    assert all(arm["fallbacks"] == 0 for arm in verdict["arms"].values())
    assert cutover("gate", "notes", "--from", str(raw), code=2) == verdict


def test_inconclusive_moves_nothing_in_normal_use(cutover: Any) -> None:
    """Back on Ollama, `migrate` without a pass holds the service and says why; history tells both moves."""
    assert cutover("rollback", "notes", "--reason", "test", code=0)["stage"] == "rolled_back"
    held = cutover("migrate", "notes", "--rounds", "1", code=2)
    history = cutover("history", "notes", code=0)["history"]

    assert held["stage"] == "rolled_back"
    assert any("only a pass moves a service" in reason for reason in held["reasons"])
    assert history[-1]["to"]["stage"] == "rolled_back"
    assert any(line["demo"] for line in history)


def test_report_is_written(cutover: Any) -> None:
    """The report names the raw file and how to compute the verdict again."""
    text = Path(cutover("report", "rag", code=0)["report"]).read_text()

    assert "cutover gate rag --from" in text


def test_make_down_with_nothing_running(ran: object, child_env: dict[str, str], tmp_path: Path) -> None:
    """The command of the README, in a home where nothing was started."""
    env = {**child_env, "CUTOVER_HOME": str(tmp_path)}
    argv = ["make", "down", f"PYTHON={sys.executable}"]
    done = subprocess.run(argv, cwd=REPO, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    assert done.returncode == 0, done.stderr
    assert "already stopped" in done.stdout
