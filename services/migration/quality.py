"""Scores one answer of a service against its gold: 0 (nothing) to 1 (all). Pure; `docs/QUALITY.md` names the sources.

The libraries that compute the scores are imported by the first answer that needs them: only a gate pays for them, and
a verdict is computed from the scores in its raw file, without any of them.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.migration.quality_names import GOLD, Form, QualityMetric, forms

SHOWN = 600
DEPTH = 10
"""How many passages count for retrieval: nDCG@10 and recall@10, as in BEIR."""
CHRF_WORDS = 2
"""chrF++: word pairs beside character sextuples (Popovic 2017)."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)


def scores(
    metrics: Iterable[QualityMetric], answer: Mapping[str, Any], gold: Mapping[str, Any], *, shift: int = 0
) -> dict[str, float]:
    """The answer's score by each metric whose gold the item has; none without any, which counts for time only.

    `shift` is how many characters stood before the item's own text when it was asked (the nonce).
    """
    return {str(m): score(m, answer, gold, shift=shift) for m in metrics if GOLD[m] in gold}


def score(metric: QualityMetric, answer: Mapping[str, Any], gold: Mapping[str, Any], *, shift: int = 0) -> float:
    """The quality of an answer. An answer that holds none of what it should scores 0, whatever its shape."""
    wanted = gold[GOLD[metric]]
    match metric:
        case QualityMetric.KEYWORD_RECALL:
            return recall(_text(answer), wanted)
        case QualityMetric.ANSWER_MATCH:
            return phrase_match(_text(answer), wanted)
        case QualityMetric.ANSWER_F1:
            return max(answer_f1(_text(answer), one) for one in wanted)
        case QualityMetric.RETRIEVAL_NDCG | QualityMetric.RETRIEVAL_RECALL:
            return retrieval(metric, _rows(answer.get("retrieved")), wanted)
        case QualityMetric.ANSWERABILITY:
            return float(answer.get("answerable") is wanted)
        case QualityMetric.SUMMARY_CHRF:
            return chrf(_text(answer), wanted)
        case QualityMetric.TAG_F1:
            return f1(_tags(_rows(answer.get("tags"))), Counter({_words(t) for t in wanted}))
        case QualityMetric.ENTITY_F1:
            return f1(_entities(_rows(answer.get("entities"))), _entities(wanted))
        case QualityMetric.RELATION_F1:
            return f1(_relations(_rows(answer.get("relations"))), _relations(wanted))
        case QualityMetric.SPAN_F1:
            return span_f1(_rows(answer.get("entities")), wanted, shift=shift)


def recall(text: str, keywords: Iterable[str]) -> float:
    """The share of gold keywords that the text holds, as whole runs of words, letter case and accents aside."""
    wanted = [_words(k) for k in keywords]
    held = f" {_words(text)} "
    return sum(f" {w} " in held for w in wanted) / len(wanted)


def phrase_match(text: str, phrases: Iterable[str]) -> float:
    """1 when any of the accepted phrases is in the text, else 0: each phrase is one way to say the one answer."""
    held = f" {_words(text)} "
    return float(any(f" {_words(p)} " in held for p in phrases))


def answer_f1(text: str, gold: str) -> float:
    """Token F1 as SQuAD scores it (Rajpurkar et al. 2016): case, punctuation and articles aside.

    Our own lines: the libraries that offer it (`evaluate`, `torchmetrics`) bring a hundred megabytes for these.
    """
    return f1(Counter(_squad(text)), Counter(_squad(gold)))


def retrieval(metric: QualityMetric, hits: Sequence[Mapping[str, Any]], passages: Sequence[str]) -> float:
    """nDCG@10 (Jaervelin and Kekaelaeinen 2002) or recall@10 of the passages found, by ir-measures (trec_eval).

    A hit is relevant when it holds a gold passage, blanks aside; a passage that is found twice counts once.
    """
    import ir_measures

    wanted = [" ".join(p.split()) for p in passages]
    found: dict[str, float] = {}
    for rank, hit in enumerate(hits):
        held = " ".join(str(hit.get("text", "")).split())
        names = {f"gold{i}" for i, p in enumerate(wanted) if p in held} - found.keys()
        for name in sorted(names) or [f"other{rank}"]:
            found[name] = 1.0 / (1 + rank)
    if not found:
        return 0.0
    measure = ir_measures.nDCG @ DEPTH if metric is QualityMetric.RETRIEVAL_NDCG else ir_measures.R @ DEPTH
    relevant = [ir_measures.Qrel("q", f"gold{i}", 1) for i in range(len(wanted))]
    ranked = [ir_measures.ScoredDoc("q", name, value) for name, value in found.items()]
    return float(ir_measures.calc_aggregate([measure], relevant, ranked)[measure])


