"""`cutover faults` as a command: one JSON object with stable keys, exit codes, and the drill on fake engines."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from services import cli
from services.stack import local
from tests.unit.stack.conftest import env, free_port, settings

__all__ = ["env", "free_port", "settings"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path / "home"))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    return document


def test_one_fault_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The keys that scripts rely on; a peer that cannot be had says why and counts for nothing."""
    argv = ["faults", "--only", "context-length", "--seed", "3", "--peer", "portkey", "--json"]
    assert cli.main(argv) == 0
    document = told(capsys)

    assert document["seed"] == 3
    assert document["ours"] == {"passed": 1, "total": 1, "failed": [], "safe": []}
    assert document["peers"]["portkey"]["total"] == 0  # type: ignore[index]
    assert "npm" in document["peers"]["portkey"]["skipped"]  # type: ignore[index]
    assert document["faults"][0]["subjects"]["ours"]["verdict"] == "pass"  # type: ignore[index]
    assert {"load", "versions"} <= document.keys()


def test_the_table_shows_seed_and_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["faults", "--only", "500-once", "--only", "bad-request", "--seed", "4"]) == 0
    shown = capsys.readouterr().out

    assert "seed 4" in shown
    assert "bad-request" in shown
    assert "2/2" in shown


@pytest.mark.parametrize("argv", [["--only", "no-such-fault"], ["--peer", "nobody"], ["--engines", "--kills", "0"]])
def test_wrong_words(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["faults", *argv])

    assert ended.value.code == 64


def test_a_given_vllm_is_not_ours_to_kill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VLLM_URL", "http://127.0.0.1:9")

    assert cli.main(["faults", "--engines"]) == 1
    assert "VLLM_URL" in capsys.readouterr().err


def test_the_drill_kills_restarts_and_stops_what_it_started(
    settings: local.Settings,
    env: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two kills of a process that speaks both wires: everybody answered, both engines gone afterwards."""
    fake = Path(__file__).with_name("fake_engine.py")
    for name in ("vllm", "ollama"):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{fake}" "$@"\n')
    for name, value in {**env, "LLM_CONNECT_S": "30"}.items():  # a busy machine may take seconds to connect
        monkeypatch.setenv(name, value)

    code = cli.main(["faults", "--engines", "--kills", "2", "--workers", "2", "--json"])
    document = told(capsys)

    assert (code, document["kills"], document["failed"], document["errors"]) == (0, 2, 0, [])
    assert set(document["by_provider"]) == {"vllm", "ollama"}  # type: ignore[call-overload]
    assert local.snapshot(settings) == {}
