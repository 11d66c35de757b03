"""Whether memory stays flat while documents come in: the rule, and its verdict with figures. Pure.

The first quarter is warm-up and not compared: connections open, caches fill, statements are compiled, the embedder's
graph is loaded. The last quarter is compared with the second one, half a run apart. What is compared is the median of
the memory of the processes' own: a large document lifts it for a moment and then gives it back, which the peaks show
and the median does not; what is kept, by a list that only grows or by a heap in pieces, lifts the median for good.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from services.evaluation.ingest_run import Quarter

MAY_GROW = 0.05
MAY_GROW_BYTES = 4 * 1024 * 1024
"""The last quarter's median may be above the second's by this share of it or by so many bytes, whichever is more."""

SMALLEST = 20_000_000
"""Bytes of documents, and more where more may be added: a service that kept half of what it reads must be found out."""

KEPT, APART = 0.5, 0.5
"""That half, and the share of a run's bytes that come in between the middles of the two quarters."""

FEWEST_LOOKS = 10
"""In each of the two quarters."""

_COMPARED = (1, -1)


class Verdict(enum.StrEnum):
    """What a run says of one kind of process."""

    FLAT = "flat"
    GROWS = "grows"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatness:
    """The verdict on one kind of process, with the medians that were compared and the limit, in bytes."""

    verdict: Verdict
    second: int
    last: int
    limit: int
    why: str = ""


def of_service(quarters: Sequence[Quarter]) -> Flatness:
    """On the service's own process."""
    return _judged(quarters, [quarter.service_median for quarter in quarters], may_be_none=False)


def of_children(quarters: Sequence[Quarter]) -> Flatness:
    """On the processes that it has started, all together."""
    return _judged(quarters, [quarter.children_median for quarter in quarters], may_be_none=True)


def overall(found: Sequence[Flatness]) -> Verdict:
    """`grows` where any grows, else `flat` where any was judged: a short run says nothing against a long one."""
    verdicts = {flatness.verdict for flatness in found}
    return next((v for v in (Verdict.GROWS, Verdict.FLAT) if v in verdicts), Verdict.INCONCLUSIVE)


def _judged(quarters: Sequence[Quarter], medians: Sequence[int], *, may_be_none: bool) -> Flatness:
    second, last = (medians[n] for n in _COMPARED)
    limit = second + max(MAY_GROW_BYTES, int(second * MAY_GROW))
    size, looks = sum(quarter.bytes for quarter in quarters), min(quarters[n].looks for n in _COMPARED)
    verdict, why = Verdict.GROWS if last > limit else Verdict.FLAT, ""
    least = max(SMALLEST, int((limit - second) / (KEPT * APART)) + 1)
    if size < least:
        why = f"{size / 1e6:.1f} MB of documents, at least {least / 1e6:.0f} are needed"
    elif looks < FEWEST_LOOKS:
        why = f"{looks} looks in a quarter, at least {FEWEST_LOOKS} are needed"
    elif not may_be_none and 0 in (second, last):
        why = "this system does not tell how much memory it holds"
    if why:
        verdict = Verdict.INCONCLUSIVE
    return Flatness(verdict=verdict, second=second, last=last, limit=limit, why=why)
