"""The state folder as metrics: stages, ledger, verdicts, canary, disk. Reads only; never fails for what is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from services.llm.rollout import Stage, Standing
from services.migration import facts, gates, ledger, rollout
from services.migration.gates import Policy
from services.migration.verdict import Outcome, Verdict, VerdictError, from_json
from services.monitor.measures import FILES, Sample
from services.settings import SERVICES


def samples(state_dir: Path, policy: Policy) -> list[Sample]:
    """All that the folder says about every service. Counters and states are there at zero, measured values are not."""
    unreadable = dict.fromkeys(FILES, 0)
    found = ledger.read(state_dir / ledger.FILE_NAME)
    unreadable["ledger"] = len(found.problems)
    unreadable["rollout"] = int(rollout.stored(state_dir)[1] is not None)
    places = rollout.rebuilt(state_dir, found)
    shown = [Sample("llm_canary_e_limit", (), policy.e_limit)]
    for service in SERVICES:
        standing = places.standing(service)
        shown += _standing(service, standing)
        shown += _moves(service, found)
        shown += _canary(state_dir, service, standing, found, policy, unreadable)
        shown += _gate(service, _verdict(state_dir, service, unreadable))
    return [*shown, *(Sample("llm_state_unreadable", (f,), n) for f, n in unreadable.items()), *_disk(state_dir)]


def _standing(service: str, standing: Standing) -> Iterator[Sample]:
    for stage in Stage:
        yield Sample("llm_migration_stage", (service, stage), stage is standing.stage)
    yield Sample("llm_migration_demo", (service,), standing.demo)
    yield Sample("llm_canary_target_ratio", (service,), standing.share)
    held = 1.0 - standing.share if standing.stage is Stage.FULL else 0.0
    yield Sample("llm_holdback_ratio", (service,), round(held, 6))


def _moves(service: str, found: ledger.Reading) -> Iterator[Sample]:
    targets = [entry.target.stage for entry in found.entries if entry.service == service]
    for stage in Stage:
        yield Sample("llm_ledger_moves_total", (service, stage), targets.count(stage))
    last = found.last(service)
    if last is not None:
        yield Sample("llm_migration_stage_since_timestamp_seconds", (service,), _seconds(last.at))


def _canary(
    state_dir: Path,
    service: str,
    standing: Standing,
    found: ledger.Reading,
    policy: Policy,
    unreadable: dict[str, int],
) -> Iterator[Sample]:
    """The controller's watch of this step; what it wrote about a step before is no evidence about this one."""
    kept, last = facts.kept(state_dir, service), found.last(service)
    if kept is None and (state_dir / "canary" / f"{service}.json").exists():
        unreadable["canary"] += 1
    watch = kept.watch if kept and last and kept.seq == last.seq else facts.Watch(last={})
    alone = standing.share == 1.0
    e_value = watch.evidence.e_value(looks=len(policy.steps), alone=alone)
    yield Sample("llm_canary_e_value", (service,), e_value)
    for provider, tally in zip(facts.ENGINES, (watch.candidate, watch.control), strict=True):
        yield Sample("llm_canary_requests", (service, provider), tally.requests)
        yield Sample("llm_canary_errors", (service, provider), tally.errors)


def _verdict(state_dir: Path, service: str, unreadable: dict[str, int]) -> Verdict | None:
    path = state_dir / "verdicts" / f"{service}.json"
    try:
        return from_json(path.read_text(), where=str(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, VerdictError):
        unreadable["verdict"] += 1
        return None


def _gate(service: str, verdict: Verdict | None) -> Iterator[Sample]:
    for outcome in Outcome:
        yield Sample("llm_gate_verdict", (service, outcome), verdict is not None and verdict.outcome is outcome)
    if verdict is None:
        return
    yield Sample("llm_gate_last_evaluation_timestamp_seconds", (service,), _seconds(verdict.created))
    yield Sample("llm_gate_expires_timestamp_seconds", (service,), _seconds(verdict.expires))
    for metric in verdict.metrics:
        gate = "_".join(part for part in (metric.name, metric.stat) if part)
        if gate not in gates.METRICS:
            continue
        yield Sample("llm_gate_threshold", (service, gate), metric.margin)
        for bound, value in (("effect", metric.effect), ("low", metric.low), ("high", metric.high)):
            if value is not None:
                yield Sample("llm_gate_value", (service, gate, bound), value)


def _disk(state_dir: Path) -> Iterator[Sample]:
    """Of the folder, or of what it will be made in."""
    there = next((path for path in (state_dir, *state_dir.parents) if path.exists()), Path("/"))
    disk = shutil.disk_usage(there)
    yield Sample("llm_state_free_bytes", (), disk.free)
    yield Sample("llm_state_size_bytes", (), disk.total)


def _seconds(at: str) -> float:
    """Unix time of an ISO date. 0 for one that nobody can read: that is as old as can be."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return 0.0
