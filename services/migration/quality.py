"""Scores one answer of a service against its gold: 0 (nothing) to 1 (all). Pure.

The measures are deliberately plain; they compare two engines on the same items, they do not praise either.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from services.migration.workload import QualityMetric

SHOWN = 600


def score(metric: QualityMetric, answer: Mapping[str, Any], gold: Mapping[str, Any]) -> float:
    """The quality of an answer. An answer that holds none of what it should scores 0."""
    match metric:
        case QualityMetric.KEYWORD_RECALL:
            return recall(_text(answer), gold["keywords"])
        case QualityMetric.PHRASE_MATCH:
            return phrase_match(_text(answer), gold["phrases"])
        case QualityMetric.ENTITY_F1:
            return entity_f1(answer.get("entities") or (), gold["entities"])


def recall(text: str, keywords: Iterable[str]) -> float:
    """The share of gold keywords that the text holds, as whole runs of words, letter case and accents aside."""
    wanted = [_words(k) for k in keywords]
    held = f" {_words(text)} "
    return sum(f" {w} " in held for w in wanted) / len(wanted)


def phrase_match(text: str, phrases: Iterable[str]) -> float:
    """1 when any of the accepted phrases is in the text, else 0: each phrase is one way to say the one answer."""
    held = f" {_words(text)} "
    return float(any(f" {_words(p)} " in held for p in phrases))


def entity_f1(found: Iterable[Mapping[str, Any]], gold: Iterable[Mapping[str, Any]]) -> float:
    """F1 over (surface, type), letter case aside: 2TP / (2TP + FP + FN).

    The type counts, because a graph built on a wrong type is wrong; offsets do not, because the service finds them
    itself. Mentions are compared as sets: naming an entity twice is neither better nor worse.
    """
    have, want = _entities(found), _entities(gold)
    hits = sum((have & want).values())
    total = have.total() + want.total()
    return 2 * hits / total if total else 1.0


def _entities(entities: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter({(_words(str(e.get("text", ""))), str(e.get("type", "")).lower()) for e in entities})


def contract_ok(metric: QualityMetric, answer: Mapping[str, Any]) -> bool:
    """Whether the answer has the shape that the service promises: some text, or entities that are in the text.

    Stopping at the token limit is no breach: the limit is ours, and both engines meet the same one.
    """
    if metric is QualityMetric.ENTITY_F1:
        return isinstance(answer.get("entities"), list) and not answer.get("rejected")
    return bool(_text(answer).strip())


def shown(metric: QualityMetric, answer: Mapping[str, Any]) -> str:
    """What of an answer is scored, for people to look at; at most `SHOWN` characters."""
    if metric is QualityMetric.ENTITY_F1:
        found = answer.get("entities") or ()
        return "; ".join(f"{e.get('text', '')} ({e.get('type', '')})" for e in found)[:SHOWN]
    return _text(answer)[:SHOWN]


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer.get("summary") or answer.get("answer") or "")


def _words(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())
