"""What the report tells of single requests: rounds, distributions, ends, changed answers, other concurrencies. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from services.migration import measure, records, stats
from services.migration.compare import E2E, TTFT, Pair, Quantity, Series, pairs, series, throughput_metric
from services.migration.errors import GateError
from services.migration.records import Plan, Record, Run, Side

SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One round: medians of vLLM over Ollama's, of Ollama's second turn over its first, and the machine's load."""

    number: int
    order: tuple[str, ...]
    e2e: float | None
    ttft: float | None
    again: float | None
    load_low: float
    load_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One quantity of one engine, sorted: the values that the verdict's quantiles were taken from."""

    name: str
    engine: str
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How often requests to one side ended without that engine's own answer, and how."""

    side: str
    how: str
    count: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """An item whose score by a metric differs. `answers` are both engines' of one pair, where the raw file has them."""

    item: str
    metric: str
    ollama: float
    vllm: float
    pairs: int
    answers: tuple[str, str] | None = None

    @property
    def difference(self) -> float:
        return self.vllm - self.ollama


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One gate's throughput (tokens a second) and median time to first token (s) of an engine at its concurrency."""

    concurrency: int
    engine: str
    throughput: float | None
    ttft: float | None
    raw: str


def rounds(run: Run) -> tuple[RoundRow, ...]:
    """Every round that has records. Its ratios are of medians over what both sides answered, as the judge pairs it."""
    both, twice = pairs(run, Side.BASELINE, Side.CANDIDATE), pairs(run, Side.BASELINE, Side.AGAIN)
    e2e, ttft, again = _ratios(series(both, E2E)), _ratios(series(both, TTFT)), _ratios(series(twice, E2E))
    loads: dict[int, list[float]] = {}
    for record in run.latest():
        loads.setdefault(record.round, []).append(record.load1)
    return tuple(
        RoundRow(
            number=r.number, order=tuple(map(str, r.order)), e2e=e2e.get(r.number), ttft=ttft.get(r.number),
            again=again.get(r.number), load_low=min(loads[r.number]), load_high=max(loads[r.number]),
        )
        for r in run.plan.schedule
        if r.number in loads
    )  # fmt: skip


def _ratios(found: Series) -> dict[int, float]:
    rows = zip(found.numbers, found.baseline, found.candidate, strict=True)
    medians = ((number, stats.quantile(a, 0.5), stats.quantile(b, 0.5)) for number, a, b in rows)
    return {number: b / a for number, a, b in medians if a > 0 and b > 0}


def curves(run: Run) -> tuple[Curve, ...]:
    """Both engines' times, first token before whole answer; none for a quantity that nobody measured."""
    return tuple(_curves(run, TTFT)) + tuple(_curves(run, E2E))


def _curves(run: Run, quantity: Quantity) -> Iterator[Curve]:
    found = series(pairs(run, Side.BASELINE, Side.CANDIDATE), quantity)
    for engine, arm in (("ollama", found.baseline), ("vllm", found.candidate)):
        if found.n:
            yield Curve(name=quantity.name, engine=engine, seconds=tuple(sorted(v for block in arm for v in block)))


def ended(run: Run) -> tuple[Ended, ...]:
    """The requests that count as errors, by side and kind. Rounds begun anew count too, as the judge counts them."""
    counted = Counter((r.side, _how(r)) for r in run.records if not r.answered)
    asked = Counter(r.side for r in run.records)
    return tuple(Ended(side=str(s), how=how, count=n, of=asked[s]) for (s, how), n in sorted(counted.items()))


def _how(record: Record) -> str:
    return record.error or f"answered by {record.served_by or 'nobody'}"


def scored(run: Run) -> dict[str, list[Pair]]:
    """The pairs by item in which both answers were scored."""
    found: dict[str, list[Pair]] = {}
    for _, block in pairs(run, Side.BASELINE, Side.CANDIDATE):
        for a, b in block:
            if a.quality and b.quality:
                found.setdefault(a.item, []).append((a, b))
    return found


def changed(run: Run) -> tuple[Changed, ...]:
    """Items whose mean score by a metric differs, the worst for vLLM first; one row for each such metric."""
    names = (*run.plan.quality, *run.plan.shown)
    rows = [_changed(item, name, found) for item, found in scored(run).items() for name in names]
    return tuple(sorted((r for r in rows if abs(r.difference) > SAME), key=lambda r: (r.difference, r.item, r.metric)))


def _changed(item: str, name: str, found: Sequence[Pair]) -> Changed:
    """Shown are the answers of the pair that lies furthest apart."""
    furthest = sorted(found, key=lambda pair: -abs(_score(pair[1], name) - _score(pair[0], name)))
    kept = [(a.answer, b.answer) for a, b in furthest if a.answer or b.answer]
    return Changed(
        item=item, metric=name, ollama=fmean(_score(a, name) for a, _ in found),
        vllm=fmean(_score(b, name) for _, b in found), pairs=len(found), answers=kept[0] if kept else None,
    )  # fmt: skip


def _score(record: Record, name: str) -> float:
    return record.quality.get(name, 0.0)


def alike(run: Run, folder: Path) -> tuple[Run, ...]:
    """This run and the latest of each other concurrency in the raw folder, of the same engines and items."""
    latest = {run.plan.concurrency: run}
    for path in sorted(folder.glob(f"{run.plan.service}-*.jsonl"), reverse=True):
        try:
            with path.open("rb") as file:
                plan = records.parse(file.readline(), name=path.name).plan
            if plan.concurrency not in latest and _comparable(plan, run.plan):
                latest[plan.concurrency] = measure.read(path)
        except (GateError, OSError):  # somebody else's broken file is no part of this report
            continue
    return tuple(latest[concurrency] for concurrency in sorted(latest))


def _comparable(other: Plan, plan: Plan) -> bool:
    """Whether two runs differ in load only: engines, machine and items are the same."""
    same = all(
        getattr(other, key) == getattr(plan, key) for key in ("baseline", "candidate", "machine", "stream", "quality")
    )
    return same and _items(other) == _items(plan)


def _items(plan: Plan) -> set[str]:
    return {item for r in plan.schedule for item in r.items}


def levels(runs: Sequence[Run]) -> tuple[Level, ...]:
    """Throughput and first token by concurrency; nothing unless at least two were measured."""
    if len({run.plan.concurrency for run in runs}) < 2:
        return ()
    return tuple(level for run in runs for level in _levels(run))


def _levels(run: Run) -> Iterator[Level]:
    found = pairs(run, Side.BASELINE, Side.CANDIDATE)
    plan, first = run.plan, series(found, TTFT)
    rate = throughput_metric(found, margin=plan.margin("throughput"), method=plan.method, seed=plan.seed)
    for engine, amount, arm in (
        ("ollama", rate.baseline, first.baseline),
        ("vllm", rate.candidate, first.candidate),
    ):
        seconds = [v for block in arm for v in block]
        yield Level(
            concurrency=plan.concurrency, engine=engine, throughput=amount,
            ttft=stats.quantile(seconds, 0.5) if seconds else None, raw=run.name,
        )  # fmt: skip
