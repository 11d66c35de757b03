"""How answers are scored: known values, what each score sees and lets pass, and nonsense that scores nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, ClassVar

import pytest

from services.migration import quality
from services.migration.quality_names import GOLD, QualityMetric
from tests.house.sources import ROOT

TEXT = "Ida left Bergen for Oslo."
GOLD_SPANS = [
    {"text": "Ida", "type": "person", "start": 0, "end": 3},
    {"text": "Bergen", "type": "place", "start": 9, "end": 15},
]
FULL: dict[str, Any] = {
    "phrases": ["Bergen"], "answers": ["the Bergen"], "passages": ["Ida left Bergen"], "keywords": ["Bergen"],
    "answerable": True, "summary": "Ida left Bergen.", "tags": ["travel"], "entities": GOLD_SPANS,
    "relations": [{"subject": "Ida", "predicate": "located_in", "object": "Bergen"}],
}  # fmt: skip


def span(text: str, kind: str, start: int) -> dict[str, Any]:
    return {"text": text, "type": kind, "start": start, "end": start + len(text)}


def tagged(*tags: str) -> dict[str, Any]:
    return {"tags": [{"tag": tag, "new": True} for tag in tags]}


def span_f1(*entities: dict[str, Any], shift: int = 0) -> float:
    return quality.score(QualityMetric.SPAN_F1, {"entities": list(entities)}, FULL, shift=shift)


class TestSpans:
    def test_place_and_type_must_both_be_right(self) -> None:
        ida = span("Ida", "person", 0)
        assert span_f1(ida, span("Bergen", "place", 9)) == 1.0
        assert span_f1(ida, span("Bergen", "organisation", 9)) == 0.5
        assert span_f1(ida, span("Bergen for", "place", 9)) == 0.5
        assert span_f1(ida) == pytest.approx(2 / 3)

    def test_a_type_that_is_not_in_the_gold_is_wrong_and_not_passed_over(self) -> None:
        """nervaluate drops what is not in its list of types; ours holds all that were seen."""
        found = span_f1(span("Ida", "person", 0), span("Bergen", "place", 9), span("Oslo", "product", 20))
        assert found == pytest.approx(4 / 5)

    def test_the_nonce_before_the_text_moves_every_place(self) -> None:
        moved = (span("Ida", "person", 7), span("Bergen", "place", 16))
        assert (span_f1(*moved, shift=7), span_f1(*moved)) == (1.0, 0.0)

    def test_nothing_found_where_nothing_is_named_is_a_success(self) -> None:
        none = {"entities": []}
        assert quality.score(QualityMetric.SPAN_F1, none, none) == 1.0
        assert quality.score(QualityMetric.SPAN_F1, {"entities": [span("Ida", "person", 0)]}, none) == 0.0
        assert span_f1() == 0.0

    def test_entity_f1_looks_past_places_and_repeats(self) -> None:
        found = {"entities": [span("ida", "PERSON", 4), span("Ida", "person", 0), span("Bergen", "place", 90)]}
        assert quality.score(QualityMetric.ENTITY_F1, found, FULL) == 1.0


class TestRelations:
    GOLD: ClassVar = {"relations": [
        {"subject": "Ida", "predicate": "works_for", "object": "Nor AS"},
        {"subject": "Nor AS", "predicate": "located_in", "object": "Oslo"},
    ]}  # fmt: skip

    def score(self, *relations: object) -> float:
        return quality.score(QualityMetric.RELATION_F1, {"relations": list(relations)}, self.GOLD)

    def test_ends_and_predicate_must_all_be_right_and_in_order(self) -> None:
        """An end is a name with its type, as the service gives it; its letter case does not count."""
        ida, firm = {"text": "ida", "type": "person"}, {"text": "Nor AS", "type": "organisation"}
        right = {"subject": ida, "predicate": "works_for", "object": firm, "quote": "Ida of Nor AS"}
        assert self.score(right) == self.score(right, right) == pytest.approx(2 / 3)
        assert self.score(right, {"subject": firm, "predicate": "located_in", "object": {"text": "Oslo"}}) == 1.0
        assert self.score({**right, "subject": firm, "object": ida}) == 0.0
        assert self.score({**right, "predicate": "makes"}) == 0.0
        assert self.score("Ida works for Nor AS", {"subject": None}) == 0.0

    def test_none_where_none_is_stated_is_a_success(self) -> None:
        assert quality.score(QualityMetric.RELATION_F1, {}, {"relations": []}) == 1.0


class TestAnswers:
    @pytest.mark.parametrize(
        ("text", "gold", "value"),
        [
            ("The Denver Broncos", "Denver Broncos", 1.0),
            ("Broncos.", "the Denver Broncos!", 2 / 3),
            ("It was the Denver Broncos", "Denver Broncos", 2 / 3),
            ("Panthers", "Denver Broncos", 0.0),
            ("to to be", "to be", 0.8),
        ],
    )
    def test_token_f1_is_that_of_squad(self, text: str, gold: str, value: float) -> None:
        """Worked out by hand from evaluate-v1.1.py: case, punctuation and articles aside, tokens as a bag."""
        assert quality.answer_f1(text, gold) == pytest.approx(value)

    def test_the_best_of_several_gold_answers_counts(self) -> None:
        gold = {"answers": ["rack 7", "Porto"]}
        assert quality.score(QualityMetric.ANSWER_F1, {"answer": "Porto"}, gold) == 1.0

    def test_a_phrase_is_found_as_whole_words_only(self) -> None:
        assert quality.phrase_match("In 2024, at 15:00", ["15"]) == 1.0
        assert quality.phrase_match("In 2015", ["15"]) == 0.0
        assert quality.phrase_match("À MALMÖ!", ["malmo"]) == 1.0


class TestAnswerability:
    @pytest.mark.parametrize("gold", [True, False])
    @pytest.mark.parametrize("said", [True, False])
    def test_the_services_flag_agrees_with_the_gold_or_not(self, gold: bool, said: bool) -> None:
        answer, wanted = {"answer": "not stated", "answerable": said}, {"answerable": gold}
        assert quality.score(QualityMetric.ANSWERABILITY, answer, wanted) == float(gold is said)

    @pytest.mark.parametrize("answer", [{}, {"answerable": None}, {"answerable": "false"}, {"answerable": 0}])
    def test_an_answer_that_does_not_tell_is_wrong_either_way(self, answer: dict[str, Any]) -> None:
        assert quality.score(QualityMetric.ANSWERABILITY, answer, {"answerable": False}) == 0.0

    def test_what_nothing_answers_is_scored_by_nothing_else(self) -> None:
        names = (QualityMetric.ANSWER_MATCH, QualityMetric.RETRIEVAL_NDCG, QualityMetric.ANSWERABILITY)
        told = {"answer": "Bergen", "answerable": True, "retrieved": [{"text": "a"}]}
        assert quality.scores(names, told, {"answerable": False}) == {"answerability": 0.0}


class TestRetrieval:
    def ndcg(self, *texts: str) -> float:
        hits = {"retrieved": [{"text": t} for t in texts]}
        return quality.score(QualityMetric.RETRIEVAL_NDCG, hits, {"passages": ["gold one", "gold two"]})

    def test_the_order_counts(self) -> None:
        """1/log2(3) is what a second place is worth; both gold passages first are worth 1 + 1/log2(3)."""
        best = 1 + 0.6309297535714575
        assert self.ndcg("a gold  one", "and gold\ntwo") == pytest.approx(1.0)
        assert self.ndcg("gold one") == pytest.approx(1 / best)
        assert self.ndcg("other", "gold one") == pytest.approx(0.6309297535714575 / best)
        assert self.ndcg("gold one", "gold one", "gold two") == pytest.approx((1 + 0.5) / best)
        assert self.ndcg() == 0.0

    def test_recall_asks_only_whether_it_is_there(self) -> None:
        hits = {"retrieved": [{"text": "other"}, {"text": "gold two"}]}
        gold = {"passages": ["gold one", "gold two"]}
        assert quality.score(QualityMetric.RETRIEVAL_RECALL, hits, gold) == 0.5


class TestSummaries:
    def test_chrf_is_sacrebleus_plus_plus(self) -> None:
        """The value that `sacrebleu --metrics chrf --chrf-word-order 2` prints for this pair, as a share."""
        assert quality.chrf("the cat sat", "the cat sat on a mat") == pytest.approx(0.5511605, abs=1e-6)
        assert quality.chrf("", "a cat") == 0.0

    def test_tags_are_a_set_in_any_spelling(self) -> None:
        gold = {"tags": ["cold store", "repair"]}
        assert quality.score(QualityMetric.TAG_F1, tagged("Repair", "Cold-Store", "repair"), gold) == 1.0
        assert quality.score(QualityMetric.TAG_F1, tagged("repair", "sea"), gold) == 0.5
        assert quality.score(QualityMetric.TAG_F1, tagged(), gold) == 0.0


@pytest.mark.parametrize("metric", QualityMetric)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"answer": None, "summary": 7, "entities": "none", "retrieved": {"hits": 1}, "tags": "travel"},
        {"entities": [None, 3, {"text": []}], "retrieved": ["text", {"score": 1}], "tags": [{}, "travel", {"tag": 3}]},
        {"entities": [{"text": "x", "type": None, "start": "0", "end": None}], "retrieved": [{"text": None}]},
    ],
)
def test_nonsense_scores_nothing_and_breaks_nothing(metric: QualityMetric, answer: dict[str, Any]) -> None:
    assert quality.scores([metric], answer, FULL) == {str(metric): 0.0}


def test_an_item_without_gold_has_no_scores() -> None:
    assert quality.scores(list(QualityMetric), {"answer": "Bergen"}, {}) == {}


def test_an_item_is_scored_by_the_gold_that_it_has() -> None:
    """Summaries and tags are asked of different items of one recipe."""
    metrics = [QualityMetric.KEYWORD_RECALL, QualityMetric.TAG_F1]
    assert quality.scores(metrics, tagged("travel"), {"tags": ["travel"]}) == {"tag_f1": 1.0}
    assert quality.scores(metrics, {"summary": "To Bergen."}, {"keywords": ["Bergen"]}) == {"keyword_recall": 1.0}


def test_every_metric_names_its_gold() -> None:
    assert set(GOLD) == set(QualityMetric)
    assert set(GOLD.values()) == set(FULL)


def test_the_contract_asks_for_text_or_for_names_of_the_text() -> None:
    spans, words = [QualityMetric.SPAN_F1], [QualityMetric.ANSWER_MATCH]
    assert quality.contract_ok(spans, {"entities": []})
    assert not quality.contract_ok(spans, {"entities": [], "rejected": ["Atlantis"]})
    assert not quality.contract_ok(spans, {"answer": "text"})
    assert quality.contract_ok(words, {"answer": "text"})
    assert not quality.contract_ok(words, {"answer": " "})


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        (tagged("repair"), True),
        (tagged(), True),
        ({"summary": "text"}, False),
        ({"tags": "repair"}, False),
        ({"tags": ["repair"]}, False),
        (tagged(" # "), False),
        ({"tags": [{"tag": "repair"}]}, False),
        ({"tags": [{"tag": None, "new": False}]}, False),
    ],
)
def test_tags_have_a_name_and_tell_whether_they_are_new(answer: dict[str, Any], fits: bool) -> None:
    assert quality.contract_ok([QualityMetric.TAG_F1], answer) is fits


def test_tags_are_shown_as_they_are_scored() -> None:
    answer = {"tags": [{"tag": "repair", "new": False}, {"tag": "ferry", "new": True}]}
    assert quality.shown([QualityMetric.TAG_F1], answer) == "repair; ferry (new)"


def test_nobody_but_a_gate_pays_for_the_libraries() -> None:
    loaded = "{'nervaluate', 'sacrebleu', 'ir_measures', 'pytrec_eval'} & set(sys.modules)"
    said = f"import sys, services.cli, services.migration.judge; sys.exit(bool({loaded}))"
    assert subprocess.run([sys.executable, "-c", said], cwd=ROOT, check=False).returncode == 0
