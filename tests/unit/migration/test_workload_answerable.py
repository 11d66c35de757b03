"""Recipes with questions that nothing answers: what gold they may have, and how a gate scores and judges them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.migration import gates, measure, report_words, workload
from services.migration.errors import WorkloadError
from services.migration.quality_names import QualityMetric
from services.migration.verdict import Result
from tests.unit.migration.house import TOKEN, House

LEAST = gates.load().method.min_items
ITEM = '\n[[items]]\nid = "{id}"\nbody = {{ text = "q {id}", max_tokens = 16 }}\ngold = {{ {gold} }}\n'
KNOWN, UNKNOWN = 'phrases = ["word"], answerable = true', "answerable = false"


def asking(house: House, *, known: int = LEAST, unknown: int = 5, changes: Mapping[str, str] | None = None) -> Path:
    """A recipe of RAG's form: questions with an answer, and some without."""
    house.items = 0
    text = house.recipe.read_text().replace('"keyword_recall"', '"answer_match", "answerability"')
    text += "".join(ITEM.format(id=f"r{n:02d}", gold=KNOWN) for n in range(known))
    text += "".join(ITEM.format(id=f"u{n:02d}", gold=UNKNOWN) for n in range(unknown))
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path = house.home / "asking.toml"
    path.write_text(text)
    return path


def test_each_kind_of_question_has_its_own_gold(house: House) -> None:
    found = workload.load(asking(house), service="notes")
    assert found.item("u00").gold == {"answerable": False}
    assert found.metrics_of(found.item("u00")) == (QualityMetric.ANSWER_MATCH, QualityMetric.ANSWERABILITY)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({UNKNOWN: UNKNOWN + ', passages = ["a"]'}, r"items\.u00\.gold\.passages: what nothing answers has no"),
        ({UNKNOWN: UNKNOWN + ', phrases = ["a"]'}, r"items\.u00\.gold\.phrases: what nothing answers has no"),
        ({UNKNOWN: "answerable = 0"}, r"items\.u00\.gold\.phrases: answer_match needs it"),
        ({KNOWN: 'phrases = ["word"], answerable = "yes"'}, r"items\.r00\.gold\.answerable: must be true or false"),
        ({KNOWN: 'phrases = ["word"]'}, r"items\.r00\.gold\.answerable: answerability needs it"),
        ({KNOWN: "answerable = true"}, r"items\.r00\.gold\.phrases: answer_match needs it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_question_is_named(house: House, changes: dict[str, str], word: str) -> None:
    with pytest.raises(WorkloadError, match=rf"asking\.toml: {word}"):
        workload.load(asking(house, changes=changes), service="notes")


def test_gold_that_no_metric_reads_breaks_nothing(house: House) -> None:
    """Whatever it is."""
    odd = {'"answer_match", "answerability"': '"answer_match"', KNOWN: 'phrases = ["word"], answerable = ["a"]'}
    assert workload.load(asking(house, unknown=0, changes=odd), service="notes").item("r00").gold["answerable"] == ["a"]


def test_questions_of_one_kind_only_cannot_tell_a_careful_engine_from_a_careless_one(house: House) -> None:
    with pytest.raises(WorkloadError, match=r"all have the same gold\.answerable, so an engine that never looks"):
        workload.load(asking(house, unknown=0), service="notes")


async def judged(house: House, *, careless: str) -> dict[str, tuple[Result, float | None]]:
    """Both metrics of a whole gate: each engine answers and tells what it cannot, but for the one that makes it up."""

    def said(request: httpx2.Request) -> httpx2.Response:
        body: dict[str, Any] = json.loads(request.content)
        first = request.headers["X-LLM-First"]
        usage = {"prompt_tokens": 20, "completion_tokens": 5}
        llm = {"provider": first, "attempts": [{"provider": first, "error": None}], "skipped": [], "usage": usage}
        is_known = " r" in body["text"]
        house.now_s += 0.3
        answer = "a word" if is_known else "not stated"
        told = {"answer": answer, "answerable": is_known or first == careless, "llm": {**llm, "finish": "stop"}}
        return httpx2.Response(200, json=told)

    plain = house.handle

    async def handle(request: httpx2.Request) -> httpx2.Response:
        return said(request) if request.url.path == "/v1/summarize" else await plain(request)

    house.handle = handle  # type: ignore[method-assign]  # the one answer that this world lacks
    recipe = asking(house, known=64, unknown=16)
    verdict = await measure.gate(house.settings, "notes", recipe, TOKEN, rounds=120, seams=house.seams)
    return {m.stat: (m.result, m.effect) for m in verdict.metrics if m.name == "quality"}


async def test_two_careful_engines_pass(house: House) -> None:
    told = await judged(house, careless="")
    assert told == {"answer_match": (Result.PASS, 0.0), "answerability": (Result.PASS, 0.0)}


async def test_one_that_makes_answers_up_fails_by_answerability_alone(house: House) -> None:
    told = await judged(house, careless="vllm")
    assert told["answer_match"] == (Result.PASS, 0.0)
    assert told["answerability"] == (Result.FAIL, pytest.approx(-0.2))


def test_every_quality_metric_has_its_words_for_the_report() -> None:
    assert set(report_words.SCORES) == set(QualityMetric)
