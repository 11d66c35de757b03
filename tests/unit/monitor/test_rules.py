"""The alerts: rules that Prometheus takes, each tested, each with a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.monitor.test_boards import SCRAPED, recorded
from tests.unit.monitor.tools import MONITORING, ROOT, asked, needs_amtool, needs_promtool, selectors

FILES = sorted((MONITORING / "rules").glob("*.yml"))
TEXT = {file: file.read_text() for file in FILES}
ALERT = re.compile(r"^  - alert: (\w+)\n(.*?)(?=^  - |^- |\Z)", re.MULTILINE | re.DOTALL)
ALERTS = {name: body for text in TEXT.values() for name, body in ALERT.findall(text)}
SECTIONS = ("## What it means", "## What to look at", "## Commands", "## What to do")
UNGUARDED = {"Watchdog", "ServiceDown", "EngineDown", "ExporterDown", "BreakerOpen", "StateUnreadable", "DiskFilling"}
UNGUARDED |= {
    "VLLMMetricsAbsent",
    "GPUHotOrFaulty",
    "KVCachePressure",
    "VLLMPreempting",
    "QueueGrowing",
    "VerdictExpired",
}
"""Alerts about a state, where one sample is enough. The others compare shares and need a number of requests."""


def expressions() -> list[str]:
    """What is asked for in all rules, alerts and records alike."""
    found = []
    for text in TEXT.values():
        found += re.findall(r'expr: "?((?!\|)[^\n]+?)"?(?:, labels.*)?$', text, re.MULTILINE)
        found += re.findall(r"expr: \|\n((?:      .*\n)+)", text)
    return found


def recording() -> set[str]:
    return {name for text in TEXT.values() for name in re.findall(r'record: "?([\w:]+)', text)}


@needs_promtool
def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    for argv in (["rules", *map(str, FILES)], ["config", str(MONITORING / "prometheus.yml")]):
        done = asked("promtool", "check", *argv)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    """When each alert fires, and when it keeps still."""
    done = asked("promtool", "test", "rules", str(file.parent / "tests" / file.name))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_amtool
def test_alertmanager_takes_its_configuration() -> None:
    done = asked("amtool", "check-config", str(MONITORING / "alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_test_and_a_page(alert: str) -> None:
    """Who is woken finds what it means and what to do."""
    tests = "".join(path.read_text() for path in (MONITORING / "rules" / "tests").glob("*.yml"))
    page = (ROOT / "docs" / "runbooks" / f"{alert}.md").read_text()

    assert re.search(rf"alertname: {alert}\n\s+exp_alerts:\n", tests), "no test sees it fire"
    assert f"runbook: docs/runbooks/{alert}.md" in ALERTS[alert]
    assert [page.count(section) for section in SECTIONS] == [1, 1, 1, 1]
    assert re.search(r"severity: (page|ticket|none)", ALERTS[alert])


@pytest.mark.parametrize("alert", sorted(set(ALERTS) - UNGUARDED))
def test_a_share_needs_a_number_of_requests(alert: str) -> None:
    """At a few requests a minute one error would be a hundred per cent."""
    assert re.search(r"increase\(llm_\w+?(_total|_count)(\{[^}]*\})?\[\w+\]\)\) > \d+", ALERTS[alert])


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} == set(ALERTS)
    assert set(ALERTS) >= UNGUARDED


def test_rules_ask_for_metrics_that_exist() -> None:
    """As the boards do; a rule about a name that is gone never fires."""
    known = recorded()
    asked_for = [selector for expr in expressions() for selector in selectors(expr)]
    assert len(asked_for) > 60
    for name, matched in asked_for:
        if name not in recording() | {"up"}:
            assert name in known, f"{name} is on no recorded page"
            assert matched <= known[name] | SCRAPED


def test_targets_are_the_ports_of_the_settings() -> None:
    """One place says 8501; the other must not say 8601. Ollama is never scraped: it has no page."""
    from services.settings import SERVICES, load

    settings = load({})
    text = (MONITORING / "prometheus.yml").read_text()
    targets = dict(re.findall(r'job_name: (\w+), static_configs: \[\{targets: \["([^"]+)"', text))

    assert {s: targets[s] for s in SERVICES} == {s: f"{s}:{settings.ports[s]}" for s in SERVICES}
    assert targets["monitor"] == f"monitor:{settings.monitor_port}"
    assert "ollama" not in targets
