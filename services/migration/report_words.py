"""The words and numbers of a report, the same in each of its forms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.migration.verdict import Direction, Kind, Metric, Outcome, Verdict

NAMES = {
    "ttft": "first word",
    "e2e": "whole answer",
    "throughput": "output tokens a second",
    "errors": "failed requests",
    "stalled": "answers that nobody waits for",
    "contract": "answers in the right shape",
    "quality": "quality",
    "goodput": "answers within what is promised",
}
SCORES = {  # short enough to stand beside their interval on a phone
    "answer_match": "right answers",
    "answer_f1": "words of answers (F1)",
    "retrieval_ndcg": "passages (nDCG@10)",
    "retrieval_recall": "passages (recall@10)",
    "answerability": "knows if it is told",
    "keyword_recall": "facts kept",
    "summary_chrf": "likeness (chrF++)",
    "tag_f1": "tags (F1)",
    "span_f1": "exact names (F1)",
    "entity_f1": "typed names (F1)",
    "relation_f1": "relations (F1)",
}
STATS = {"q50": "median", "q95": "slowest 5 %", "mean": "mean", "spread": "scatter", "paired": "pair by pair", **SCORES}
QUANTITIES = {"ttft": "time to the first word", "e2e": "time of a whole answer"}
ENGINES = {"ollama": "Ollama", "vllm": "vLLM", "ollama_again": "Ollama, second turn"}


def named(metric: Metric) -> str:
    """A metric in plain words."""
    return spoken(metric.title)


def spoken(title: str) -> str:
    """A metric's title in plain words; an unknown one as it is."""
    name, _, stat = title.partition(" ")
    plain_name = NAMES.get(name, name)
    return f"{plain_name}, {STATS.get(stat, stat)}" if stat else plain_name


def plain(reason: str, metrics: Sequence[Metric]) -> str:
    """A reason of the judge, beginning with the metric's plain name."""
    for metric in metrics:
        if reason.startswith(f"{metric.title}: "):
            return named(metric) + reason.removeprefix(metric.title)
    return reason


def advice(verdict: Verdict) -> str:
    """What to do now, with the command for it."""
    service, more = verdict.service, verdict.next.rounds_needed
    match verdict.outcome:
        case Outcome.PASS:
            return f"Move it step by step with `cutover migrate {service}`."
        case Outcome.FAIL:
            return f"See where the engines differ with `cutover doctor {service}`, then measure again."
        case Outcome.INCONCLUSIVE:
            rounds = f" --rounds {verdict.plan['rounds_measured'] + more}" if more else ""
            return f"Measure longer, on a quieter machine if there is one: `cutover gate {service}{rounds}`."
        case Outcome.INVALID:
            return f"Mend what the first reasons name, then measure again with `cutover gate {service}`."


def number(value: float | None, digits: int = 3) -> str:
    """Three digits, as many as these measurements carry; `-` where there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "unbounded"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def amount(metric: Metric, value: float | None) -> str:
    """One engine's own value, in the metric's unit."""
    if value is None:
        return "-"
    if metric.kind is not Kind.RATIO:
        return f"{100 * value:.3g} %"
    return f"{number(value)} /s" if metric.direction is Direction.HIGHER else f"{number(value)} s"


def effect(metric: Metric) -> str:
    """The effect in the unit of its kind: a ratio, points, percent."""
    return _shown(metric, metric.effect)


def bounds(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return "-"
    return f"[{_shown(metric, metric.low)}, {_shown(metric, metric.high)}]"


def _shown(metric: Metric, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return number(value)
    match metric.kind:
        case Kind.RATIO:
            return f"{value:.2f}" if value < 100 else f"{value:.3g}"
        case Kind.DIFFERENCE:
            return f"{100 * value:+.1f}"
        case Kind.BOUND:
            return f"{100 * value:.1f} %"


def limit(metric: Metric) -> str:
    """What the margin asks for, as a sentence's end."""
    if metric.kind is Kind.DIFFERENCE:
        return f"may lose {100 * metric.margin:g} point{'' if metric.margin == 0.01 else 's'}"
    word = "at most" if metric.direction is Direction.LOWER else "at least"
    return f"{word} {100 * metric.margin:g} %" if metric.kind is Kind.BOUND else f"{word} {metric.margin:g}"


def between(values: Sequence[float]) -> str:
    """The range of some values: `0.41 to 1.3`."""
    return f"{number(min(values))} to {number(max(values))}" if values else "-"
