"""Turns a raw file into a verdict. Pure and deterministic: the same bytes give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

from services.migration import gates, looks, preflight, stats
from services.migration.compare import (
    E2E,
    TTFT,
    Quantity,
    Rounds,
    above_floor,
    mean_metric,
    paired_metric,
    pairs,
    quantile_metric,
    spread_metric,
    throughput_metric,
)
from services.migration.gates import Method
from services.migration.looks import Taken
from services.migration.rates import contract_metric, errors_metric, goodput_metric, quality_metric, stalled_metric
from services.migration.records import Engine, Plan, Run, Side
from services.migration.verdict import Arm, Check, Floor, Kind, Metric, Next, Outcome, Raw, Result, Verdict

ACTIONS = {
    Outcome.PASS: "promote",
    Outcome.FAIL: "rollback",
    Outcome.INCONCLUSIVE: "hold",
    Outcome.INVALID: "rerun",
}


def judge(run: Run) -> Verdict:
    """Judge a run by the rules written in its own plan, as surely as the look that it stands at asks for."""
    at = looks.taken(run)
    held = replace(run, plan=replace(run.plan, method=replace(run.plan.method, level=at.look.level)))
    floors = preflight.floors(held)
    found = preflight.checks(held, floors)
    metrics = _metrics(held, floors)
    outcome = _outcome(found, metrics, at)
    rounds = _rounds_needed(run, metrics, at) if outcome is Outcome.INCONCLUSIVE else None
    return Verdict(
        id=run.sha256[:12],
        service=run.plan.service,
        outcome=outcome,
        created=run.plan.created,
        expires=_expires(run),
        plan=_plan(run, at),
        arms={"baseline": _arm(run, Side.BASELINE), "candidate": _arm(run, Side.CANDIDATE)},
        environment=_environment(run),
        preflight=found,
        noise_floor=floors,
        metrics=metrics,
        next=Next(action=ACTIONS[outcome], rounds_needed=rounds),
        reasons=_reasons(run, outcome, found, metrics, rounds, at),
        raw=Raw(records=raw_name(run.plan), sha256=run.sha256),
    )


def raw_name(plan: Plan) -> str:
    """The name that the gate gives a raw file: out of its own plan, so that a copy under another name says the same."""
    return f"{plan.service}-{plan.id}.jsonl"


def _metrics(run: Run, floors: Sequence[Floor]) -> tuple[Metric, ...]:
    plan, rounds = run.plan, pairs(run, Side.BASELINE, Side.CANDIDATE)
    method, seed, margin = plan.method, plan.seed, plan.margin
    noise = {floor.metric.removesuffix(" paired"): floor for floor in floors}
    timed = [
        above_floor(metric, noise, len(rounds))
        for quantity in ((TTFT, E2E) if plan.stream else (E2E,))
        for metric in _times(run, rounds, quantity)
    ]
    return (
        *timed,
        throughput_metric(rounds, margin=margin("throughput"), method=method, seed=seed),
        errors_metric(run.records, margin=margin("errors"), method=method),
        stalled_metric(run.records, margin=margin("stalled"), method=method),
        contract_metric(rounds, margin=margin("contract"), method=method, seed=seed),
        *(_scored(plan, rounds, name, method) for name in (*plan.quality, *plan.shown)),
        *((goodput_metric(run, method=method, seed=seed),) if plan.slo else ()),
    )


def _scored(plan: Plan, rounds: Rounds, name: str, method: Method) -> Metric:
    margin, required = plan.margin(f"quality_{name}"), name in plan.quality
    return quality_metric(rounds, name=name, margin=margin, method=method, seed=plan.seed, required=required)


def _times(run: Run, rounds: Rounds, quantity: Quantity) -> tuple[Metric, ...]:
    """Median and tail, and what neither sees: a few very slow requests (mean), unsteadiness (spread)."""
    method, seed = run.plan.method, run.plan.seed
    margins = {stat: run.plan.margin(f"{quantity.name}_{stat}") for stat in gates.TIMES}
    return (
        quantile_metric(rounds, quantity, 0.5, margin=margins["q50"], method=method, seed=seed),
        paired_metric(rounds, quantity, margin=margins["paired"], method=method),
        quantile_metric(rounds, quantity, 0.95, margin=margins["q95"], method=method, seed=seed),
        mean_metric(rounds, quantity, margin=margins["mean"], method=method, seed=seed),
        spread_metric(rounds, quantity, margin=margins["spread"], method=method, seed=seed),
    )


def _outcome(found: Sequence[Check], metrics: Sequence[Metric], at: Taken) -> Outcome:
    """A broken experiment says nothing; then failure before doubt before success. No weighing, no score."""
    if any(c.fatal and not c.ok for c in found):
        return Outcome.INVALID
    results = {m.result for m in metrics if m.required}
    if not at.planned or not results:  # whoever looks whenever he likes will once see what he likes
        return Outcome.INCONCLUSIVE
    if Result.FAIL in results:
        return Outcome.FAIL
    return Outcome.INCONCLUSIVE if Result.INCONCLUSIVE in results else Outcome.PASS


def _rounds_needed(run: Run, metrics: Sequence[Metric], at: Taken) -> int | None:
    """About how many more rounds would settle every doubtful metric; None where more data will hardly help."""
    if not at.planned:
        return at.look.rounds - run.done
    needed = [_more(run, m) for m in metrics if m.required and m.result is Result.INCONCLUSIVE]
    known = [n for n in needed if n is not None]
    return max(known) if known and len(known) == len(needed) else None


def _more(run: Run, metric: Metric) -> int | None:
    """The rounds that one metric lacks: its minimum data, or by the root-n law of its interval."""
    method = run.plan.method
    rounds = len({r.round for r in run.records if r.side is Side.CANDIDATE})
    per_round = max(metric.n_candidate / rounds, 1.0) if rounds else float(run.plan.block)
    least = max(method.min_rounds - rounds, 0)
    if metric.stat == "q95":
        least = max(least, math.ceil((method.min_tail - metric.n_candidate) / per_round))
    if metric.name in ("errors", "stalled", "contract"):
        return _bound_rounds(metric, run, per_round, least)
    if metric.effect is None or metric.low is None or metric.high is None:
        return max(least, 1)
    half, distance = _log_terms(metric)
    factor = (half / abs(distance)) ** 2 if distance else math.inf
    extra = math.ceil(rounds * (factor - 1)) if math.isfinite(factor) else method.max_extra_rounds + 1
    wanted = max(least, extra, 1)
    return wanted if wanted <= method.max_extra_rounds else None


def _log_terms(metric: Metric) -> tuple[float, float]:
    """Half the interval and the distance of the effect from its margin, on the scale where they add up."""
    assert metric.effect is not None and metric.low is not None and metric.high is not None
    if metric.kind is Kind.DIFFERENCE:
        return (metric.high - metric.low) / 2, metric.effect + metric.margin
    if min(metric.low, metric.effect) <= 0:
        return 1.0, 0.0
    return math.log(metric.high / metric.low) / 2, math.log(metric.effect / metric.margin)


def _bound_rounds(metric: Metric, run: Run, per_round: float, least: int) -> int | None:
    """Rounds until as many errors as so far, and no more, bound the rate by its limit."""
    method, level = run.plan.method, looks.last_level(run.plan.method, run.plan.attempt)
    worse = metric.effect or 0.0
    seen = round(max(-worse if metric.name == "contract" else worse, 0.0) * metric.n_candidate)
    most = metric.n_candidate + math.ceil(method.max_extra_rounds * per_round)
    wanted = stats.needed_for_bound(seen, metric.n_candidate, limit=metric.margin, level=level, most=most)
    return None if wanted is None else max(least, math.ceil((wanted - metric.n_candidate) / per_round), 1)


def _reasons(
    run: Run, outcome: Outcome, found: Sequence[Check], metrics: Sequence[Metric], rounds: int | None, at: Taken
) -> tuple[str, ...]:
    """Plain sentences: what broke, what failed, what is open and how long it would take, what is good."""
    said = [f"{c.check}: {c.observed}, limit {c.limit}" for c in found if not c.ok]
    order = (Result.FAIL, Result.INCONCLUSIVE, Result.PASS)
    said += [_sentence(run, m) for result in order for m in metrics if m.required and m.result is result]
    said += run.notes
    said += _progress(run, at)
    if outcome is Outcome.INCONCLUSIVE:
        said.append(
            f"about {rounds} more rounds settle it"
            if rounds
            else "more rounds alone will hardly settle it: something lies at its margin"
        )
    return tuple(said)


def _progress(run: Run, at: Taken) -> list[str]:
    """How much of the plan was measured, and what that does to the verdict."""
    planned, said = len(run.plan.schedule), []
    if run.done < planned:
        said.append(f"{run.done} of {planned} planned rounds were measured")
    if not at.planned:
        said.append(f"judged before its look at {at.look.rounds} rounds, so nothing is decided yet")
    said += [
        f"margin of {name}: {own.margin:g} by the recipe, laxer than {run.plan.margins[name]:g}: {own.why}"
        for name, own in sorted(run.plan.overrides.items())
        if own.laxer(name, run.plan.margins[name])
    ]
    if run.plan.attempt > 1:
        said.append(
            f"attempt {run.plan.attempt} at the same engines and recipe: each bound is held to "
            f"{at.look.level:.2%}, so that measuring again and again does not help"
        )
    return said


def _sentence(run: Run, metric: Metric) -> str:
    body = _said(metric)
    note = f" ({metric.note})" if metric.note and metric.kind is not Kind.BOUND else ""
    tail = ""
    if metric.result is Result.INCONCLUSIVE:
        more = _more(run, metric)
        tail = f"; about {more} more rounds settle it" if more else "; more rounds will hardly settle it"
    return f"{metric.title}: {body}{note}{tail}"


def _said(metric: Metric) -> str:
    if metric.kind is Kind.BOUND:
        return metric.note
    if metric.effect is None or metric.low is None or metric.high is None:
        return "no data"
    if metric.kind is Kind.DIFFERENCE:
        shown = [f"{100 * v:+.1f}" for v in (metric.effect, metric.low, metric.high)]
        return f"{shown[0]} points [{shown[1]}, {shown[2]}], may lose {100 * metric.margin:g}"
    limit = "at most" if metric.direction.value == "lower" else "at least"
    bounds = f"[{metric.low:.2f}, {metric.high:.2f}]"
    return f"vLLM / Ollama {metric.effect:.2f} {bounds}, {limit} {metric.margin:g}{gain(metric)}"


def gain(metric: Metric) -> str:
    """An improvement, claimed only as far as the interval's worse end goes: `, at least 1.9x better`."""
    worse = metric.high if metric.direction.value == "lower" else metric.low
    if metric.kind is not Kind.RATIO or not worse or metric.result is not Result.PASS:
        return ""
    times = 1 / worse if metric.direction.value == "lower" else worse
    return f", at least {math.floor(times * 10) / 10:.1f}x better" if times >= 1.1 else ""


