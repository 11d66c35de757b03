"""Known differences that a team accepts: read from TOML, checked, and laid over the doctor's findings.

[[notes]]                      # the service
check = "context window"       # as the doctor names it
ollama = "8192 (…)"            # optional: holds only while the doctor shows exactly this; the same for `vllm`
reason = "…"
who = "Ana"
expires = 2027-01-15           # the last day; at most 90 days ahead
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from services.migration.doctor_checks import check_of
from services.migration.errors import MigrationError
from services.migration.findings import Finding, Level, compared
from services.settings import SERVICES

FILE_NAME = "waivers.toml"
LONGEST = timedelta(days=90)
"""A difference that is accepted for ever is not accepted, it is forgotten."""

NEVER = ("generates", "answers readable", "service")
"""Without these there was no examination: nothing is known, so nothing can be accepted."""

NEEDED, ALLOWED = ("check", "reason", "who", "expires"), ("ollama", "vllm")


class WaiverError(MigrationError):
    """The waivers cannot be used. The message lists every problem with its place."""

    exit_code = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One accepted difference. `ollama` and `vllm`, where given, must be exactly what the doctor shows."""

    check: str
    reason: str
    who: str
    expires: date
    ollama: str | None = None
    vllm: str | None = None

    def fits(self, finding: Finding) -> bool:
        shown = (self.ollama in (None, finding.ollama), self.vllm in (None, finding.vllm))
        return finding.check == self.check and all(shown)


def load(path: Path, *, service: str, today: date, needed: bool) -> tuple[Waiver, ...]:
    """The waivers of one service; all of the file is checked. No file is no waiver, unless it is `needed`.

    Raises `WaiverError`.
    """
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError as exc:
        if needed:
            raise WaiverError(f"there is no file of waivers {path}") from exc
        return ()
    except (OSError, ValueError) as exc:
        raise WaiverError(f"cannot read the waivers {path}: {exc}") from exc
    problems = [f"[{s!r}] is not a service; use {', '.join(SERVICES)}" for s in document if s not in SERVICES]
    for name in (s for s in SERVICES if s in document):
        if not isinstance(document[name], list):
            problems.append(f"{name} is not a list of tables; write [[{name}]], in two brackets, above each waiver")
            continue
        for n, table in enumerate(document[name], start=1):
            problems += [f"[[{name}]] number {n}: {problem}" for problem in _problems(table, today)]
    if problems:
        raise WaiverError(f"{path}: " + "; ".join(problems))
    return tuple(Waiver(**table) for table in document.get(service, ()))


def _problems(table: object, today: date) -> list[str]:
    """Everything that is wrong with one waiver."""
    if not isinstance(table, dict):
        return ["is not a table; write [[SERVICE]] above each waiver"]
    found = [f"unknown field {key!r}" for key in table if key not in (*NEEDED, *ALLOWED)]
    found += [f"{key} is missing or empty" for key in NEEDED if not str(table.get(key, "")).strip()]
    found += [f"{key} is not a text" for key in (*NEEDED[:3], *ALLOWED) if not isinstance(table.get(key, ""), str)]
    check = str(table.get("check", ""))
    if check and check_of(check) is None:
        found.append(f"there is no check {check!r}; docs/DOCTOR.md lists them")
    if check in NEVER or check.startswith("waiver of "):
        found.append(f"{check!r} cannot be waived: mend it")
    return found + _date_problems(table, today)


def _date_problems(table: Mapping[str, Any], today: date) -> list[str]:
    if "expires" not in table:
        return []
    expires = table["expires"]
    if not isinstance(expires, date) or isinstance(expires, datetime):
        return [f"expires={expires!r} is not a date; write it like {today + LONGEST}, without quotes"]
    if expires > today + LONGEST:
        return [f"expires={expires} is more than {LONGEST.days} days away; at most {today + LONGEST}"]
    return []


def laid_over(findings: Sequence[Finding], waivers: Sequence[Waiver], today: date) -> list[Finding]:
    """The findings, waived where one fits, and a finding for each waiver that ran out or fits nothing."""
    found = list(findings)
    for waiver in waivers:
        fitting = [i for i, f in enumerate(found) if waiver.fits(f) and f.level is not Level.PASS]
        if waiver.expires < today:
            found.append(
                _of(waiver, "ran out", f"it ran out on {waiver.expires}: mend what it stands for, or renew it")
            )
        elif not fitting:
            found.append(_of(waiver, "fits no finding", "what it was for is gone or shows other values: take it out"))
        else:
            for i in fitting:
                found[i] = replace(
                    found[i], waived=waiver.reason, waived_until=waiver.expires.isoformat(), waived_by=waiver.who
                )
    return found


def _of(waiver: Waiver, what: str, step: str) -> Finding:
    shown = f"{what}; for {waiver.reason!r} ({waiver.who})"
    return compared(f"waiver of {waiver.check}", shown, shown, warn=step)
