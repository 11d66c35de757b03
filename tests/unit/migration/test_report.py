"""The report of a service, and the thresholds that it shows."""

from __future__ import annotations

from services.migration import gates, report
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


def test_every_threshold_has_a_reason() -> None:
    found = gates.load()
    assert all(found.whys.values())
    assert set(found.margins) == set(gates.METRICS)


def test_the_shipped_steps_are_the_ones_of_the_design() -> None:
    assert gates.load().policy.steps == POLICY.steps
