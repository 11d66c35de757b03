"""Page, Markdown and JSON of a report: the same numbers, each outcome, and nothing that data does not carry."""

from __future__ import annotations

import functools
import json
import math
import re
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from services.llm.rollout import Stage, Standing
from services.migration import records, report_data, report_html, report_runs, report_tables, report_text, seals
from services.migration.judge import judge
from services.migration.ledger import Entry
from services.migration.records import Record, Run, Side
from services.migration.report_data import Report
from services.migration.report_runs import Changed
from services.migration.report_words import bounds, effect, named
from services.migration.simulated import World, candidate, dead, fallback, run

RAW = Path("/state/raw")
HOSTILE = (
    '</pre><script src="https://evil.example/x.js"></script><img src=x onerror=alert(1)> {{ 7*7 }} ```\n| a | b |\x1b'
)


def other_prompts(record: Record) -> Record:
    return replace(record, prompt_tokens=95)


def half_dead(record: Record) -> Record:
    return dead(record) if record.position == 0 else fallback(record) if record.position == 1 else record


def forgets(record: Record) -> Record:
    if record.item == "i03" and record.side is Side.CANDIDATE:
        return replace(record, quality={"keyword_recall": 0.5})
    return record


@functools.cache
def runs(name: str) -> Run:
    """One run for each outcome, judged the same by any seed."""
    match name:
        case "pass":
            return run(World(slower=0.4, rounds=60, stream=True), change=forgets)
        case "fail":
            return run(World(slower=2.0, rounds=20), change=candidate(half_dead))
        case "inconclusive":
            return run(World(rounds=2))
    return run(World(rounds=4), change=candidate(other_prompts))


@functools.cache
def told(name: str) -> Report:
    found = runs(name)
    return report_data.build("notes", judge(found), found, raw_dir=RAW, runs=(found,))


@functools.cache
def html(name: str) -> str:
    return report_html.page(told(name))


OUTCOMES = ("pass", "fail", "inconclusive", "invalid")
each_outcome = pytest.mark.parametrize("name", OUTCOMES)


@dataclass
class Seen(HTMLParser):
    """What a page is made of."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def seen(page: str) -> Seen:
    parser = Seen()
    parser.feed(page)
    return parser


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([\w-]+)"', page)


@each_outcome
def test_each_outcome_is_told_in_each_form(name: str) -> None:
    report = told(name)
    assert report.verdict is not None and report.verdict.outcome == name
    assert f'Verdict: <span class="mark {name}">' in html(name)
    assert f"## Verdict: {name}" in report_text.markdown(report)
    assert json.loads(report_text.as_json(report))["verdict"]["outcome"] == name
    assert (report_text.BROKEN in html(name)) == (name == "invalid")


@each_outcome
def test_page_and_markdown_show_the_numbers_of_the_json(name: str) -> None:
    """Every metric's effect and interval, every failed request, every changed item."""
    report = told(name)
    assert report.verdict is not None
    page, text, data = html(name), report_text.markdown(report), json.loads(report_text.as_json(report))
    for metric, known in zip(report.verdict.metrics, data["verdict"]["metrics"], strict=True):
        assert known["effect"] == metric.effect
        for word in (named(metric), effect(metric), bounds(metric)):
            assert word in page and word in text
    for table in (report_tables.ended(report), report_tables.changed(report), report_tables.rounds(report)):
        for row in table.rows:
            assert all(cell in unescape(page) for cell in row)
            assert " | ".join(row) in text
    assert [e["count"] for e in data["ended"]] == [e.count for e in report.ended]
    assert report.recompute in page and report.recompute in text


@each_outcome
def test_the_page_needs_nothing_but_itself(name: str) -> None:
    """No script, nothing loaded, and a policy that forbids both."""
    found = seen(html(name))
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert all(value.startswith("#") for key, value in found.attributes if key in ("src", "href", "xlink:href"))
    assert all(value.startswith("url(#") for value in re.findall(r"url\([^)]*", html(name)))
    assert "default-src 'none'" in html(name)


