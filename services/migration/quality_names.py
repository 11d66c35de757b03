"""The names of the quality metrics, what of an item's gold each needs, and which of them read what. Values only."""

from __future__ import annotations

import enum


class QualityMetric(enum.StrEnum):
    """How answers are scored, each from 0 to 1. `quality` holds the formulas, `docs/QUALITY.md` explains them."""

    ANSWER_MATCH = "answer_match"
    ANSWER_F1 = "answer_f1"
    RETRIEVAL_NDCG = "retrieval_ndcg"
    RETRIEVAL_RECALL = "retrieval_recall"
    KEYWORD_RECALL = "keyword_recall"
    SUMMARY_CHRF = "summary_chrf"
    TAG_F1 = "tag_f1"
    SPAN_F1 = "span_f1"
    ENTITY_F1 = "entity_f1"


GOLD = {
    QualityMetric.ANSWER_MATCH: "phrases",
    QualityMetric.ANSWER_F1: "answers",
    QualityMetric.RETRIEVAL_NDCG: "passages",
    QualityMetric.RETRIEVAL_RECALL: "passages",
    QualityMetric.KEYWORD_RECALL: "keywords",
    QualityMetric.SUMMARY_CHRF: "summary",
    QualityMetric.TAG_F1: "tags",
    QualityMetric.SPAN_F1: "entities",
    QualityMetric.ENTITY_F1: "entities",
}
"""The gold field that each metric needs."""

OF_RETRIEVAL = frozenset({QualityMetric.RETRIEVAL_NDCG, QualityMetric.RETRIEVAL_RECALL})
OF_ENTITIES = frozenset({QualityMetric.SPAN_F1, QualityMetric.ENTITY_F1})
