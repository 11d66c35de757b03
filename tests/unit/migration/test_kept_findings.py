"""What the doctor found carries a canary as long as a verdict would, of the engines that it looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.migration import kept_findings
from services.migration.findings import Finding, compared, document
from services.migration.kept_findings import Kept, doubt
from services.migration.records import Engine

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
PAIR = (
    Engine(engine="ollama", version="0.9.3", model="m:latest"),
    Engine(engine="vllm", version="0.32.0", model="m", started_with="a" * 64),
)
GOOD = compared("generates", "a word", "a word")
BAD = compared("max_tokens honoured", "1", "9", fail="look for a proxy")
LOOKED = Kept(findings=(GOOD,), at=NOW - timedelta(hours=1), engines=PAIR)


def waived(until: str) -> Finding:
    return replace(BAD, waived="known", waived_until=until, waived_by="Ana")


def test_findings_of_today_about_these_engines_carry_it() -> None:
    assert doubt(LOOKED, PAIR, now=NOW) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda k: Kept(findings=()), "has not looked"),
        (lambda k: replace(k, findings=(GOOD, BAD)), "found a failure"),
        (lambda k: replace(k, findings=(GOOD, waived("2026-11-20"))), "found a failure"),
        (lambda k: replace(k, engines=()), "nobody knows"),
        (lambda k: replace(k, at=None), "nobody knows"),
        (lambda k: replace(k, engines=(PAIR[0], replace(PAIR[1], version="0.31.0"))), "changed since"),
        (lambda k: replace(k, engines=(PAIR[0], replace(PAIR[1], started_with="b" * 64))), "changed since"),
        (lambda k: replace(k, at=NOW - timedelta(days=7)), "looked at 2026-11-14"),
        (lambda k: replace(k, at=NOW + timedelta(hours=1)), "looked at 2026-11-21"),
    ],
)
def test_what_is_missing_old_or_of_other_engines_does_not(change: Callable[[Kept], Kept], why: str) -> None:
    assert why in doubt(change(LOOKED), PAIR, now=NOW)


def test_a_failure_that_is_waived_today_stops_nothing() -> None:
    assert doubt(replace(LOOKED, findings=(GOOD, waived("2026-11-21"))), PAIR, now=NOW) == ""


def test_an_examination_survives_its_file(tmp_path: Path) -> None:
    kept_findings.keep(tmp_path, "notes", LOOKED)

    assert kept_findings.saved(tmp_path, "notes") == LOOKED


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": 3}', '{"findings": [], "at": "noon"}'])
def test_a_file_that_is_none_is_no_examination(tmp_path: Path, text: str) -> None:
    path = kept_findings.path(tmp_path, "notes")
    path.parent.mkdir()
    path.write_text(text)

    assert kept_findings.saved(tmp_path, "notes") == Kept(findings=())


def test_what_an_older_program_kept_is_read_for_the_report_and_carries_nothing(tmp_path: Path) -> None:
    path = kept_findings.path(tmp_path, "notes")
    path.parent.mkdir()
    path.write_text(json.dumps({"findings": [document(GOOD)]}))
    found = kept_findings.saved(tmp_path, "notes")

    assert found.findings == (GOOD,)
    assert "nobody knows" in doubt(found, PAIR, now=NOW)
