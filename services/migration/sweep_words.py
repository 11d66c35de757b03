"""A sweep in words and numbers, the same on the terminal, in Markdown and on the page."""

from __future__ import annotations

from services.migration.report_words import number
from services.migration.sweep import Curve, Estimate, Sweep
from services.migration.sweep_pays import Pays

BOUND_DIGITS = 2
"""A bound is coarser than its value; two digits also let six columns of them stand in 80 columns."""

MIB = 2**20


def label(curve: Curve) -> str:
    """What people call a contender."""
    return "vLLM" if curve.parallel is None else f"Ollama, NUM_PARALLEL={curve.parallel}"


def said(found: Sweep) -> list[str]:
    """What the numbers mean: from when vLLM pays, the baseline, the knees, the memory."""
    best = found.curve(found.best_ollama)
    lines = [_pays(found.throughput), _pays(found.wait), f"The baseline, Ollama at its best here: {label(best)}."]
    lines += [_knee(curve) for curve in found.curves]
    return [*lines, *(line for curve in found.curves if (line := _memory(curve)))]


def _pays(found: Pays) -> str:
    name = found.quantity.capitalize()
    if found.users is None:
        return f"{name}: that vLLM is better is {found.why}."
    return f"{name}: vLLM is better than every Ollama from {found.users} users on ({found.why})."


def _knee(curve: Curve) -> str:
    knee = curve.knee
    between = f", could be {knee.low} to {knee.high}" if knee.low != knee.high else ""
    return f"Knee of {label(curve)}: {knee.users or 'none in this range'}{between}; {knee.why}."


def _memory(curve: Curve) -> str:
    if curve.steady_bytes is None or curve.peak_bytes is None:
        return ""
    steady, peak = (round(b / MIB) for b in (curve.steady_bytes, curve.peak_bytes))
    return f"Memory of {label(curve)}: {steady} MiB before a block, {peak} MiB at most during one."


def measured_on(found: Sweep) -> str:
    """The machine, its load, and what ran on it."""
    kinds = dict.fromkeys(f"{c.engine} {c.version} ({c.model}, {c.quantization})" for c in found.curves)
    load = f"load {found.load_low:.2f} to {found.load_high:.2f}"
    return f"{found.created}, {found.machine}, {load}; {', '.join(kinds)}; seed {found.seed}."


def heads(found: Sweep) -> tuple[str, ...]:
    """The columns that follow engine and users."""
    first = ("first token, median s", "first token, slowest 5 %") if found.stream else ()
    return ("answers a second", "tokens a second", *first, "answer, median s", "answer, slowest 5 %")


def cells(found: Sweep, curve: Curve, users: int, *, apart: str) -> tuple[str, ...]:
    """A contender at a level, in the order of `heads`, bounds behind each value."""
    level = next(x for x in curve.levels if x.users == users)
    first = (level.ttft_p50, level.ttft_p95) if found.stream else ()
    values = (level.requests_per_s, level.tokens_per_s, *first, level.e2e_p50, level.e2e_p95)
    return tuple(_bounded(v, found.lost_s, apart) for v in values)


def _bounded(found: Estimate, lost_s: float, apart: str) -> str:
    if found.value is None:
        return "-"
    if found.value >= lost_s:
        return "no answer"
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)}{apart}{number(found.low, BOUND_DIGITS)}–{number(found.high, BOUND_DIGITS)}"
