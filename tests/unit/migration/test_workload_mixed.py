"""Recipes that ask more than one path: each item is sent to its own and scored by the gold that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.migration import gates, measure, quality, workload
from services.migration.errors import WorkloadError
from services.migration.quality_names import QualityMetric
from tests.unit.migration.house import ITEM, TOKEN, House

LEAST = gates.load().method.min_items
TAGGED = ITEM.replace('"n{n:02d}"', '"t{n:02d}"\npath = "/v1/tags"').replace("keywords", "tags")
PATHS = ("service /v1/summarize", "service /v1/tags")


def mixed(house: House, changes: dict[str, str] | None = None, *, tagged: int = LEAST) -> Path:
    """As many notes to summarise as to tag."""
    text = house.recipe.read_text().replace('"keyword_recall"', '"keyword_recall", "tag_f1"')
    text += "".join(TAGGED.format(n=n) for n in range(tagged))
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path = house.home / "mixed.toml"
    path.write_text(text)
    return path


def loaded(house: House, changes: dict[str, str] | None = None, *, tagged: int = LEAST) -> workload.Workload:
    return workload.load(mixed(house, changes, tagged=tagged), service="notes")


def test_each_item_is_scored_by_what_its_path_answers(house: House) -> None:
    found = loaded(house)
    told = {(found.path_of(item), found.metrics_of(item)) for item in found.items}
    assert told == {
        ("/v1/summarize", (QualityMetric.KEYWORD_RECALL,)),
        ("/v1/tags", (QualityMetric.TAG_F1,)),
    }


def test_an_item_without_gold_keeps_the_contract_of_its_path(house: House) -> None:
    found = loaded(house, {'gold = { tags = ["word"] }\n': ""}, tagged=LEAST + 1)
    item = found.item("t00")
    assert not item.gold
    assert quality.contract_ok(found.metrics_of(item), {"tags": []})
    assert not quality.contract_ok(found.metrics_of(item), {"summary": "a word"})


async def test_a_gate_asks_each_item_at_its_path_with_a_nonce(house: House) -> None:
    """And compares each side's answers of one kind with the other side's of the same kind."""
    path = mixed(house)
    await measure.gate(house.settings, "notes", path, TOKEN, rounds=20, seams=house.seams)
    (raw,) = (house.state / "raw").glob("*.jsonl")
    run = measure.read(raw)
    scores = {(r.item[0], *r.quality.items()) for r in run.records}
    assert scores == {("n", ("keyword_recall", 1.0)), ("t", ("tag_f1", 1.0))}
    assert all(r.contract_ok for r in run.records)
    assert {r.answer for r in run.records if r.item[0] == "t"} == {"word"}
    texts = {where: [b["text"] for key, b in house.asked if key == where] for where in PATHS}
    assert all(text[0] == "[" and text[5:7] == "] " for where in PATHS for text in texts[where])
    assert all(texts.values())


async def test_each_metric_is_judged_over_its_own_items(house: House) -> None:
    house.items = 60
    recipe = mixed(house, tagged=60)
    verdict = await measure.gate(house.settings, "notes", recipe, TOKEN, rounds=120, seams=house.seams)
    judged = {m.stat: (m.result.value, m.effect) for m in verdict.metrics if m.name == "quality"}
    assert judged == {"keyword_recall": ("pass", 0.0), "tag_f1": ("pass", 0.0)}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({'path = "/v1/tags"': 'path = "v1/tags"'}, r"items\.20\.path"),
        ({'path = "/v1/tags"': 'path = "http://elsewhere/"'}, r"items\.20\.path"),
        ({'path = "/v1/tags"': 'path = ""'}, r"items\.20\.path"),
        ({'path = "/v1/tags"\n': ""}, r"items\.n00\.gold\.tags: tag_f1 needs it"),
        ({'tags = ["word"]': 'summary = "a word"'}, r"items\.t00\.gold\.tags: tag_f1 needs it"),
        ({'tags = ["word"]': "tags = []"}, r"items\.t00\.gold\.tags: must be a list of texts"),
    ],
)
def test_what_is_wrong_with_one_item_is_named(house: House, changes: dict[str, str], word: str) -> None:
    with pytest.raises(WorkloadError, match=rf"mixed\.toml: {word}"):
        loaded(house, changes)


def test_a_metric_with_too_few_items_is_refused_before_anything_is_measured(house: House) -> None:
    with pytest.raises(
        WorkloadError, match=rf"{LEAST - 1} of {2 * LEAST - 1} have gold\.tags; .* tag_f1 needs {LEAST}"
    ):
        loaded(house, tagged=LEAST - 1)


def test_a_path_whose_answers_nobody_can_judge_is_refused(house: House) -> None:
    other = '\n[[items]]\nid = "x"\npath = "/v1/other"\nbody = { text = "note" }\n'
    house.items = LEAST
    path = mixed(house)
    path.write_text(path.read_text() + other)
    with pytest.raises(WorkloadError, match="none that is asked at /v1/other has gold that a metric reads"):
        workload.load(path, service="notes")


def test_gold_for_two_forms_of_answer_at_one_path_is_refused(house: House) -> None:
    """A summary holds no tags, so each of them would be scored 0 on both engines, and pass."""
    path = house.home / "both.toml"
    text = house.recipe.read_text().replace('"keyword_recall"', '"keyword_recall", "tag_f1"')
    path.write_text(text.replace("gold = {", 'gold = { tags = ["word"],'))
    with pytest.raises(WorkloadError, match="of /v1/summarize have gold for keyword_recall and tag_f1, and no answer"):
        workload.load(path, service="notes")


def test_another_path_is_another_recipe(house: House) -> None:
    """So that no verdict on one lets a service move on the other."""
    first = loaded(house)
    text = mixed(house).read_text().replace("/v1/tags", "/v1/labels")
    (house.home / "other.toml").write_text(text)
    assert workload.load(house.home / "other.toml", service="notes").sha256 != first.sha256
