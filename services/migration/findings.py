"""What the doctor says: a finding per check, with both engines' values and the next step. Values only."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


class Level(enum.StrEnum):
    """`fail` stops a migration; `warn` is a known difference that somebody should read."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check. `ollama` and `vllm` hold what each engine showed; `next` says what to do unless it passed."""

    check: str
    level: Level
    ollama: str
    vllm: str
    next: str = ""


def failed(findings: list[Finding]) -> bool:
    """Whether any finding forbids a move. No finding at all is no health."""
    return not findings or any(f.level is Level.FAIL for f in findings)


def document(finding: Finding) -> Mapping[str, Any]:
    """A finding as `cutover doctor --json` shows it."""
    return asdict(finding)


def compared(check: str, ollama: object, vllm: object, *, fail: str = "", warn: str = "") -> Finding:
    """A finding whose level follows from the next step given: `fail` before `warn` before a pass."""
    level = Level.FAIL if fail else Level.WARN if warn else Level.PASS
    return Finding(check=check, level=level, ollama=str(ollama), vllm=str(vllm), next=fail or warn)
