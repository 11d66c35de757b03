"""A sweep on the real engines, as small as one can be: one round, two levels, one trial Ollama."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from services.settings import Settings
from services.stack import local
from tests.house.sources import ROOT

pytestmark = pytest.mark.engines

LIMIT_S = 1800


def test_a_sweep_measures_both_engines_and_leaves_the_stack_as_it_was(
    stack: Settings, child_env: dict[str, str]
) -> None:
    """Each answers its own requests; the trial Ollama is gone and the one that ran runs on."""
    before = {name: state.pid for name, state in local.snapshot(stack).items()}
    argv = ["bench", "notes", "--sweep", "--users", "1,2", "--parallel", "2", "--rounds", "1", "--block-s", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *argv, "--json"],
        cwd=ROOT, env=child_env, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert {(c["name"], x["users"]) for c in found["curves"] for x in c["levels"]} == {
        (name, users) for name in ("vllm", "ollama-2") for users in (1, 2)
    }
    assert all(x["tokens_per_s"]["value"] > 0 for c in found["curves"] for x in c["levels"] if not x["failed"])
    assert (stack.state_dir / "sweep" / "notes.json").exists()
    assert {name: state.pid for name, state in local.snapshot(stack).items()} == before
