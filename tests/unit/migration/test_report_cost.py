"""What a million tokens cost, in the report: recomputed by hand, said to be assumed, and left out without tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from services.llm.prices import ListPrice, Price
from services.migration import report_data, report_html, report_text
from services.migration.judge import judge
from services.migration.records import Run, Side
from services.migration.report_cost import costs
from tests.unit.migration.test_report_forms import runs

TABLE = {
    side: Price(what="a machine", source="a shop", date="2026-01-01", usd_per_hour=hour)
    for side, hour in (("ollama", 1.0), ("vllm", 2.0))
}
PAID = {
    "anthropic": Price(what="x", source="a page", date="2026-01-01", models={"m": ListPrice(input=1.0, output=5.0)})
}


def of_two(run: Run) -> Run:
    """One answer of each engine and one failure: 100 tokens in and 50 out, 36 s and 18 s at work."""
    first = run.records[0]
    answer = replace(first, served_by="ollama", prompt_tokens=100, output_tokens=50, error="", take=1, round=0)
    records = (
        replace(answer, side=Side.BASELINE, sent_s=0.0, end_s=36.0),
        replace(answer, side=Side.CANDIDATE, served_by="vllm", sent_s=40.0, end_s=49.0),
        replace(answer, side=Side.CANDIDATE, served_by="", error="connect", sent_s=49.0, end_s=58.0),
    )
    return replace(run, records=records)


def test_the_numbers_are_those_of_a_pocket_calculator() -> None:
    """36 s at 1 USD an hour are 0.01 USD for 150 tokens; 18 s at 2 USD the same; paid by list."""
    ollama, vllm, paid = costs(of_two(runs("inconclusive")), {**TABLE, **PAID})

    assert (ollama.who, ollama.busy_s, vllm.busy_s, paid.busy_s) == ("ollama", 36.0, 18.0, None)
    assert ollama.per_million == pytest.approx(0.01 / 150 * 1e6)
    assert ollama.per_million_output == pytest.approx(0.01 / 50 * 1e6)
    assert vllm.per_million == pytest.approx(ollama.per_million)
    assert paid.per_million == pytest.approx((200 * 1.0 + 100 * 5.0) / 300)


def test_without_tokens_or_prices_nothing_is_made_up() -> None:
    run = of_two(runs("inconclusive"))
    silent = replace(run, records=tuple(replace(r, output_tokens=None) for r in run.records))

    assert costs(silent, {**TABLE, **PAID}) == ()
    assert [c.who for c in costs(run, {"vllm": TABLE["vllm"]})] == ["vllm"]


def test_every_form_says_what_is_measured_and_what_is_assumed() -> None:
    run = of_two(runs("inconclusive"))
    judged = judge(runs("inconclusive"))
    report = report_data.build("notes", judged, run, raw_dir=Path("raw"), prices={**TABLE, **PAID})
    markdown, page = report_text.markdown(report), report_html.page(report)

    for form in (markdown, page):
        assert "What a million tokens cost" in form
        assert "Measured here" in form and "Assumed" in form and "a shop, 2026-01-01" in form
    assert '"per_million_output"' in report_text.as_json(report)