@each_outcome
def test_the_page_can_be_read_without_seeing_it(name: str) -> None:
    """Headings in order, a name for every plot and table, no id twice, no colour that dark mode cannot change."""
    page = html(name)
    found = seen(page)
    levels = [int(tag[1]) for tag in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(later <= before + 1 for before, later in pairwise(levels))
    assert found.tags.count("table") == found.tags.count("caption") > 0
    plots = found.attributes.count(("role", "img"))
    assert plots == found.tags.count("desc") == found.tags.count("title") - 1 > 0
    ids = [value for key, value in found.attributes if key == "id"]
    assert len(ids) == len(set(ids))
    assert "#0102" not in page


def test_the_curves_are_the_values_that_were_judged() -> None:
    report = told("pass")
    assert report.verdict is not None
    for curve in report.curves:
        metric = report.verdict.metric(curve.name, "q50")
        assert metric is not None
        assert median(curve.seconds) == pytest.approx(metric.candidate if curve.engine == "vllm" else metric.baseline)


def test_cards_and_starts_are_told_where_they_are_known() -> None:
    verdict = told("pass").verdict
    assert verdict is not None
    card = {"name": "NVIDIA H200", "driver": "570.86.15", "memory_bytes": 141 * 2**30}
    seen = replace(
        verdict,
        environment={**verdict.environment, "gpu": [card], "started_with": {"baseline": "", "candidate": "c" * 64}},
    )
    assert ("gpu", "NVIDIA H200, driver 570.86.15, 141 GiB") in report_tables.setting(seen).rows
    assert ("start, sha256", "", "c" * 12) in report_tables.arms(seen).rows
    assert "gpu" not in {row[0] for row in report_tables.setting(verdict).rows}


def test_errors_and_fallbacks_are_counted_by_kind() -> None:
    kinds = {(e.side, e.how): e.count for e in told("fail").ended}
    assert kinds == {("vllm", "http_503"): 20, ("vllm", "answered by ollama"): 20}


def test_what_engines_answered_is_text_and_never_markup() -> None:
    """In the page escaped, in Markdown inside a longer fence, in JSON as it was."""
    item = Changed(item=HOSTILE, metric="keyword_recall", ollama=1.0, vllm=0.0, pairs=1, answers=("plain", HOSTILE))
    report = replace(told("pass"), changed=(item,), scored=1)
    page = report_html.page(report)
    assert set(seen(page).tags) == set(seen(html("pass")).tags) | {"details", "summary", "pre", "div", "h3"}
    assert "<script" not in page and "\x1b" not in page
    assert "{{ 7*7 }}" in page
    assert "````text\n" + HOSTILE in report_text.markdown(report)
    assert json.loads(report_text.as_json(report))["quality"]["changed"][0]["answers"] == ["plain", HOSTILE]


def test_items_that_changed_come_worst_first_and_others_not_at_all() -> None:
    report = told("pass")
    assert [c.item for c in report.changed] == ["i03"]
    assert report.changed[0].difference == pytest.approx(-0.3)
    assert "keeps the scores of the answers, not their text" in html("pass")
    assert "None of the" in html("inconclusive")


class TestMissingData:
    """A section without data is not there."""

    def test_without_the_raw_file_the_verdict_is_told_and_the_rest_said_to_be_missing(self) -> None:
        found = judge(runs("pass"))
        report = report_data.build("notes", found, None, raw_dir=RAW, missing="left out: it is gone")
        page, text = report_html.page(report), report_text.markdown(report)
        assert not {"rounds", "times", "errors", "changed"} & set(sections(page))
        assert "metrics" in sections(page) and "left out: it is gone" in page and "left out: it is gone" in text

    def test_a_run_at_one_concurrency_has_no_plot_against_it(self) -> None:
        assert "concurrency" not in sections(html("pass"))
        assert "Against concurrency" not in report_text.markdown(told("pass"))

    def test_without_e_values_there_is_no_section_for_them(self) -> None:
        assert "canary" not in sections(html("pass"))
        assert "canary's evidence" not in report_text.markdown(told("pass"))

    def test_a_run_that_nobody_answered_has_no_empty_plots(self) -> None:
        found = run(World(rounds=2), change=candidate(dead))
        page = report_html.page(report_data.build("notes", judge(found), found, raw_dir=RAW))
        assert "plot-rounds" not in page and "plot-ecdf" not in page and "http_503" in page

    def test_without_any_verdict_the_page_says_how_to_get_one(self) -> None:
        page = report_html.page(report_data.build("notes", None, None, raw_dir=RAW))
        assert '<code class="short">cutover gate notes</code>' in page
        assert sections(page) == ["verdict", "doctor", "ledger"]


def entry(**evidence: object) -> Entry:
    canary = Standing(stage=Stage.CANARY, share=0.05)
    return Entry(service="notes", source=canary, target=canary, actor="a", reasons=("r",), evidence=evidence)


def test_e_values_of_the_ledger_are_shown_and_nonsense_is_not() -> None:
    tallies = {"candidate": {"errors": 3, "requests": 400}, "control": "none"}
    lines = [
        entry(),
        entry(e_value="much"),
        entry(e_value=3.5, **tallies),
        entry(e_value=True),
        entry(e_value=math.inf),
    ]
    report = report_data.build("notes", None, None, raw_dir=RAW, entries=lines, e_limit=100.0)
    assert [c.e_value for c in report.canary] == [3.5, report_data.LARGEST]
    assert "canary" in sections(report_html.page(report))
    assert "| 3.5 | 100 | 3 of 400 failed |" in report_text.markdown(report)


def test_gates_at_several_concurrencies_are_laid_side_by_side(tmp_path: Path) -> None:
    """Only of the same engines and items; a broken file beside them is passed over."""
    first = run(World(slower=0.5, rounds=4, stream=True))
    for stamp, changes in (
        ("20261121T060000", {"concurrency": 4}),
        ("20261121T070000", {"concurrency": 8, "machine": "another"}),
    ):
        plan = replace(first.plan, id=stamp, **changes)
        lines = seals.sealed(map(records.dump, [plan, *first.records]))
        (tmp_path / f"notes-{stamp}.jsonl").write_text(lines)
    (tmp_path / "notes-0.jsonl").write_text("nonsense\n")
    found = report_runs.alike(first, tmp_path)
    assert [r.plan.concurrency for r in found] == [1, 4]
    report = report_data.build("notes", judge(first), first, raw_dir=tmp_path, runs=found)
    assert {(level.concurrency, level.engine) for level in report.levels} == {
        (n, engine) for n in (1, 4) for engine in ("ollama", "vllm")
    }
    assert "concurrency" in sections(report_html.page(report))


def test_the_same_report_is_the_same_page() -> None:
    assert report_html.page(told("inconclusive")) == report_html.page(told("inconclusive"))
