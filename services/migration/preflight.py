"""Asks whether the experiment itself was sound: same work, right arms, healthy generator, quiet machine. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from services.migration import compare, stats
from services.migration.records import Record, Run, Side
from services.migration.verdict import Check, Floor


def checks(run: Run, floors: Sequence[Floor]) -> tuple[Check, ...]:
    """Every preflight rule of `reference/benchmarks.md` 5.2 that the records can answer."""
    baseline = [r for r in run.records if r.side is not Side.CANDIDATE]
    candidate = [r for r in run.records if r.side is Side.CANDIDATE]
    found = (
        _right_arm(baseline),
        _baseline_answered(baseline),
        _same_prompts(run),
        _prompts_counted(run),
        _same_length(run),
        _own_answers(candidate),
        _generator(run),
        *(_quiet(floor, run) for floor in floors),
    )
    return tuple(check for check in found if check is not None)


def _right_arm(baseline: Sequence[Record]) -> Check | None:
    if not baseline:
        return None
    foreign = sum(r.fell_back for r in baseline)
    return Check(
        check="ollama's arm was answered by ollama", ok=not foreign,
        observed=f"{foreign} of {len(baseline)} by another engine", limit="0",
    )  # fmt: skip


def _baseline_answered(baseline: Sequence[Record]) -> Check | None:
    """Against an engine that is itself down, any candidate looks well."""
    if not baseline:
        return None
    answered = sum(r.answered for r in baseline)
    return Check(
        check="the baseline answers", ok=answered * 2 >= len(baseline),
        observed=f"{answered} of {len(baseline)} answered", limit="at least half",
    )  # fmt: skip


def _prompt_medians(run: Run, side: Side) -> dict[str, float]:
    counts: dict[str, list[int]] = {}
    for record in run.records:
        if record.side is side and record.answered and record.prompt_tokens is not None:
            counts.setdefault(record.item, []).append(record.prompt_tokens)
    return {item: median(found) for item, found in counts.items()}


def _same_prompts(run: Run) -> Check | None:
    """The same message under two chat templates is two different prompts."""
    ours, theirs = _prompt_medians(run, Side.BASELINE), _prompt_medians(run, Side.CANDIDATE)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return None
    apart = {item: abs(theirs[item] - ours[item]) / max(ours[item], 1.0) for item in shared}
    worst = max(shared, key=lambda item: apart[item])
    limit = run.plan.method.prompt_tolerance
    return Check(
        check="same work in", ok=apart[worst] <= limit,
        observed=f"prompt tokens up to {apart[worst]:.1%} apart (item {worst}: {ours[worst]:g}, {theirs[worst]:g})",
        limit=f"{limit:.0%} on every item",
    )  # fmt: skip


def _prompts_counted(run: Run) -> Check | None:
    """Work that nobody counted cannot be shown to be the same."""
    answered = [r for r in run.records if r.answered]
    missing = sum(r.prompt_tokens is None for r in answered)
    if not answered or not missing:
        return None
    return Check(
        check="prompt tokens are reported",
        ok=False,
        observed=f"missing in {missing} of {len(answered)} answers",
        limit="0",
    )


def _same_length(run: Run) -> Check | None:
    """Said, not fatal: throughput per token still compares, end-to-end times then compare verbosity too."""
    lengths = [_outputs(run, side) for side in (Side.BASELINE, Side.CANDIDATE)]
    if not all(lengths):
        return None
    ours, theirs = median(lengths[0]), median(lengths[1])
    limit = run.plan.method.output_tolerance
    return Check(
        check="same work out", ok=abs(theirs - ours) <= limit * max(ours, 1.0), fatal=False,
        observed=f"output tokens {ours:g} and {theirs:g} (medians)", limit=f"{limit:.0%} apart",
    )  # fmt: skip


def _outputs(run: Run, side: Side) -> list[int]:
    return [r.output_tokens for r in run.records if r.side is side and r.answered and r.output_tokens is not None]


def _own_answers(candidate: Sequence[Record]) -> Check | None:
    """Said here, counted as errors there: fallback answers are Ollama's, never vLLM's."""
    if not candidate:
        return None
    foreign = sum(r.fell_back for r in candidate)
    return Check(
        check="vllm's arm was answered by vllm", ok=not foreign, fatal=False,
        observed=f"{foreign} fallback answers of {len(candidate)}", limit="0; each counts as an error",
    )  # fmt: skip


def _generator(run: Run) -> Check | None:
    """How late requests left. q95, because a q99 needs 299 values."""
    answered = [r for r in run.records if r.answered]
    if not answered:
        return None
    late = stats.quantile([r.sent_s - r.scheduled_s for r in answered], 0.95)
    waits = [
        stats.quantile([r.e2e_s if r.ttft_s is None else r.ttft_s for r in answered if r.side is side], 0.5)
        for side in (Side.BASELINE, Side.CANDIDATE)
        if any(r.side is side for r in answered)
    ]
    limit = run.plan.method.send_lag
    if not waits:
        return None
    return Check(
        check="the load generator keeps up", ok=late <= limit * min(waits), limit=f"{limit:.0%} of the faster median",
        observed=f"95 % of requests left at most {late * 1000:.1f} ms late; faster median {min(waits) * 1000:.0f} ms",
    )  # fmt: skip


def _quiet(floor: Floor, run: Run) -> Check:
    """With enough data, Ollama must not differ from itself."""
    least = run.plan.method.aa_min_rounds
    if not floor.enough or floor.low is None or floor.high is None:
        return Check(
            check=f"noise floor, {floor.metric}", ok=False, fatal=False,
            observed=f"ollama against itself in {floor.rounds} rounds", limit=f"{least} rounds",
        )  # fmt: skip
    return Check(
        check=f"noise floor, {floor.metric}", ok=floor.low <= 1 <= floor.high,
        observed=f"ollama against itself {floor.ratio:.2f} [{floor.low:.2f}, {floor.high:.2f}]", limit="holds 1",
    )  # fmt: skip


def floors(run: Run) -> tuple[Floor, ...]:
    """The baseline against itself, for each quantity that the run timed."""
    quantities = (compare.TTFT, compare.E2E) if run.plan.stream else (compare.E2E,)
    return tuple(compare.floor(run, q, method=run.plan.method) for q in quantities)
