"""Debian's promtool and what it is asked; without it those tests are skipped, and `.ci/run` installs it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MONITORING = ROOT / "monitoring"

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus"
)
needs_amtool = pytest.mark.skipif(
    not shutil.which("amtool"), reason="amtool is missing: apt-get install prometheus-alertmanager"
)

WORDS = {"sum", "by", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "without", "bool", "offset"}


def asked(*argv: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)


def selectors(expr: str) -> list[tuple[str, frozenset[str]]]:
    """Each metric that an expression asks for, with the labels that it is chosen by."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    found = []
    for name, matched in re.findall(
        r"([A-Za-z_:][\w:]*)\s*(?=[{\[ )/<>=*+-]|$)(?:\{([^}]*)\})?", _without_groupings(bare)
    ):
        if name not in WORDS and not name[0].isdigit():
            found.append((name, frozenset(re.findall(r"([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)", matched or ""))))
    return found


def _without_groupings(expr: str) -> str:
    """Neither label lists, nor durations, nor the names of functions."""
    expr = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", expr)
    expr = re.sub(r"\[[^\]]*\]", " ", expr)
    expr = re.sub(r"\b\d[\w.]*", " ", expr)
    return re.sub(r"\b\w+\s*(?=\()", " ", expr)
