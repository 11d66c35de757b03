"""Runs the gate: plan to disk, warm-up, rounds, judgement, verdict file. And judges raw files anew."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from services.migration import engines, gates, looks, memory_gate, pages, records, schedule, workload
from services.migration.asking import Asker
from services.migration.engines import Engines
from services.migration.errors import GateError
from services.migration.judge import judge
from services.migration.memory import Sampler
from services.migration.records import Engine, Gpu, Plan, Run
from services.migration.rollout import gate_lock, write_aside
from services.migration.rounds import Driver, OnRound, RawFile
from services.migration.verdict import Verdict, VerdictError, from_json, to_json
from services.migration.workload import Workload
from services.settings import Settings

MARGIN_S = 10.0  # beyond the service's own deadline, so that its answer about it still arrives
CLOCK_SKEW = timedelta(minutes=5)  # what a clock may be corrected by before it has jumped
RESUMED_WITHIN = timedelta(hours=24)
SUBJECT = ("service", "recipe_sha256", "baseline", "candidate")
"""What a run is about; another run about the same is another attempt."""
RULES = ("seed", "schedule", "method", "margins", "machine", "gpus")
"""What must be the same too for a killed run to be gone on with."""


def _silent(_done: int, _total: int, _note: str) -> None:
    """Tells nobody."""


def _connect() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, limits=httpx2.Limits(max_connections=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """What a run takes from the world: HTTP, two clocks, the machine's load, the engines' memory if it is sampled.

    `started` gives a digest of how each engine was started, by its name, and `gpus` the machine's cards: from whoever
    can see processes and cards, which this room cannot. `started` may block, and is called in a thread.
    """

    connect: Callable[[], httpx2.AsyncClient] = field(default=_connect)
    clock: Callable[[], float] = field(default=time.monotonic)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    load: Callable[[], float] = field(default=lambda: os.getloadavg()[0])
    sampler: Sampler | None = None
    started: Callable[[], Mapping[str, str]] = field(default=dict)
    gpus: Callable[[], Sequence[Gpu]] = field(default=tuple)


WORLD = Seams()


async def gate(
    settings: Settings,
    service: str,
    recipe: Path,
    token: str,
    *,
    rounds: int,
    seed: int = 1,
    on_progress: OnRound = _silent,
    seams: Seams = WORLD,
) -> Verdict:
    """Measure both engines through one service and judge; the verdict is also written to the state folder.

    A killed run of the same plan, not older than a day, is gone on with. Raises `LockHeld` while another gate runs.
    """
    found = workload.load(recipe, service=service)
    with gate_lock(settings.state_dir, service=service):
        return await _gate(settings, found, token, rounds=rounds, seed=seed, on_progress=on_progress, seams=seams)


async def _gate(
    settings: Settings, found: Workload, token: str, *, rounds: int, seed: int, on_progress: OnRound, seams: Seams
) -> Verdict:
    async with seams.connect() as client:
        pair = engines.engines(settings, found.service, client)
        plan = _plan(found, await described(pair, seams), rounds=rounds, seed=seed, now=seams.now())
        plan = replace(plan, gpus=tuple(seams.gpus()))
        plan = replace(plan, attempt=attempt(settings.state_dir, plan))
        raw, run = _begun(settings.state_dir, plan)
        driver = _driver(settings, run.plan if run else plan, raw, client, found, token, seams)
        async with memory_gate.beside(seams.sampler) as beside:
            await driver.warm_up()
            if run is None:
                raw.append([plan])
            else:
                on_progress(run.done, rounds, "goes on with a run that was stopped")
            beside.rounds_begin()
            verdict = await _looked(driver, run, on_progress)
        save(settings.state_dir, verdict)
        if told := await beside.keep(settings.state_dir, pair, read(raw.path)):
            on_progress(rounds, rounds, told)
    return verdict


async def described(pair: Engines, seams: Seams, *, whole: bool = True) -> tuple[Engine, Engine]:
    """Both engines as they are now, with how they were started as far as it can be seen. As `engines.describe`."""
    return await engines.describe(pair, whole=whole, started=await asyncio.to_thread(seams.started))


async def _looked(driver: Driver, run: Run | None, on_progress: OnRound) -> Verdict:
    """Measure up to each look in turn and judge there; stop where it is decided."""
    plan, path = driver.plan, driver.raw.path
    for look in looks.looks(plan.method, rounds=len(plan.schedule), attempt=plan.attempt):
        await driver.run(run, on_progress, until=look.rounds)
        run = read(path)
        verdict = judge(run)
        if looks.decided(verdict.outcome):
            return verdict
    return verdict


def _plan(found: Workload, pair: tuple[Engine, Engine], *, rounds: int, seed: int, now: datetime) -> Plan:
    thresholds = gates.load()
    drawn = schedule.draw(
        seed=seed, rounds=rounds, items=[i.id for i in found.items], block=found.block,
        aa_every=thresholds.method.aa_every,
    )  # fmt: skip
    return Plan(
        id=now.strftime("%Y%m%dT%H%M%S"), created=now.isoformat(timespec="seconds"), service=found.service, seed=seed,
        quality=found.metrics, shown=found.shown, stream=found.stream, concurrency=found.concurrency,
        block=found.block, slo=found.slo.limits if found.slo else {}, rate=found.arrivals.rate,
        recipe_sha256=found.sha256, baseline=pair[0], candidate=pair[1], schedule=drawn,
        method=thresholds.method, margins=thresholds.margins, overrides=found.margins,
        machine=machine(),
    )  # fmt: skip


def machine() -> str:
    """What measured, in a few words: processor, cores, kernel."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def attempt(state_dir: Path, plan: Plan) -> int:
    """How many runs could have decided about the same engines and recipe within a verdict's life, this one included.

    Looking from where an engine's start cannot be seen makes no other engine of it, and no attempt cheaper.
    """
    life = timedelta(days=plan.method.valid_days)
    runs = _runs(state_dir, plan.service)
    earlier = (run for run in runs if _same(_as_seen(run.plan, plan), plan, SUBJECT, within=life))
    return 1 + sum(map(looks.could_pass, earlier))


