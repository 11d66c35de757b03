"""The report's other plots: rounds with the machine's load, distributions, concurrency, the canary's evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from services.migration import report_plots as plots
from services.migration.report_data import Canary
from services.migration.report_plots import COLOURS, FAINT, GRID, INK, PAPER, Plot
from services.migration.report_runs import Curve, Level, RoundRow
from services.migration.report_words import ENGINES, QUANTITIES, between, number
from services.migration.verdict import Verdict

STEPS = 400
"""Points of a distribution that are drawn: more than its plot has pixels."""

STYLES = {"ollama": ((0, (5, 2)), "s"), "vllm": ("-", "o")}
"""Line and marker of an engine, so that it is known without its colour."""

HEAD, TALL, LOW, FOOT = 24, 118, 80, 44


def rounds(rows: Sequence[RoundRow], verdict: Verdict | None) -> Plot | None:
    """Ratios round by round, one area for each quantity, and below the machine's load. None without a ratio."""
    areas = [(name, [(r.number, getattr(r, name)) for r in rows if getattr(r, name)]) for name in ("ttft", "e2e")]
    areas = [(name, found) for name, found in areas if found]
    if not areas:
        return None
    again = [(r.number, r.again) for r in rows if r.again]
    said = [f"{QUANTITIES[n]}: vLLM / Ollama {between([v for _, v in f])} over {len(f)} rounds" for n, f in areas]
    loads = [v for r in rows for v in (r.load_low, r.load_high)]

    def draw(width: int) -> str:
        height = len(areas) * (HEAD + TALL) + HEAD + LOW + FOOT
        with plots.sheet(width, height) as page:
            top = 0
            for name, found in areas:
                axis = page.axes(top=top + HEAD, height=TALL - 6)
                _ratio_area(axis, name, found, again if name == "e2e" else [], verdict)
                _across(axis, rows, labels=False)
                top += HEAD + TALL
            axis = page.axes(top=top + HEAD, height=LOW)
            _load_area(axis, rows)
            _across(axis, rows, labels=True)
            return plots.svg(page)

    alt = "; ".join([*said, f"load average of the machine {between(loads)}"])
    return plots.drawn("rounds", "Round by round, with the machine's load", alt, draw)


def _ratio_area(
    axis: Axes, name: str, found: Sequence[tuple[int, float]], again: Sequence[tuple[int, float]],
    verdict: Verdict | None,
) -> None:  # fmt: skip
    metric = verdict.metric(name, "q50") if verdict else None
    margin = [metric.margin] if metric else []
    values = [v for _, v in (*found, *again)]
    low, high = plots.limits([*values, *margin], least=(0.8, 1.25), most=(0.02, 50.0))
    plots.log_ratio(axis, low, high, vertical=True)
    axis.grid(axis="y")
    axis.axhline(1.0, color=FAINT, linewidth=1)
    for value in margin:
        axis.axhline(value, color=INK, linewidth=1, linestyle=(0, (3, 2)))
    for points, colour, filled in ((again, COLOURS["--ollama"], False), (found, COLOURS["--vllm"], True)):
        shown = [(n, min(max(v, low), high)) for n, v in points]
        axis.plot(
            [n for n, _ in shown], [v for _, v in shown], linestyle="none", marker="o" if filled else "s",
            markersize=6 if filled else 7, color=colour, markerfacecolor=colour if filled else "none",
            markeredgecolor=PAPER if filled else colour, markeredgewidth=0.6 if filled else 1.4, zorder=3,
        )  # fmt: skip
    _heading(axis, f"{QUANTITIES[name]}, vLLM / Ollama")


def _load_area(axis: Axes, rows: Sequence[RoundRow]) -> None:
    numbers = [r.number for r in rows]
    axis.vlines(numbers, [r.load_low for r in rows], [r.load_high for r in rows], color=FAINT, linewidth=3)
    axis.plot(
        numbers, [r.load_high for r in rows], linestyle="none", marker="_", markersize=6, markeredgewidth=2, color=INK
    )
    axis.set_ylim(0, max([r.load_high for r in rows] + [1.0]) * 1.15)
    axis.yaxis.set_major_locator(MaxNLocator(3))
    axis.grid(axis="y")
    _heading(axis, "load average of the machine")


def _across(axis: Axes, rows: Sequence[RoundRow], *, labels: bool) -> None:
    axis.set_xlim(rows[0].number - 0.7, rows[-1].number + 0.7)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if labels:
        axis.set_xlabel("round")
    else:
        axis.tick_params(axis="x", labelbottom=False)


def _heading(axis: Axes, text: str) -> None:
    """Above an area, from its left edge: a label along the axis would be read sideways."""
    axis.annotate(text, (0, 1), xytext=(-34, 8), xycoords="axes fraction", textcoords="offset points")


