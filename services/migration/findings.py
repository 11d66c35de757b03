"""What the doctor says: a finding per check, with both engines' values and the next step. Values only."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from services.migration.doctor_checks import check_of


class Level(enum.StrEnum):
    """`fail` stops a migration; `warn` is a known difference that somebody should read."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check. `ollama` and `vllm` hold what each engine showed; `next` says what to do unless it passed.

    `waived` is why somebody accepts it as it is, `waived_until` the last day of that (ISO), `waived_by` who. The level
    stays what it is.
    """

    check: str
    level: Level
    ollama: str
    vllm: str
    next: str = ""
    waived: str = ""
    waived_until: str = ""
    waived_by: str = ""

    def is_waived(self, today: date) -> bool:
        """Whether the waiver still holds. A date that cannot be read holds nothing."""
        try:
            return bool(self.waived) and today <= date.fromisoformat(self.waived_until)
        except ValueError:
            return False


def today_utc() -> date:
    return datetime.now(UTC).date()


def failed(findings: Sequence[Finding], today: date | None = None) -> bool:
    """Whether any finding forbids a move. No finding at all is no health; a waiver that has run out is none."""
    day = today or today_utc()
    return not findings or any(f.level is Level.FAIL and not f.is_waived(day) for f in findings)


def document(finding: Finding) -> Mapping[str, Any]:
    """A finding as `cutover doctor --json` shows it; `id` and `why` are those of `reference/engines.md`, section 4."""
    known = check_of(finding.check)
    return {**asdict(finding), "id": known.id if known else "", "why": known.why if known else ""}


def parsed(stored: Mapping[str, Any]) -> Finding:
    """A finding from its document. Raises `KeyError`, `ValueError` or `TypeError` for what is none."""
    fields = {k: v for k, v in stored.items() if k not in ("id", "why")}
    return Finding(**{**fields, "level": Level(fields["level"])})


def compared(check: str, ollama: object, vllm: object, *, fail: str = "", warn: str = "") -> Finding:
    """A finding whose level follows from the next step given: `fail` before `warn` before a pass."""
    level = Level.FAIL if fail else Level.WARN if warn else Level.PASS
    return Finding(check=check, level=level, ollama=str(ollama), vllm=str(vllm), next=fail or warn)
