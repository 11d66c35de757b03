"""Draws one panel of the live page in the colours and sizes of the report's plots."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from services.migration.report_plots import COLOURS, Plot, drawn, sheet, svg
from services.monitor.live import Series, Shown
from services.monitor.panels import Kind

HEIGHT, BAR = 170, 22
CYCLE = ("--ink", "--pass", "--inconclusive", "--fail", "--info")
DASHES = ("-", "--", ":", "-.")
ROOM_FOR_NAMES, LEFT = 130, 58
HEAT_TICKS = 5


def colour(name: str, number: int) -> str:
    """The engine's own colour where a series names one, so that Ollama looks the same in every panel."""
    for engine in ("vllm", "ollama"):
        if engine in name.lower():
            return f"--{engine}"
    return CYCLE[number % len(CYCLE)]


def styles(series: Sequence[Series]) -> list[tuple[str, str]]:
    """Colour and stroke of each: p50 broken, p95 whole, and no two alike until four share a colour."""
    found: list[tuple[str, str]] = []
    for number, one in enumerate(series):
        own = colour(one.name, number)
        wanted = "--" if one.name.endswith(("p50", "target", "limit", "margin")) else "-"
        taken = {stroke for other, stroke in found if other == own}
        found.append((own, next((stroke for stroke in (wanted, *DASHES) if stroke not in taken), wanted)))
    return found


def plot(name: str, shown: Shown, *, start: float, end: float) -> Plot:
    """The picture of a panel that has data."""

    def draw(width: int) -> str:
        height = HEIGHT if shown.panel.kind is not Kind.STATES else 44 + BAR * len(_states(shown.series))
        with sheet(width, height) as page:
            left = ROOM_FOR_NAMES if shown.panel.kind is Kind.STATES else LEFT
            axes = page.axes(top=8, height=height - 34, left=left)
            {Kind.STATES: _bars, Kind.HEAT: _heat}.get(shown.panel.kind, _lines)(axes, shown, end)
            _times(axes, start, end)
            return svg(page)

    said = "; ".join(f"{s.name}: {written(s.last, shown.panel.unit)}" for s in shown.series[:6])
    return drawn(name, shown.panel.title, f"{shown.panel.says} Last values: {said}", draw, widths=False)


def written(value: float, unit: str) -> str:
    """A value as people read it."""
    match unit:
        case "percentunit":
            return f"{100 * value:.3g} %"
        case "s":
            return f"{value:.3g} s" if abs(value) >= 1 or value == 0 else f"{1000 * value:.3g} ms"
        case "bytes":
            return f"{value / 2**30:.3g} GiB" if abs(value) >= 2**26 or value == 0 else f"{value:,.0f} B"
        case "currencyUSD":
            return f"$ {value:.3g}"
        case "d" | "h":
            return f"{value:.3g} {unit}"
        case "reqps":
            return f"{value:.3g} /s"
        case _:
            return f"{value:,.4g}".replace("e+0", "e")


def _lines(axes: Axes, shown: Shown, end: float) -> None:
    most = 0.0
    for series, (variable, stroke) in zip(shown.series, styles(shown.series), strict=True):
        own = COLOURS[variable]
        for part in runs(series, end):
            times, values = zip(*part, strict=True)
            axes.plot(times, values, color=own, linewidth=1.4, linestyle=stroke)
            most = max(most, *values)
        axes.plot(*series.points[-1], color=own, marker="o", markersize=3)
    low = min(0.0, *(value for series in shown.series for _, value in series.points))
    axes.set_ylim(low, most * 1.08 if most > 0 else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: written(v, shown.panel.unit)))
    axes.grid(axis="y")


def runs(series: Series, end: float) -> list[list[tuple[float, float]]]:
    """The points without the gaps between them: where nothing was measured, no line says so."""
    step = _step([t for t, _ in series.points], end) if series.points else 0.0
    found: list[list[tuple[float, float]]] = []
    for point in series.points:
        if found and point[0] - found[-1][-1][0] <= 1.5 * step:
            found[-1].append(point)
        else:
            found.append([point])
    return found


def _step(times: Sequence[float], end: float) -> float:
    return min((b - a for a, b in itertools.pairwise(times)), default=(end - times[0]) or 1.0)


def _states(series: Sequence[Series]) -> list[Series]:
    """One bar each; a series that was never on is a bar without ink."""
    return list(series)[:10]


def _bars(axes: Axes, shown: Shown, end: float) -> None:
    found = _states(shown.series)
    for row, series in enumerate(found):
        step = _step([t for t, _ in series.points], end)
        on = Series(series.name, tuple(point for point in series.points if point[1] > 0))
        spans = [(part[0][0], part[-1][0] - part[0][0] + step) for part in runs(on, end)]
        axes.broken_barh(spans, (row - 0.35, 0.7), facecolors=COLOURS[colour(series.name, row)], edgecolors="none")
    axes.set_yticks(range(len(found)), [s.name[:20] for s in found])
    axes.set_ylim(len(found) - 0.4, -0.6)


def _heat(axes: Axes, shown: Shown, end: float) -> None:
    """Each bucket's own count, the darker the more: buckets come cumulative."""
    own = COLOURS[colour(shown.panel.title, 0)]
    buckets = sorted(((float(s.name.replace("+Inf", "inf")), dict(s.points)) for s in shown.series), key=lambda b: b[0])
    times = sorted({t for _, points in buckets for t in points})
    step = _step(times, end)
    counts = {
        (row, t): points.get(t, 0.0) - (buckets[row - 1][1].get(t, 0.0) if row else 0.0)
        for row, (_, points) in enumerate(buckets)
        for t in times
    }
    most = max(counts.values(), default=0.0) or 1.0
    for (row, t), count in counts.items():
        if count > most / 50:
            axes.broken_barh([(t, step)], (row, 1), facecolors=own, alpha=0.15 + 0.85 * count / most)
    low, high = used([row for (row, _), count in counts.items() if count > 0], len(buckets))
    axes.set_ylim(low, high)
    ticks = range(low, high, max(1, -(-(high - low) // HEAT_TICKS)))
    axes.set_yticks([t + 1 for t in ticks], [written(float(f"{buckets[t][0]:.2g}"), "s") for t in ticks])


def used(rows: Sequence[int], count: int) -> tuple[int, int]:
    """The buckets from the lowest to the highest that hold anything, with one empty on either side; else all."""
    return (max(0, min(rows) - 1), min(count, max(rows) + 2)) if rows else (0, count)


def _times(axes: Axes, start: float, end: float) -> None:
    axes.set_xlim(start, end)
    ticks = [start + (end - start) * part for part in (0.0, 0.5, 1.0)]
    axes.set_xticks(ticks, [datetime.fromtimestamp(t, UTC).strftime("%H:%M") for t in ticks])
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
