"""What a recipe may say: every mistake is named with its file and field, and items without gold count for time only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from services.migration import gates, workload
from services.migration.errors import WorkloadError
from services.migration.gates import Override
from tests.unit.migration.house import House

LEAST = gates.load().method.min_items
SPAN = '{ text = "note", type = "place", start = 0, end = 4 }'
NAMES = {
    'metrics = ["keyword_recall"]': 'metrics = ["span_f1"]',
    'keywords = ["word"]': f"entities = [{SPAN}]",
}
FACT = '{ subject = "note", predicate = "part_of", object = "n" }'
FACTS = {
    'metrics = ["keyword_recall"]': 'metrics = ["relation_f1"]',
    "max_tokens = 16": "max_tokens = 16, relations = true",
    'keywords = ["word"]': f"relations = [{FACT}]",
}
MARGINS = "\n[margins.{name}]\nmargin = {margin}\nwhy = '{why}'\n\n[[items]]"
ENTITY = "items.n00.gold.entities.0: "


def written(house: House, changes: dict[str, str]) -> Path:
    path = house.home / "own.toml"
    text = house.recipe.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1) if old in ("[[items]]", 'id = "n01"') else text.replace(old, new)
    path.write_text(text)
    return path


def loaded(house: House, changes: dict[str, str]) -> workload.Workload:
    return workload.load(written(house, changes), service="notes")


def margin(name: str, value: Any, why: str = "") -> dict[str, str]:
    return {"[[items]]": MARGINS.format(name=name, margin=value, why=why)}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"schema_version = 2": "schema_version = 1"}, "schema_version: is 1, this program reads 2"),
        ({'licence = "ours"': ""}, "licence"),
        ({'why = "a test"': 'why = " "'}, "why"),
        ({"block = 2": "block = 0"}, "block"),
        ({"concurrency = 1": "concurrency = 1000000"}, "concurrency"),
        ({"concurrency = 1": "concurrency = -1"}, "concurrency"),
        ({'metrics = ["keyword_recall"]': 'metrics = ["beauty"]'}, "metrics.0"),
        ({'metrics = ["keyword_recall"]': "metrics = []"}, "metrics"),
        ({'metrics = ["keyword_recall"]': 'metrics = ["keyword_recall", "keyword_recall"]'}, "there twice"),
        ({'metrics = ["keyword_recall"]': 'metrics = ["retrieval_ndcg"]'}, "retrieval_ndcg needs stream = true"),
        ({'metrics = ["keyword_recall"]': 'metrics = ["summary_chrf"]'}, "0 of 20 have gold.summary; .* needs 20"),
        ({'keywords = ["word"]': "keywords = []"}, "items.n00.gold.keywords: must be a list of texts"),
        ({'keywords = ["word"]': 'keywords = "word"'}, "items.n00.gold.keywords: must be a list of texts"),
        ({'keywords = ["word"]': 'keywords = ["word", " "]'}, "items.n00.gold.keywords: must be a list of texts"),
        ({'nonce_field = "text"': 'nonce_field = "txt"'}, "items.n00.body.txt: the nonce field must be a text"),
        ({'id = "n01"': 'id = "n00"'}, "the id 'n00' is there twice"),
        ({'id = "n01"': 'id = ""'}, "items.1.id"),
        ({"max_tokens = 16": "max_tokens = -1"}, "items.n00.body.max_tokens: -1 is not a whole number"),
        ({"max_tokens = 16": "max_tokens = 1e9"}, "items.n00.body.max_tokens"),
        ({"max_tokens = 16": "max_tokens = true"}, "items.n00.body.max_tokens"),
        ({"max_tokens = 16": "temperature = nan"}, "items.n00.body.temperature: nan cannot be sent"),
        ({"max_tokens = 16": "day = 2026-11-21"}, "items.n00.body.day: .* cannot be sent as JSON"),
        ({'mode = "closed"': 'mode = "open"'}, "arrivals.mode"),
        ({'mode = "closed"': 'mode = "poisson"'}, "arrivals.rate: is needed for mode poisson"),
        ({'mode = "closed"': 'mode = "closed"\nrate = 1.0'}, "arrivals.rate: is needed for mode poisson, and for no"),
        ({'mode = "closed"': 'mode = "poisson"\nrate = nan'}, "arrivals.rate"),
        ({'mode = "closed"': 'mode = "poisson"\nrate = -2'}, "arrivals.rate"),
        ({"[arrivals]": '[slo]\ne2e = inf\nwhy = "w"\n[arrivals]'}, "slo.e2e"),
        ({"[arrivals]": "[slo]\ne2e = 1.0\n[arrivals]"}, "slo.why"),
        ({"[arrivals]": '[slo]\nttft = 1.0\nwhy = "w"\n[arrivals]'}, "slo.ttft: only a streamed answer"),
        ({"[arrivals]": "[speed]\nof = 1\n[arrivals]"}, "speed: unknown field"),
        (margin("beauty", 1.1), "margins.beauty: unknown margin"),
        (margin("e2e_q50", "nan"), "margins.e2e_q50.margin: nan is not between"),
        (margin("e2e_q50", 0.5), "margins.e2e_q50.margin: 0.5 is not between 1 and 3"),
        (margin("e2e_q50", 99), "margins.e2e_q50.margin: 99 is not between"),
        (margin("errors", 0.9), "margins.errors.margin: 0.9 is not between"),
        (margin("e2e_q50", 1.5), "margins.e2e_q50.why: 1.5 is laxer than 1.1 of gates.toml, so say why"),
        (margin("throughput", 0.8), "margins.throughput.why: 0.8 is laxer than 0.95"),
        ({**NAMES, SPAN: "3"}, ENTITY + "must have text, type, start and end"),
        ({**NAMES, "start = 0, ": ""}, ENTITY + "must have text, type, start and end"),
        ({**NAMES, "end = 4": "end = 3"}, ENTITY + "0 to 3 of the text is 'not', not 'note'"),
        ({**NAMES, "start = 0, end = 4": "start = 4, end = 4"}, ENTITY + "4 to 4 is no place in a text"),
        ({**FACTS, "relations = true": "relations = false"}, "items.n00.body.relations: must be true"),
        ({**FACTS, FACT: "3"}, "gold.relations.0: must have subject, predicate and object"),
        ({**FACTS, f"[{FACT}]": "'none'"}, "gold.relations: must be a list"),
        ({**FACTS, 'subject = "note"': 'subject = "noted"'}, "relations.0.subject: 'noted' does not stand in the text"),
        ({**FACTS, 'object = "n"': 'object = " "'}, "relations.0.object: ' ' does not stand in the text"),
        ({**NAMES, "start = 0": "start = -9"}, ENTITY + "-9 to 4 is no place in a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_field(house: House, changes: dict[str, str], word: str) -> None:
    with pytest.raises(WorkloadError, match=rf"(?s)own\.toml: .*{word}"):
        loaded(house, changes)


def test_a_text_that_nobody_would_send_is_refused(house: House) -> None:
    with pytest.raises(WorkloadError, match=r"items\.n00\.body\.text: 300001 characters; 200000 are the most"):
        loaded(house, {'text = "note 0"': f'text = "{"x" * 300_001}"'})


class TestWithoutGold:
    def test_recorded_requests_stand_beside_items_with_gold(self, house: House) -> None:
        house.items = LEAST + 5
        text = house.recipe.read_text()
        path = house.home / "recorded.toml"
        path.write_text(re.sub(r"^gold = .*$", "", text, count=5, flags=re.MULTILINE))
        found = workload.load(path, service="notes")
        assert [bool(item.gold) for item in found.items] == [False] * 5 + [True] * LEAST

    def test_too_few_items_with_gold_are_refused_before_anything_is_measured(self, house: House) -> None:
        house.items = LEAST - 1
        with pytest.raises(WorkloadError, match=rf"items: {LEAST - 1} of {LEAST - 1} have gold.keywords; .* {LEAST}"):
            workload.load(house.recipe, service="notes")

    def test_a_text_without_names_has_gold_too(self, house: House) -> None:
        found = loaded(house, {**NAMES, f"[{SPAN}]": "[]"})
        assert found.items[0].gold == {"entities": []}


class TestMargins:
    def test_a_stricter_margin_needs_no_reason(self, house: House) -> None:
        assert loaded(house, margin("e2e_q50", 1.05)).margins == {"e2e_q50": Override(margin=1.05)}
        assert loaded(house, margin("throughput", 0.99)).margins["throughput"].margin == 0.99

    def test_a_laxer_one_is_taken_with_a_reason(self, house: House) -> None:
        found = loaded(house, margin("e2e_q95", 1.4, why="nobody reads these"))
        assert found.margins == {"e2e_q95": Override(margin=1.4, why="nobody reads these")}


def test_arrivals_and_promises_are_read(house: House) -> None:
    house.stream = True
    changes = {
        'mode = "closed"': 'mode = "poisson"\nrate = 0.5',
        "[arrivals]": '[slo]\nttft = 1.0\ne2e = 9\nwhy = "w"\n[arrivals]',
    }
    found = loaded(house, changes)
    assert (found.arrivals.mode, found.arrivals.rate) == (workload.Mode.POISSON, 0.5)
    assert found.slo is not None
    assert found.slo.limits == {"ttft": 1.0, "e2e": 9.0}


def test_any_change_of_the_file_is_another_recipe(house: House) -> None:
    first, second = loaded(house, {}), loaded(house, {"note 1": "note one"})
    assert first.sha256 != second.sha256
