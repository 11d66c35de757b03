"""Restarts of an engine in the ledger: written beside the moves, counted, and moving nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.llm.rollout import Stage, Standing
from services.migration import acts, ledger, rollout
from services.migration.errors import LedgerError, Superseded
from services.migration.ledger import Entry
from tests.conftest import REPO

CANARY = Standing(stage=Stage.CANARY, share=0.05, verdict="v1")


def moved(state: Path) -> None:
    entry = Entry(service="notes", source=Standing(), target=CANARY, actor="controller", reasons=("a test",))
    rollout.move(state, entry, expected=0)


def restarted(state: Path, expected: int = 0) -> Entry:
    return acts.write(
        state, "vllm", "restart", actor="revive", reasons=["silent"], evidence={"up_s": 9}, expected=expected
    )


def test_an_act_is_a_line_that_moves_nobody(tmp_path: Path) -> None:
    """The rollout file has the services that were moved, and no engine."""
    moved(tmp_path)
    written = restarted(tmp_path)

    assert acts.past(tmp_path, "vllm") == [written]
    assert (written.seq, written.act, written.reasons) == (2, "restart", ("silent",))
    assert set(rollout.project(tmp_path).services) == {"notes"}
    assert rollout.standing(tmp_path, "notes") == CANARY


def test_a_ledger_without_acts_is_read_as_ever(tmp_path: Path) -> None:
    """Lines of moves look as they did, so older files and older readers know them."""
    moved(tmp_path)
    line = json.loads((tmp_path / ledger.FILE_NAME).read_text())

    assert "act" not in line
    assert ledger.read(tmp_path / ledger.FILE_NAME).entries[0].act is None
    assert acts.past(tmp_path, "vllm") == []


def test_of_two_who_would_act_at_once_one_does(tmp_path: Path) -> None:
    restarted(tmp_path)
    with pytest.raises(Superseded, match="already"):
        restarted(tmp_path)

    restarted(tmp_path, expected=1)
    assert len(acts.past(tmp_path, "vllm")) == 2


def test_who_cannot_count_does_not_act(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE_NAME).write_text("nonsense\n")
    with pytest.raises(LedgerError):
        acts.past(tmp_path, "vllm")


def program(state: Path, *words: str) -> tuple[int, str]:
    """`python -m services.migration`, as a container runs it."""
    env = {"CUTOVER_STATE_DIR": str(state), "PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-P", "-m", "services.migration", *words]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout.strip()


def test_the_program_writes_one_and_lists_all(tmp_path: Path) -> None:
    """By standard output, with the exit code of what went wrong."""
    line: dict[str, Any] = {"act": "restart", "actor": "revive", "reasons": ["silent"], "evidence": {}, "expected": 0}

    code, said = program(tmp_path, "vllm", json.dumps(line))
    assert (code, json.loads(said)[0]["act"]) == (0, "restart")
    assert program(tmp_path, "vllm") == (0, said)
    assert program(tmp_path, "ollama") == (0, "[]")
    code, said = program(tmp_path, "vllm", json.dumps(line))
    assert (code, "already" in said) == (2, True)
    assert program(tmp_path, "vllm", "{")[0] == program(tmp_path, "vllm", "{}")[0] == program(tmp_path)[0] == 64
