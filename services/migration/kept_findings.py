"""The doctor's findings in the state folder: when, at which engines, and whether a move may still rest on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from services.migration import engines, findings, gates
from services.migration.findings import Finding, failed
from services.migration.records import Engine
from services.migration.rollout import write_aside

CLOCK_SKEW = timedelta(minutes=5)  # what a clock may be corrected by before it has jumped


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One examination. `at` and `engines` are None and empty where an older program kept it."""

    findings: tuple[Finding, ...]
    at: datetime | None = None
    engines: tuple[Engine, ...] = ()


def path(state_dir: Path, service: str) -> Path:
    return state_dir / "doctor" / f"{service}.json"


def keep(state_dir: Path, service: str, found: Kept) -> None:
    """Write it down for the report and for whoever goes on with a canary. Raises `StateError`."""
    document: dict[str, Any] = {
        "at": found.at.isoformat(timespec="seconds") if found.at else None,
        "engines": TypeAdapter(tuple[Engine, ...]).dump_python(found.engines, mode="json"),
        "findings": [findings.document(f) for f in found.findings],
    }
    write_aside(path(state_dir, service), json.dumps(document, indent=2) + "\n")


def saved(state_dir: Path, service: str) -> Kept:
    """The latest examination; without findings where there is none or it cannot be read."""
    try:
        document = json.loads(path(state_dir, service).read_text())
        at = document.get("at")
        return Kept(
            findings=tuple(findings.parsed(f) for f in document["findings"]),
            at=datetime.fromisoformat(at) if at else None,
            engines=TypeAdapter(tuple[Engine, ...]).validate_python(document.get("engines", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Kept(findings=())


def doubt(found: Kept, now_are: Sequence[Engine], *, now: datetime) -> str:
    """Why a canary may not go on upon these findings, as a clause; empty where it may. Pure.

    They live as long as a verdict does: what was left alone for a week is looked at again.
    """
    if not found.findings:
        return "the doctor has not looked"
    if failed(found.findings, now.date()):
        return "the doctor found a failure"
    if found.at is None or len(found.engines) != len(now_are):
        return "nobody knows at which engines the doctor looked"
    if not all(map(engines.same, found.engines, now_are)):
        return "engines or flags changed since the doctor looked"
    life = timedelta(days=gates.load().method.valid_days)
    return "" if found.at - CLOCK_SKEW <= now < found.at + life else f"the doctor looked at {found.at:%Y-%m-%d}"
