"""ruff and mypy are content, with the versions that the requirements pin."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.sources import ROOT, python_files

BENCH = [str(path) for path in python_files("bench")]
CHECKS = {
    "ruff check": ["ruff", "check", "--no-cache", "."],
    "ruff format": ["ruff", "format", "--no-cache", "--check", "."],
    "mypy": ["mypy"],
    # Locust's event decorators have no types; bench's modules are top-level ones, as Locust imports them
    "mypy bench": ["mypy", "--allow-untyped-decorators", *BENCH],
}


@pytest.mark.parametrize("arguments", CHECKS.values(), ids=CHECKS)
def test_the_code_is_clean(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
