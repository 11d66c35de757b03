"""From how many users on vLLM is better than every setting of Ollama, by the bound of an interval. Pure and seeded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from services.migration import stats
from services.migration.stats import Interval
from services.migration.sweep_blocks import LEVEL, RESAMPLES, Series, of_level
from services.migration.sweep_records import Plan, Raw

Faster = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """vLLM over one Ollama: the ratio of all rounds and its interval, None where one round has none."""

    ratio: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One level: vLLM over the setting of Ollama that is hardest to beat there."""

    users: int
    against: str
    ratio: float | None
    low: float | None
    high: float | None
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pays:
    """`users` is the smallest measured number from which on vLLM is better at every level; None: not in this range."""

    quantity: str
    users: int | None
    why: str
    steps: tuple[Step, ...]


Compare = Callable[[Series, Series, Plan], Compared]


def throughput(ollama: Series, vllm: Series, plan: Plan) -> Compared:
    """Output tokens a second. Failed requests bring none, and the time that they took counts."""
    arms = [list(zip(s.tokens, s.spans, strict=True)) for s in (ollama, vllm)]
    counts = stats.draw(len(ollama.spans), resamples=RESAMPLES, seed=plan.seed)
    rates = [[tokens / span for tokens, span in arm] for arm in arms]
    whole = [sum(t for t, _ in arm) / sum(s for _, s in arm) for arm in arms]
    return _compared(whole, rates, stats.percentile_interval(stats.total_ratios(arms[0], arms[1], counts), level=LEVEL))


def wait(ollama: Series, vllm: Series, plan: Plan) -> Compared:
    """The median wait: for the first token where the service streams, else for the whole answer."""
    arms = [s.ttft if plan.stream else s.e2e for s in (ollama, vllm)]
    counts = stats.draw(len(ollama.spans), resamples=RESAMPLES, seed=plan.seed)
    medians = [[stats.quantile(r, 0.5) for r in arm] for arm in arms]
    whole = [stats.quantile([v for r in arm for v in r], 0.5) for arm in arms]
    samples = stats.quantile_ratios(arms[0], arms[1], counts, 0.5)
    return _compared(whole, medians, stats.percentile_interval(samples, level=LEVEL))


def _compared(whole: Sequence[float], rounds: Sequence[Sequence[float]], drawn: Interval | None) -> Compared:
    """The wider of the bootstrap over rounds and the t-interval of the rounds' ratios: few rounds fool the first."""
    if whole[0] <= 0 or min(rounds[0]) <= 0:
        return Compared(ratio=None, interval=None)
    ratios = [b / a for a, b in zip(*rounds, strict=True)]
    spread = stats.log_t_interval(ratios, level=LEVEL)
    interval = drawn.wider(spread) if drawn and spread else None
    return Compared(ratio=whole[1] / whole[0], interval=interval)


def pays(raw: Raw, done: Sequence[int], compare: Compare, *, faster_is: Faster) -> Pays:
    """Better than every Ollama at a level means: by the bound, against each, so no choice of setting is lucky."""
    steps = tuple(_step(raw, done, users, compare, faster_is) for users in raw.plan.users)
    first: int | None = None
    for step in reversed(steps):
        if not step.holds:
            break
        first = step.users
    quantity = _quantity(compare, raw.plan)
    return Pays(quantity=quantity, users=first, why=_why(steps, first, faster_is, len(done)), steps=steps)


def _quantity(compare: Compare, plan: Plan) -> str:
    if compare is throughput:
        return "output tokens a second"
    return "median time to the first token" if plan.stream else "median time of a whole answer"


def _step(raw: Raw, done: Sequence[int], users: int, compare: Compare, faster_is: Faster) -> Step:
    plan = raw.plan
    vllm = next(c for c in plan.contenders if c.engine == "vllm")
    found = {
        c.name: compare(of_level(raw, c, users, done), of_level(raw, vllm, users, done), plan)
        for c in plan.contenders
        if c.engine == "ollama"
    }
    name = min(found, key=lambda n: _lead(found[n], faster_is))
    hardest = found[name]
    low, high = stats.ends(hardest.interval)
    holds = all(_better(c, faster_is) for c in found.values())
    return Step(users=users, against=name, ratio=hardest.ratio, low=low, high=high, holds=holds)


def _lead(found: Compared, faster_is: Faster) -> float:
    """The bound that must clear 1, as a lead of vLLM; an unknown one is the hardest to beat."""
    if found.interval is None:
        return (found.ratio or 0.0) - 1e9
    return found.interval.low if faster_is == "higher" else 1 / max(found.interval.high, 1e-9)


def _better(found: Compared, faster_is: Faster) -> bool:
    if found.interval is None:
        return False
    return found.interval.low > 1 if faster_is == "higher" else found.interval.high < 1


def _why(steps: Sequence[Step], first: int | None, faster_is: Faster, rounds: int) -> str:
    users = [s.users for s in steps]
    if first is not None and first == users[0]:
        return f"already at {first}, the fewest measured"
    if first is not None:
        return "and at every larger number measured"
    ahead = [s.users for s in steps if s.ratio and (s.ratio > 1 if faster_is == "higher" else s.ratio < 1)]
    said = f"not shown from {users[0]} to {users[-1]} users"
    if rounds < 2:
        return f"{said}: one round has no interval; measure with more `--rounds`"
    if users[-1] in ahead:
        return f"{said}: ahead at {', '.join(map(str, ahead))}, but not by its bound; measure with more `--rounds`"
    return f"{said}: Ollama is ahead or level at {users[-1]}"
