"""The names of the quality metrics, what of an item's gold each needs, and what of an answer each reads."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class QualityMetric(enum.StrEnum):
    """How answers are scored, each from 0 to 1. `quality` holds the formulas, `docs/QUALITY.md` explains them."""

    ANSWER_MATCH = "answer_match"
    ANSWER_F1 = "answer_f1"
    RETRIEVAL_NDCG = "retrieval_ndcg"
    RETRIEVAL_RECALL = "retrieval_recall"
    ANSWERABILITY = "answerability"
    KEYWORD_RECALL = "keyword_recall"
    SUMMARY_CHRF = "summary_chrf"
    TAG_F1 = "tag_f1"
    SPAN_F1 = "span_f1"
    ENTITY_F1 = "entity_f1"
    RELATION_F1 = "relation_f1"


GOLD = {
    QualityMetric.ANSWER_MATCH: "phrases",
    QualityMetric.ANSWER_F1: "answers",
    QualityMetric.RETRIEVAL_NDCG: "passages",
    QualityMetric.RETRIEVAL_RECALL: "passages",
    QualityMetric.ANSWERABILITY: "answerable",
    QualityMetric.KEYWORD_RECALL: "keywords",
    QualityMetric.SUMMARY_CHRF: "summary",
    QualityMetric.TAG_F1: "tags",
    QualityMetric.SPAN_F1: "entities",
    QualityMetric.ENTITY_F1: "entities",
    QualityMetric.RELATION_F1: "relations",
}
"""The gold field that each metric needs."""

OF_RETRIEVAL = frozenset({QualityMetric.RETRIEVAL_NDCG, QualityMetric.RETRIEVAL_RECALL})


class Form(enum.StrEnum):
    """What an answer holds that is scored. An endpoint answers in one form only."""

    TEXT = "text"
    TAGS = "tags"
    ENTITIES = "entities"


OF_FORM = {
    QualityMetric.TAG_F1: Form.TAGS,
    QualityMetric.SPAN_F1: Form.ENTITIES,
    QualityMetric.ENTITY_F1: Form.ENTITIES,
    QualityMetric.RELATION_F1: Form.ENTITIES,
}
"""All others read text, or what was found for it."""


def forms(metrics: Iterable[QualityMetric]) -> frozenset[Form]:
    """What the metrics read, together."""
    return frozenset(OF_FORM.get(metric, Form.TEXT) for metric in metrics)