def chrf(text: str, reference: str) -> float:
    """chrF++ of a summary against the reference (Popovic 2017), by sacrebleu, as a share instead of a percentage."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF(word_order=CHRF_WORDS).sentence_score(text, [reference]).score) / 100


def span_f1(found: Sequence[Mapping[str, Any]], gold: Sequence[Mapping[str, Any]], *, shift: int) -> float:
    """Strict span F1 by nervaluate (SemEval 2013 task 9): start, end and type must all be right.

    No name found where there is none is a whole success, for which nervaluate, having nothing to divide, says 0.
    """
    from nervaluate.evaluator import Evaluator  # type: ignore[import-untyped]

    have, want = _spans(found, shift), _spans(gold, 0)
    if not have and not want:
        return 1.0
    types = sorted({span["label"] for span in (*have, *want)})
    result = Evaluator([want], [have], tags=types, loader="dict").evaluate()
    return float(result["overall"]["strict"].f1)


def _spans(entities: Sequence[Mapping[str, Any]], shift: int) -> list[dict[str, Any]]:
    """Spans as nervaluate reads them, each once, its end inclusive. One without a place is nowhere."""
    found = {
        (_place(e.get("start"), shift), _place(e.get("end"), shift + 1), str(e.get("type", "")).lower())
        for e in entities
    }
    return [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _place(value: object, shift: int) -> int:
    return value - shift if isinstance(value, int) else -1


def f1(have: Counter[Any], want: Counter[Any]) -> float:
    """2TP / (2TP + FP + FN); 1 where nothing was wanted and nothing given."""
    total = have.total() + want.total()
    return 2 * (have & want).total() / total if total else 1.0


def _entities(entities: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """(surface, type) as a set, letter case aside: naming an entity twice is neither better nor worse."""
    return Counter({(_words(str(e.get("text", ""))), str(e.get("type", "")).lower()) for e in entities})


def _relations(relations: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    """(subject, predicate, object) as a set, without places: quotes differ where both are right."""
    return Counter(
        {(_end(r.get("subject")), str(r.get("predicate", "")).lower(), _end(r.get("object"))) for r in relations}
    )


def _end(end: object) -> str:
    """The name at one end: the service gives it with its type, gold without."""
    return _words(str(end.get("text", "") if isinstance(end, Mapping) else end))


def _tags(tags: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """As a set, in any spelling; whether a tag is new makes it neither better nor worse."""
    return Counter({_words(str(t.get("tag", ""))) for t in tags})


def contract_ok(metrics: Iterable[QualityMetric], answer: Mapping[str, Any]) -> bool:
    """Whether the answer has the shape that the service promises: text, tags, or entities that are in the text.

    Stopping at the token limit is no breach: the limit is ours, and both engines meet the same one.
    """
    form = forms(metrics)
    if Form.ENTITIES in form:
        return isinstance(answer.get("entities"), list) and not answer.get("rejected")
    if Form.TAGS in form:
        return isinstance(answer.get("tags"), list) and all(map(_is_tag, answer["tags"]))
    return bool(_text(answer).strip())


def _is_tag(row: object) -> bool:
    """A tag with a name, that tells whether it is new. None at all is an answer too, which the score judges."""
    return isinstance(row, Mapping) and bool(_words(str(row.get("tag") or ""))) and isinstance(row.get("new"), bool)


def shown(metrics: Iterable[QualityMetric], answer: Mapping[str, Any]) -> str:
    """What of an answer is scored, for people to look at; at most `SHOWN` characters."""
    form = forms(metrics)
    if Form.TAGS in form:
        tags = _rows(answer.get("tags"))
        return "; ".join(f"{t.get('tag', '')}{' (new)' if t.get('new') is True else ''}" for t in tags)[:SHOWN]
    if Form.ENTITIES in form:
        found = _rows(answer.get("entities"))
        return "; ".join(f"{e.get('text', '')} ({e.get('type', '')})" for e in found)[:SHOWN]
    return _text(answer)[:SHOWN]


def _rows(value: object) -> list[Mapping[str, Any]]:
    """What of an answer's list can be read: an engine may answer nonsense."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list | tuple) else []


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer.get("summary") or answer.get("answer") or "")


def _words(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in plain).split())


def _squad(text: str) -> list[str]:
    """SQuAD's own normalisation: lower case, then without punctuation, then without articles."""
    bare = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    return _ARTICLES.sub(" ", bare).split()
