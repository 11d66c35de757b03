"""Waivers: what a file may hold, what it does to findings, and that none holds longer than it says."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from services.migration import doctor as room
from services.migration import kept_findings, waivers
from services.migration.doctor import Wanted
from services.migration.findings import Finding, Level, compared, document, failed, parsed
from services.migration.waivers import WaiverError
from tests.unit.migration.house import TOKEN, House
from tests.unit.migration.test_doctor import altered

TODAY = date(2026, 11, 21)
GOOD = {
    "check": '"prompt tokens, several turns"', "reason": '"the template is newer"', "who": '"Ana"',
    "expires": "2026-12-24",
}  # fmt: skip
FAILS = compared("prompt tokens, several turns", "16", "37", fail="mend it")


def text(service: str = "notes", **changes: str) -> str:
    lines = [f"{k} = {v}" for k, v in {**GOOD, **changes}.items() if v]
    return f"[[{service}]]\n" + "\n".join(lines) + "\n"


def load(tmp_path: Path, written: str, *, service: str = "notes") -> tuple[waivers.Waiver, ...]:
    path = tmp_path / "waivers.toml"
    path.write_text(written)
    return waivers.load(path, service=service, today=TODAY, needed=True)


def test_a_waived_failure_stays_a_failure_and_stops_nothing(tmp_path: Path) -> None:
    [finding] = waivers.laid_over([FAILS], load(tmp_path, text()), TODAY)
    assert (finding.level, finding.waived, finding.waived_by) == (Level.FAIL, "the template is newer", "Ana")
    assert not failed([finding], TODAY)


def test_a_waiver_runs_out_while_its_finding_lies_in_the_state_folder(tmp_path: Path) -> None:
    [finding] = waivers.laid_over([FAILS], load(tmp_path, text()), TODAY)
    stored = parsed(document(finding))
    assert not failed([stored], date(2026, 12, 24))
    assert failed([stored], date(2026, 12, 25))


def test_a_waiver_that_ran_out_is_told_and_holds_nothing(tmp_path: Path) -> None:
    found = waivers.laid_over([FAILS], load(tmp_path, text(expires="2026-11-20")), TODAY)
    assert failed(found, TODAY)
    assert (found[-1].check, found[-1].level) == ("waiver of prompt tokens, several turns", Level.WARN)
    assert "2026-11-20" in found[-1].next


def test_a_waiver_of_exact_values_holds_for_no_others(tmp_path: Path) -> None:
    found = waivers.laid_over([FAILS], load(tmp_path, text(ollama='"16"', vllm='"38"')), TODAY)
    assert failed(found, TODAY)
    assert "other values" in found[-1].next
    assert not failed(waivers.laid_over([FAILS], load(tmp_path, text(ollama='"16"', vllm='"37"')), TODAY), TODAY)


def test_a_waiver_of_another_service_does_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, text(service="rag")) == ()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (text(reason=""), r"\[\[notes\]\] number 1: reason is missing"),
        (text(reason='" "'), "reason is missing or empty"),
        (text(who=""), "who is missing"),
        (text(expires=""), "expires is missing"),
        (text(expires='"2026-12-24"'), "is not a date"),
        (text(expires="2026-12-24T10:00:00"), "is not a date"),
        (text(expires=str(TODAY + timedelta(days=91))), "more than 90 days away; at most 2027-02-19"),
        (text(check='"prompt tokens, sevral turns"'), "there is no check 'prompt tokens, sevral turns'"),
        (text(check='"service"'), "'service' cannot be waived"),
        (text(check='"generates"'), "'generates' cannot be waived"),
        (text(check='"waiver of versions"'), "cannot be waived"),
        (text(level='"pass"'), "unknown field 'level'"),
        (text(ollama="16"), "ollama is not a text"),
        (text(service="note"), "'note'.*is not a service; use rag, notes, ner"),
        ("notes = 5\n", r"write \[\[notes\]\]"),
        ("notes = [5]\n", r"\[\[notes\]\] number 1: is not a table"),
        (text().replace("[[notes]]", "[notes]"), r"notes is not a list of tables; write \[\[notes\]\]"),
        ("[[notes]\n", "cannot read the waivers"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(WaiverError, match=told):
        load(tmp_path, written)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(WaiverError, match=r"number 1: reason .*number 2: who "):
        load(tmp_path, text(reason="") + text(who=""))


def test_no_file_is_no_waiver_unless_one_was_named(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert waivers.load(path, service="notes", today=TODAY, needed=False) == ()
    with pytest.raises(WaiverError, match="there is no file"):
        waivers.load(path, service="notes", today=TODAY, needed=True)


@pytest.mark.parametrize("days", [0, 90])
def test_the_last_day_counts(tmp_path: Path, days: int) -> None:
    [waiver] = load(tmp_path, text(expires=str(TODAY + timedelta(days=days))))
    assert not failed(waivers.laid_over([FAILS], [waiver], TODAY), TODAY)


async def test_the_doctor_reads_the_file_of_the_state_folder(house: House) -> None:
    altered(house, "vllm", prompt=21)
    house.state.mkdir(parents=True, exist_ok=True)
    (house.state / waivers.FILE_NAME).write_text(text())
    found = await room.doctor(house.settings, "notes", house.recipe, TOKEN, seams=house.seams)
    levels = {f.check: (f.level, bool(f.waived)) for f in found}
    assert levels["prompt tokens, several turns"] == (Level.FAIL, True)
    assert levels["prompt tokens, system and user"] == (Level.FAIL, False)
    assert failed(found, TODAY)
    assert list(kept_findings.saved(house.state, "notes").findings) == found


async def test_a_bad_file_ends_the_doctor_before_any_call(house: House) -> None:
    bad = house.home / "w.toml"
    bad.write_text(text(reason=""))
    with pytest.raises(WaiverError):
        wanted = Wanted(waivers=bad)
        await room.doctor(house.settings, "notes", house.recipe, TOKEN, wanted=wanted, seams=house.seams)
    assert house.asked == []


def test_a_stored_date_that_is_none_holds_nothing() -> None:
    finding = Finding(check="x", level=Level.FAIL, ollama="", vllm="", waived="yes", waived_until="soon")
    assert failed([finding], TODAY)
