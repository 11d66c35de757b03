"""The report's part about users: throughput and waiting against their number, knees and the point where vLLM pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from services.migration import report_plots as plots
from services.migration import sweep_words as words
from services.migration.report_figures import FOOT, HEAD
from services.migration.report_plots import COLOURS, INK, Plot
from services.migration.report_words import number
from services.migration.sweep import Curve, Estimate, Level, Sweep

DASHES = ((2, 2), (6, 2), (10, 2, 2, 2), (1, 1), (4, 1, 1, 1))
MARKERS = ("s", "^", "D", "v", "P")
"""Lines and markers of Ollama's settings, so that they are told apart without colour; vLLM is whole and round."""

APART = 0.025
"""Share by which neighbouring curves are moved sideways, so that one's interval does not hide another's."""

TALL = 190


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One plot: a value of each level; `from_users` is where vLLM begins to be better in it, if it does."""

    name: str
    title: str
    of: Callable[[Level], Estimate]
    from_users: int | None = None


def figures(found: Sweep | None) -> tuple[Plot, ...]:
    """Throughput, then the median and the slowest waits; nothing with fewer than two levels."""
    if found is None or len(found.users) < 2:
        return ()
    return tuple(_plot(found, quantity) for quantity in _quantities(found))


def _quantities(found: Sweep) -> tuple[Quantity, ...]:
    of50, of95 = (lambda x: x.ttft_p50, lambda x: x.ttft_p95) if found.stream else (
        lambda x: x.e2e_p50, lambda x: x.e2e_p95
    )  # fmt: skip
    what = "to the first word" if found.stream else "for a whole answer"
    return (
        Quantity(name="tokens", title="Output tokens a second", of=lambda x: x.tokens_per_s,
                 from_users=found.throughput.users),
        Quantity(name="wait", title=f"Median seconds {what}", of=of50, from_users=found.wait.users),
        Quantity(name="slowest", title=f"Seconds {what}, slowest 5 %", of=of95),
    )  # fmt: skip


def _plot(found: Sweep, quantity: Quantity) -> Plot:
    lines = {c.name: [(x.users, quantity.of(x)) for x in c.levels] for c in found.curves}
    alt = "; ".join(
        f"{words.label(c)}: " + ", ".join(f"{number(e.value)} at {n}" for n, e in lines[c.name]) for c in found.curves
    )

    def draw(width: int) -> str:
        with plots.sheet(width, HEAD + TALL + FOOT) as page:
            axis = page.axes(top=HEAD, height=TALL)
            _scale(axis, found, [e for line in lines.values() for _, e in line])
            if quantity.from_users is not None:
                axis.axvline(quantity.from_users, color=INK, linewidth=1.2, linestyle=(0, (3, 2)), zorder=1)
            for place, curve in enumerate(found.curves):
                _draw(axis, curve, lines[curve.name], 1 + APART * (place - (len(found.curves) - 1) / 2), found)
            axis.set_xlabel("users at a time")
            axis.annotate(
                quantity.title.lower(), (0, 1), xytext=(-34, 8), xycoords="axes fraction", textcoords="offset points"
            )
            return plots.svg(page)

    return plots.drawn(f"sweep-{quantity.name}", quantity.title, alt, draw, widths=False)


def _scale(axis: Axes, found: Sweep, estimates: Sequence[Estimate]) -> None:
    values = [v for e in estimates for v in (e.value, e.low, e.high) if v]
    if values and max(values) / min(values) > 8:
        plots.log_ratio(axis, min(values) / 1.2, max(values) * 1.2, vertical=True)
    else:
        axis.set_ylim(0, 1.1 * max(values, default=1.0))
    axis.set_xscale("log", base=2)
    axis.set_xlim(found.users[0] / 1.25, found.users[-1] * 1.25)
    axis.xaxis.set_major_locator(FixedLocator(list(found.users)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.grid(axis="y")


def _draw(axis: Axes, curve: Curve, line: Sequence[tuple[int, Estimate]], aside: float, found: Sweep) -> None:
    """The line with its intervals, and a ring around the knee."""
    dash, marker = _style(found, curve)
    colour = COLOURS[f"--{curve.engine}"]
    known = [(n * aside, e.value) for n, e in line if e.value]
    axis.plot(
        [n for n, _ in known], [v for _, v in known], color=colour, linestyle=(0, dash) if dash else "-",
        marker=marker, markersize=6, linewidth=2, zorder=3,
    )  # fmt: skip
    for n, e in line:
        if e.low and e.high:
            axis.vlines(n * aside, e.low, e.high, color=colour, linewidth=1, zorder=2)
        if e.value and n == curve.knee.users:
            axis.plot(
                [n * aside], [e.value], linestyle="none", marker="o", markersize=14, markerfacecolor="none",
                markeredgecolor=colour, markeredgewidth=1.6, zorder=4,
            )  # fmt: skip


def _style(found: Sweep, curve: Curve) -> tuple[tuple[int, ...], str]:
    if curve.engine != "ollama":
        return (), "o"
    place = [c.name for c in found.curves if c.engine == "ollama"].index(curve.name)
    return DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)]


SHAPES = {
    "o": "M26 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    "s": "M18 2h8v8h-8z",
    "^": "M22 1l5 9h-10z",
    "D": "M22 0.5l5 5.5l-5 5.5l-5-5.5z",
    "v": "M22 11l-5-9h10z",
    "P": "M20 2h4v2h2v4h-2v2h-4v-2h-2v-4h2z",
}
"""The markers as paths of a legend 44 wide and 12 high."""


def keys(found: Sweep | None) -> list[Mapping[str, Any]]:
    """The legend: the label, colour, dashes and marker of each contender."""
    if found is None:
        return []
    return [
        {
            "label": words.label(c), "engine": c.engine, "marker": SHAPES[_style(found, c)[1]],
            "dashes": " ".join(str(2 * d) for d in _style(found, c)[0]),
        }
        for c in found.curves
    ]  # fmt: skip
