"""The forest plot: each metric's effect with its interval, and shaded what its margin allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from services.migration import report_plots as plots
from services.migration.report_plots import ALLOWED, COLOURS, FAINT, GRID, INK, PAPER, Plot
from services.migration.report_words import bounds, effect, named
from services.migration.verdict import Direction, Kind, Metric, Result

ROW, FOOT, GAP = 46, 40, 14
MARKERS = {Result.PASS: "o", Result.INCONCLUSIVE: "D", Result.FAIL: "X", Result.INFO: "s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The metrics that share a scale, with the factor that shows them and what the axis is."""

    kind: Kind
    unit: str
    factor: float
    metrics: tuple[Metric, ...]

    @property
    def log(self) -> bool:
        return self.kind is Kind.RATIO

    @property
    def height(self) -> int:
        return ROW * len(self.metrics) + FOOT + GAP

    def limits(self) -> tuple[float, float]:
        """The range of the axis: all there is, within reason."""
        margins = [m.margin for m in self.metrics]
        shown = [*_finite(self), *margins]
        if self.log:
            return plots.limits([v for v in shown if v > 0], least=(0.8, 1.25), most=(0.02, 50.0))
        most = self.factor * max(margins, default=0.01)
        low = 0.0 if self.kind is Kind.BOUND else min([*(v * self.factor for v in _finite(self)), -2 * most])
        high = max([*(v * self.factor for v in _finite(self)), 2 * most])
        room = (high - low) * 0.04
        return (low if self.kind is Kind.BOUND else max(low - room, -100.0)), min(high + room, 100.0)


def _finite(panel: Panel) -> list[float]:
    values = (v for m in panel.metrics for v in (m.effect, m.low, m.high))
    return [v for v in values if v is not None and math.isfinite(v)]


def panels(metrics: Sequence[Metric]) -> tuple[Panel, ...]:
    """Metrics by scale; none for a scale that no required metric has data on."""
    shown = [m for m in metrics if m.required and m.effect is not None]
    made = (
        Panel(kind=kind, unit=unit, factor=factor, metrics=tuple(m for m in shown if m.kind is kind))
        for kind, unit, factor in (
            (Kind.RATIO, "vLLM / Ollama; 1 is the same", 1.0),
            (Kind.DIFFERENCE, "points, vLLM - Ollama; 0 is the same", 100.0),
            (Kind.BOUND, "% of vLLM's requests that failed", 100.0),
        )
    )
    return tuple(p for p in made if p.metrics)


def forest(metrics: Sequence[Metric]) -> Plot | None:
    """The plot, or None without any data."""
    found = panels(metrics)
    if not found:
        return None
    said = "; ".join(
        f"{named(m)}: {_numbers(m)}, {m.result}" for p in found for m in p.metrics
    )  # the same words as in the table
    return plots.drawn("forest", "Each metric against its margin", said, lambda width: _draw(found, width))


def _numbers(metric: Metric) -> str:
    return f"{effect(metric)} {'without an interval' if metric.low is None else bounds(metric)}"


def _draw(found: Sequence[Panel], width: int) -> str:
    with plots.sheet(width, sum(p.height for p in found)) as page:
        top = 0
        for panel in found:
            axis = page.axes(top=top, height=ROW * len(panel.metrics), left=10, right=10)
            _panel(axis, panel)
            top += panel.height
        return plots.svg(page)


def _panel(axis: Axes, panel: Panel) -> None:
    low, high = panel.limits()
    if panel.log:
        plots.log_ratio(axis, low, high)
    else:
        axis.set_xlim(low, high)
        axis.locator_params(axis="x", nbins=6)
    axis.set_ylim(len(panel.metrics), 0)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_xlabel(panel.unit)
    for row, metric in enumerate(panel.metrics):
        _row(axis, panel, metric, row, (low, high))


def _row(axis: Axes, panel: Panel, metric: Metric, row: int, view: tuple[float, float]) -> None:
    """Above the name and the numbers; below the interval over what the margin allows."""
    first, last = _allowed(panel, metric, view)
    centre = row + 0.68
    axis.fill_between([first, last], row + 0.46, row + 0.92, color=ALLOWED, linewidth=0, zorder=0)
    edge = last if metric.direction is Direction.LOWER else first
    axis.plot([edge, edge], [row + 0.46, row + 0.92], color=INK, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
    if panel.kind is not Kind.BOUND:
        same = 1.0 if panel.log else 0.0
        axis.plot([same, same], [row + 0.46, row + 0.92], color=FAINT, linewidth=1, zorder=2)
    at = axis.get_yaxis_transform()
    axis.text(0, row + 0.34, named(metric), transform=at, va="baseline", ha="left")
    axis.text(1, row + 0.34, _numbers(metric), transform=at, va="baseline", ha="right")
    if row:
        axis.axhline(row, color=GRID, linewidth=0.8, zorder=0)
    if metric.effect is None:
        return
    colour = COLOURS[f"--{metric.result}"]
    if metric.low is not None and metric.high is not None:
        ends = [_within(v * panel.factor, view) for v in (metric.low, metric.high)]
        axis.plot(ends, [centre, centre], color=colour, linewidth=2.5, solid_capstyle="butt", zorder=3)
        for value, end, sign in ((metric.low, ends[0], "<"), (metric.high, ends[1], ">")):
            mark = sign if value * panel.factor != end else "|"  # an arrow where the axis ends before the interval
            axis.plot([end], [centre], marker=mark, color=colour, markersize=7, clip_on=False, zorder=3)
    size = 11 if metric.result is Result.FAIL else 9  # a cross looks smaller than a disc
    axis.plot(
        [_within(metric.effect * panel.factor, view)], [centre], marker=MARKERS[metric.result], markersize=size,
        color=colour, markeredgecolor=PAPER, markeredgewidth=0.8, clip_on=False, zorder=4,
    )  # fmt: skip


def _allowed(panel: Panel, metric: Metric, view: tuple[float, float]) -> tuple[float, float]:
    """Where the whole interval must lie for a pass."""
    margin = panel.factor * (-metric.margin if metric.kind is Kind.DIFFERENCE else metric.margin)
    at = _within(margin, view)
    return (view[0], at) if metric.direction is Direction.LOWER else (at, view[1])


def _within(value: float, view: tuple[float, float]) -> float:
    return min(max(value, view[0]), view[1])
