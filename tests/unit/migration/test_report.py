"""The report of a service, and the thresholds that it shows."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from services.migration import gates, measure, report, simulated
from services.migration.errors import StateError
from services.migration.simulated import World
from tests.house.sources import ROOT
from tests.unit.migration.house import House
from tests.unit.migration.moving import POLICY, go, passed, users


class TestReport:
    async def test_the_report_tells_verdict_doctor_and_ledger_and_how_to_recompute(self, house: House) -> None:
        verdict = await passed(house)
        await go(house, traffic=users(house))
        text = (house.state / "reports" / "notes.md").read_text()
        assert "## Verdict: pass" in text
        assert f"cutover gate notes --from {house.state / 'raw' / verdict.raw.records}" in text
        assert "canary 25%" in text
        assert "| pass | generates |" in text

    async def test_a_demo_is_called_one_in_the_report(self, house: House) -> None:
        await go(house, demo=True)
        assert (house.state / "reports" / "notes.md").read_text().count("demo: no evidence") == 4

    def test_a_service_without_anything_has_a_report_too(self, house: House) -> None:
        assert "no verdict yet" in report.write(house.state, "notes").read_text()

    async def test_the_three_forms_lie_side_by_side(self, house: House) -> None:
        """The raw file that the verdict names is not there; the page says so and is written all the same."""
        verdict = await passed(house)
        path = report.write(house.state, "notes")
        assert verdict.id in path.with_suffix(".html").read_text()
        assert "cannot read" in path.with_suffix(".html").read_text()
        assert json.loads(path.with_suffix(".json").read_text())["verdict"]["id"] == verdict.id

    def test_the_requests_come_from_the_raw_file_unless_it_changed(self, house: House) -> None:
        raw = house.state / "raw" / "notes-20261121T050000.jsonl"
        raw.parent.mkdir(parents=True)
        raw.write_bytes(simulated.raw(World(rounds=2)))
        measure.save(house.state, measure.judge_file(raw))
        page = report.write(house.state, "notes").with_suffix(".html")
        assert "plot-rounds" in page.read_text()
        raw.write_bytes(simulated.raw(World(rounds=2, seed=2)))
        assert "plot-rounds" not in report.write(house.state, "notes").with_suffix(".html").read_text()
        assert "changed since the verdict" in page.read_text()

    def test_a_folder_that_cannot_be_written_is_an_error_with_the_next_command(self, house: House) -> None:
        house.state.mkdir(parents=True, exist_ok=True)
        (house.state / "reports").write_text("a file where the folder should be")
        with pytest.raises(StateError, match=r"cannot write .*writable, then `cutover report notes`"):
            report.write(house.state, "notes")

    def test_a_full_disk_leaves_the_old_report_whole(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        before = report.write(house.state, "notes").read_text()

        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left"):
            report.write(house.state, "notes")
        assert (house.state / "reports" / "notes.md").read_text() == before
        assert len(list((house.state / "reports").iterdir())) == 3


def test_other_commands_do_not_pay_for_the_plots() -> None:
    """matplotlib costs about a second."""
    said = "import sys, services.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], cwd=ROOT, check=False).returncode == 0


def test_every_threshold_has_a_reason() -> None:
    found = gates.load()
    assert all(found.whys.values())
    assert set(found.margins) == set(gates.METRICS)


def test_the_shipped_steps_are_the_ones_of_the_design() -> None:
    assert gates.load().policy.steps == POLICY.steps
