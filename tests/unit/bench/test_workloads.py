"""The recipes: readable by the gate, big enough for a verdict on quality, and with gold that a good answer can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import sample, settings
from services.migration import gates, quality, workload
from services.ner.prompts import MAX_ENTITIES, EntityType
from services.rag.chunking import passages
from services.rag.store import SqliteDocuments

WORKLOADS = Path(__file__).parents[3] / "bench" / "workloads"


def recipe(service: str) -> workload.Workload:
    return workload.load(WORKLOADS / f"{service}.toml", service=service)


@pytest.mark.parametrize("service", settings.SERVICES)
class TestEach:
    def test_has_as_many_items_as_a_verdict_on_quality_needs(self, service: str) -> None:
        assert len(recipe(service).items) >= gates.load().method.min_items

    def test_a_perfect_answer_scores_one_and_an_echo_of_a_question_nothing(self, service: str) -> None:
        """The gold is reachable; and where a question is asked, not by repeating it."""
        for item in recipe(service).items:
            gold = item.gold
            perfect = {
                "summary": " ".join(gold.get("keywords", ())),
                "answer": " ".join(gold.get("phrases", ())),
                "entities": gold.get("entities", ()),
            }
            assert quality.score(recipe(service).metric, perfect, gold) == 1.0, item.id
            if "question" in item.body:
                assert quality.score(recipe(service).metric, {"answer": item.body["question"]}, gold) == 0.0, item.id


class TestRag:
    def test_every_answer_stands_in_the_sample_document_of_its_title(self) -> None:
        texts = {d.title: d.text for d in sample.documents()}
        for item in recipe("rag").items:
            assert quality.phrase_match(texts[item.gold["title"]], item.gold["phrases"]) == 1.0, item.id

    async def test_the_passage_is_found_with_a_nonce_before_the_question(self, tmp_path: Path) -> None:
        """Retrieval is the same for both engines; a miss would only make the quality metric blind."""
        async with SqliteDocuments(tmp_path / "rag.db") as documents:
            for document in sample.documents():
                await documents.add(document.title, document.text, passages(document.text))
            for item in recipe("rag").items:
                hits = await documents.search(f"[3f2a] {item.body['question']}", item.body["k"])
                held = [h for h in hits if quality.phrase_match(h.text, item.gold["phrases"])]
                assert item.gold["title"] in {h.title for h in held}, item.id


class TestNotes:
    def test_keywords_stand_in_notes_of_sixty_to_a_hundred_and_twenty_words(self) -> None:
        for item in recipe("notes").items:
            assert quality.recall(item.body["text"], item.gold["keywords"]) == 1.0, item.id
            assert 60 <= len(item.body["text"].split()) <= 120, item.id


class TestNer:
    def test_entities_stand_letter_by_letter_in_reports_of_thirty_to_sixty_words(self) -> None:
        for item in recipe("ner").items:
            assert 30 <= len(item.body["text"].split()) <= 60, item.id
            for entity in item.gold["entities"]:
                assert entity["text"] in item.body["text"], item.id
                assert entity["type"] in list(EntityType), item.id
            assert len(item.gold["entities"]) <= MAX_ENTITIES, item.id