def _as_seen(old: Plan, new: Plan) -> Plan:
    """The old plan, where a start that only one of both saw is taken for the same."""
    pairs = ((old.baseline, new.baseline), (old.candidate, new.candidate))
    seen = [replace(a, started_with=b.started_with) if not (a.started_with and b.started_with) else a for a, b in pairs]
    return replace(old, baseline=seen[0], candidate=seen[1])


def _begun(state_dir: Path, plan: Plan) -> tuple[RawFile, Run | None]:
    """The raw file to write, and the unfinished run of the same plan that it already holds, if any."""
    folder = state_dir / "raw"
    for run in _runs(state_dir, plan.service):
        if _same(run.plan, plan, (*SUBJECT, *RULES), within=RESUMED_WITHIN) and _open(run):
            raw = RawFile(folder / run.name)
            raw.cut_torn_line()
            return raw, run
    path = folder / f"{plan.service}-{plan.id}.jsonl"
    if path.exists():
        raise GateError(f"{path} exists already; two gates in one second? Run the command again")
    return RawFile(path), None


def _runs(state_dir: Path, service: str) -> Iterator[Run]:
    """Every run of a service that can be read, the latest first."""
    for path in sorted((state_dir / "raw").glob(f"{service}-*.jsonl"), reverse=True):
        run = _readable(path)
        if run is not None:
            yield run


def _open(run: Run) -> bool:
    """Whether a run has rounds to go that could still change what it says."""
    return run.done < len(run.plan.schedule) and not looks.decided(judge(run).outcome)


def _readable(path: Path) -> Run | None:
    try:
        return read(path)
    except GateError:
        return None


def _same(old: Plan, new: Plan, keys: Sequence[str], *, within: timedelta) -> bool:
    """Whether two plans agree in `keys` and the old one is no older than `within`."""
    age = datetime.fromisoformat(new.created) - datetime.fromisoformat(old.created)
    return all(getattr(old, key) == getattr(new, key) for key in keys) and timedelta(0) <= age < within


def _driver(
    settings: Settings, plan: Plan, raw: RawFile, client: httpx2.AsyncClient, found: Workload, token: str, seams: Seams
) -> Driver:
    asker = Asker(
        client=client, url=settings.service_url(plan.service), workload=found, keys=settings.api_keys, token=token,
        limit_s=settings.limits.deadline_s + MARGIN_S, clock=seams.clock,
    )  # fmt: skip
    return Driver(asker=asker, plan=plan, raw=raw, clock=seams.clock, load=seams.load)


def read(path: Path) -> Run:
    """A raw file. Raises `GateError`."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise GateError(f"cannot read {path}: {exc.strerror}; raw files lie in the state folder under raw/") from exc
    return records.parse(data, name=path.name)


def judge_file(path: Path) -> Verdict:
    """The verdict of a raw file; the same bytes give the same verdict, byte for byte. Raises `GateError`."""
    return judge(read(path))


def verdict_path(state_dir: Path, service: str) -> Path:
    return state_dir / "verdicts" / f"{service}.json"


def save(state_dir: Path, verdict: Verdict) -> None:
    write_aside(verdict_path(state_dir, verdict.service), to_json(verdict))


def saved(state_dir: Path, service: str) -> Verdict | None:
    """The service's latest verdict; None where there is none or it cannot be read, which promotes nothing."""
    path = verdict_path(state_dir, service)
    try:
        return from_json(path.read_text(), where=str(path))
    except (OSError, UnicodeDecodeError, VerdictError):
        return None


def fresh(verdict: Verdict, now_are: tuple[Engine, Engine], recipe_sha256: str, *, now: datetime) -> bool:
    """Whether a verdict is of these very engines and this recipe, by today's rules, and neither too old nor to come.

    One from the future was made before the clock was set back, so nobody knows how old it is.
    """
    recipe = verdict.plan.get("prompts_sha256") == recipe_sha256
    rules = gates.load()
    judged = verdict.plan.get("rules_sha256") == gates.digest(rules.method, rules.margins)
    created, expires = map(datetime.fromisoformat, (verdict.created, verdict.expires))
    return _of_these(verdict, now_are) and recipe and judged and created - CLOCK_SKEW <= now < expires


def _of_these(verdict: Verdict, now_are: tuple[Engine, Engine]) -> bool:
    """Whether a verdict is of these engines, as far as `engines.same` can tell."""
    started = pages.table(verdict.environment.get("started_with"))
    for name, engine in zip(("baseline", "candidate"), now_are, strict=True):
        arm = verdict.arms.get(name)
        if arm is None:
            return False
        told = {f.name: getattr(arm, f.name) for f in fields(Engine) if f.name != "started_with"}
        if not engines.same(Engine(**told, started_with=pages.text(started, name)), engine):
            return False
    return True
