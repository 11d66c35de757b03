"""How well spaCy and both engines find the names of NER's gold set, and the engines the relations. One score a text."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.llm.errors import LLMError
from services.llm.types import Sampling
from services.migration.quality import score
from services.migration.quality_names import GOLD, QualityMetric
from services.migration.workload import Item, Workload
from services.ner.grounding import Grounded, Mention
from services.ner.schemas import PLAIN_TOKENS, RELATION_TOKENS
from services.ner.service import Ask, extracted
from services.ner.shape import DEFAULT, FACTS
from services.rag.metrics import Estimate, estimate
from services.web.asking import ARMS, Wishes
from services.web.room import Client

SERVICE = "ner"
SPACY = "spacy"
AT_ONCE = 4
"""As many requests in flight as the gate has."""
DEADLINE_S = 120.0
TRIED = 3
TEXT = "text"

Progress = Callable[[str], None]
"""Told who reads, and how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One reader of the gold set. `absent` tells why it read nothing, and what to do; then there are no figures.

    A text that `failed` scores 0: whoever gives no answer found nothing. `relation_f1` is of the texts with such gold;
    None for a reader that looks for names only. `median_s` of a text's names, in seconds, where it gave them itself.
    """

    reader: str
    span_f1: Estimate | None = None
    relation_f1: Estimate | None = None
    texts: int = 0
    failed: int = 0
    median_s: float | None = None
    absent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Both engines, through the services' own client, by the model `alias`."""

    client: Client
    alias: str

    async def read(self, arm: str, text: str, *, relations: bool) -> Grounded | None:
        """What `arm` itself found; None where it failed or another one had to answer."""
        shape, most = (FACTS, RELATION_TOKENS) if relations else (DEFAULT, PLAIN_TOKENS)
        ask = Ask(text=text, shape=shape, relations=relations, sampling=Sampling(max_tokens=most))
        wishes = Wishes(request_id="", key="", first=arm, deadline_s=DEADLINE_S)
        try:
            found = await extracted(self.client, ask, wishes, service=SERVICE, alias=self.alias)
        except LLMError:
            return None
        return found.grounded if found.answer.provenance.provider == arm else None


def of_spacy(names: Callable[[str], Sequence[Mention]], gold: Workload) -> Line:
    """The baseline: names only."""
    scores, times = [], []
    for item in _with(QualityMetric.SPAN_F1, gold):
        began = time.perf_counter()
        found = names(_text(item))
        times.append(time.perf_counter() - began)
        scores.append(_span_f1(found, item))
    return Line(reader=SPACY, span_f1=estimate(scores), texts=len(scores), median_s=statistics.median(times))


async def of_engines(asker: Asker, gold: Workload, progress: Progress) -> list[Line]:
    """Each engine in turn; one that answers none of the first `TRIED` texts itself is told as absent."""
    return [await _of_engine(asker, arm, gold, progress) for arm in ARMS]


async def _of_engine(asker: Asker, arm: str, gold: Workload, progress: Progress) -> Line:
    named, related = _with(QualityMetric.SPAN_F1, gold), _with(QualityMetric.RELATION_F1, gold)
    if not await _is_there(asker, arm, named[:TRIED]):
        return Line(reader=arm, absent=f"{arm} did not answer; `cutover up` starts it, `cutover status` shows it")
    names = await _read(asker, arm, named, progress, relations=False)
    facts = await _read(asker, arm, related, progress, relations=True)
    scores = [0.0 if found is None else _span_f1(found.mentions, item) for item, found, _ in names]
    own = [seconds for _, found, seconds in names if found is not None]
    stated = [0.0 if found is None else _relation_f1(found, item) for item, found, _ in facts]
    return Line(
        reader=arm,
        span_f1=estimate(scores),
        relation_f1=estimate(stated) if stated else None,
        texts=len(scores),
        failed=sum(found is None for _, found, _ in (*names, *facts)),
        median_s=statistics.median(own) if own else None,
    )


async def _is_there(asker: Asker, arm: str, items: Sequence[Item]) -> bool:
    """One cut answer is a failed text, not an engine that is not there."""
    for item in items:
        if await asker.read(arm, _text(item), relations=False) is not None:
            return True
    return False


async def _read(
    asker: Asker, arm: str, items: Sequence[Item], progress: Progress, *, relations: bool
) -> list[tuple[Item, Grounded | None, float]]:
    room, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(item: Item) -> tuple[Item, Grounded | None, float]:
        nonlocal done
        async with room:
            began = time.perf_counter()
            found = await asker.read(arm, _text(item), relations=relations)
            done += 1
            progress(f"{arm}, {'relations' if relations else 'names'} {done}/{len(items)}")
            return item, found, time.perf_counter() - began

    return list(await asyncio.gather(*(one(item) for item in items)))


def _with(metric: QualityMetric, gold: Workload) -> list[Item]:
    return [item for item in gold.items if GOLD[metric] in item.gold]


def _text(item: Item) -> str:
    return str(item.body[TEXT])


def _span_f1(found: Sequence[Mention], item: Item) -> float:
    return score(QualityMetric.SPAN_F1, {"entities": _rows(found)}, item.gold)


def _relation_f1(found: Grounded, item: Item) -> float:
    return score(QualityMetric.RELATION_F1, {"relations": _rows(found.facts)}, item.gold)


def _rows(values: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(value) for value in values]
