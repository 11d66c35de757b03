"""A gate that a page tells people to run could pass: where no request fails, its answers are enough to bound errors."""

from __future__ import annotations

import re

import pytest

from services.cli_commands import recipe
from services.migration import gates, looks, stats, workload
from services.settings import SERVICES
from tests.house.sources import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def shown() -> list[tuple[str, str, int]]:
    """Page, service and rounds of every gate; one of `SERVICE` is of each."""
    found = []
    for page in PAGES:
        for name, rounds in re.findall(r"\bgate (\w+) --rounds (\d+)", page.read_text(encoding="utf-8")):
            named = SERVICES if name == "SERVICE" else (name,)
            found += [(str(page.relative_to(ROOT)), service, int(rounds)) for service in named]
    return found


def may_pass(service: str, rounds: int) -> bool:
    rules, found = gates.load(), workload.load(recipe(service), service=service)
    own = found.margins.get("errors")
    last = looks.looks(rules.method, rounds=rounds)[-1]
    bound = stats.clopper_pearson(0, rounds * found.block, level=last.level)
    return bound.high <= (own.margin if own else rules.margins["errors"])


@pytest.mark.parametrize(("page", "service", "rounds"), shown())
def test_a_gate_of_the_docs_could_pass(page: str, service: str, rounds: int) -> None:
    assert may_pass(service, rounds), f"{page}: {rounds} rounds of {service} bound no error rate; write more rounds"


def test_a_short_gate_would_be_seen() -> None:
    assert len(shown()) > 8
    assert not may_pass("rag", 40)