def _arm(run: Run, side: Side) -> Arm:
    engine: Engine = run.plan.candidate if side is Side.CANDIDATE else run.plan.baseline
    records = [r for r in run.records if r.side is side]
    answered = [r for r in records if r.answered]
    prompts = [r.prompt_tokens for r in answered if r.prompt_tokens is not None]
    outputs = [r.output_tokens for r in answered if r.output_tokens is not None]
    told = {key: value for key, value in asdict(engine).items() if key != "started_with"}  # lies in the environment
    return Arm(
        **told,
        n=len(records),
        errors=sum(not r.answered for r in records),
        fallbacks=sum(r.fell_back for r in records),
        prompt_tokens=fmean(prompts) if prompts else None,
        output_tokens=fmean(outputs) if outputs else None,
    )


def _plan(run: Run, at: Taken) -> Mapping[str, Any]:
    plan = run.plan
    return {
        "seed": plan.seed,
        "rounds": len(plan.schedule),
        "rounds_measured": run.done,
        "block": plan.block,
        "looks": at.of,
        "look": at.number if at.planned else None,
        "attempt": plan.attempt,
        "alpha": round(looks.alpha(plan.method, plan.attempt), 9),
        "load": {"kind": "poisson" if plan.rate else "closed", "concurrency": plan.concurrency, "rate": plan.rate},
        "margins_of_the_recipe": {name: asdict(own) for name, own in sorted(plan.overrides.items())},
        "prompts_sha256": plan.recipe_sha256,
        "rules_sha256": gates.digest(plan.method, plan.margins),
    }


def _environment(run: Run) -> Mapping[str, Any]:
    """What measured. `started_with` is there only where somebody saw it, so that older raw files say what they said."""
    plan, loads = run.plan, [r.load1 for r in run.records]
    started = {"baseline": plan.baseline.started_with, "candidate": plan.candidate.started_with}
    return {
        "machine": plan.machine,
        "loadavg_min": min(loads, default=None),
        "loadavg_max": max(loads, default=None),
        "gpu": [asdict(gpu) for gpu in plan.gpus] or None,
        **({"started_with": started} if any(started.values()) else {}),
    }


def _expires(run: Run) -> str:
    created = datetime.fromisoformat(run.plan.created)
    return (created + timedelta(days=run.plan.method.valid_days)).isoformat()