def curves(found: Sequence[Curve]) -> tuple[Plot, ...]:
    """One plot of each quantity: which share of the answers took at most so long."""
    return tuple(
        _curve_plot(name, [c for c in found if c.name == name])
        for name in ("ttft", "e2e")
        if any(c.name == name for c in found)
    )


def _curve_plot(name: str, found: Sequence[Curve]) -> Plot:
    title = f"{QUANTITIES[name]}, distribution".capitalize()
    said = "; ".join(f"{ENGINES[c.engine]}: median {number(median(c.seconds))} s of {len(c.seconds)}" for c in found)

    def draw(width: int) -> str:
        with plots.sheet(width, HEAD + 200 + FOOT) as page:
            axis = page.axes(top=HEAD, height=200)
            values = [v for c in found for v in c.seconds if v > 0]
            if values and max(values) / min(values) > 8:
                plots.log_ratio(axis, min(values) / 1.05, max(values) * 1.05)
            for curve in found:
                x, y = _steps(curve.seconds)
                axis.step(
                    x, y, where="post", color=COLOURS[f"--{curve.engine}"], linestyle=STYLES[curve.engine][0],
                    linewidth=2,
                )  # fmt: skip
            axis.set_ylim(0, 1.02)
            axis.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0", "25", "50", "75", "95"])
            axis.grid(axis="both")
            axis.set_xlabel(f"seconds, {QUANTITIES[name]}")
            _heading(axis, "% of the answers")
            return plots.svg(page)

    return plots.drawn(f"ecdf-{name}", title, said, draw, widths=False)


def _steps(seconds: Sequence[float]) -> tuple[list[float], list[float]]:
    """The steps of the distribution, thinned evenly; the first and the last value stay."""
    n = len(seconds)
    kept = sorted({round(i * (n - 1) / (STEPS - 1)) for i in range(STEPS)}) if n > STEPS else range(n)
    return [seconds[0], *(seconds[i] for i in kept)], [0.0, *((i + 1) / n for i in kept)]


def levels(found: Sequence[Level]) -> tuple[Plot, ...]:
    """Throughput and first token against concurrency, each with its data only."""
    tokens = _level_plot("throughput", "Output tokens a second", found, lambda level: level.throughput)
    first = _level_plot("ttft", "Median seconds to the first word", found, lambda level: level.ttft)
    return tuple(p for p in (tokens, first) if p)


def _level_plot(name: str, title: str, found: Sequence[Level], of: Callable[[Level], float | None]) -> Plot | None:
    lines = {
        engine: [(level.concurrency, value) for level in found if level.engine == engine and (value := of(level))]
        for engine in ("ollama", "vllm")
    }
    if any(len(line) < 2 for line in lines.values()):
        return None
    said = "; ".join(
        f"{ENGINES[engine]}: " + ", ".join(f"{number(v)} at {n}" for n, v in line) for engine, line in lines.items()
    )

    def draw(width: int) -> str:
        with plots.sheet(width, HEAD + 170 + FOOT) as page:
            axis = page.axes(top=HEAD, height=170)
            for engine, line in lines.items():
                style, marker = STYLES[engine]
                axis.plot(
                    [n for n, _ in line], [v for _, v in line], color=COLOURS[f"--{engine}"], linestyle=style,
                    marker=marker, linewidth=2,
                )  # fmt: skip
            axis.set_ylim(bottom=0)
            axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axis.grid(axis="y")
            axis.set_xlabel("requests in flight")
            _heading(axis, title.lower())
            return plots.svg(page)

    return plots.drawn(f"levels-{name}", title, said, draw, widths=False)


def canary(found: Sequence[Canary]) -> Plot | None:
    """The canary's e-values, in the order of its steps, with the value that ends it."""
    if not found:
        return None
    said = "; ".join(f"{c.at}, {c.stage}: {number(c.e_value)}" for c in found)
    limits = [c.limit for c in found if c.limit]

    def draw(width: int) -> str:
        with plots.sheet(width, HEAD + 150 + FOOT) as page:
            axis = page.axes(top=HEAD, height=150)
            values = [c.e_value for c in found]
            low, high = plots.limits([*values, *limits], least=(0.5, 2.0), most=(1e-6, 1e9))
            plots.log_ratio(axis, low, high, vertical=True)
            axis.grid(axis="y", color=GRID)
            shown = [min(max(value, low), high) for value in values]
            axis.plot(range(1, len(values) + 1), shown, marker="o", color=COLOURS["--vllm"], linewidth=1.5)
            axis.axhline(1.0, color=FAINT, linewidth=1)
            for value in set(limits):
                axis.axhline(value, color=COLOURS["--fail"], linewidth=1.5, linestyle=(0, (3, 2)))
            axis.set_xlim(0.5, len(values) + 0.5)
            axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            axis.set_xlabel("step of the canary")
            _heading(axis, "e-value: evidence that vLLM is worse")
            return plots.svg(page)

    return plots.drawn("canary", "The canary's evidence, step by step", said, draw)
