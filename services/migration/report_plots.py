"""Draws one plot of the report as inline SVG whose colours are the page's own, so that light and dark need one file.

Importing this costs about a second (matplotlib); only writing a report does it.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

NARROW, WIDE = 340, 720
"""Widths in units of which one is about a pixel: a phone's column, and the page's."""

TEXT = 12
PER_INCH = 72
COLOURS = {
    "--ink": "#010203",
    "--faint": "#010204",
    "--grid": "#010205",
    "--allowed": "#010206",
    "--paper": "#010207",
    "--ollama": "#010208",
    "--vllm": "#010209",
    "--pass": "#01020a",
    "--fail": "#01020b",
    "--inconclusive": "#01020c",
    "--info": "#01020d",
}
"""What is drawn with, and stands for a variable of the page's style sheet. No page would choose these colours."""

INK, FAINT, GRID, ALLOWED, PAPER = (COLOURS[f"--{n}"] for n in ("ink", "faint", "grid", "allowed", "paper"))
SETTINGS: Any = {
    "svg.fonttype": "none",
    "font.size": TEXT,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A finished plot. `alt` says in words what it shows; `narrow` is the same for a phone, where one is needed."""

    name: str
    title: str
    alt: str
    svg: str
    narrow: str = ""


@dataclass(slots=True, kw_only=True)
class Sheet:
    """A figure that is filled from top to bottom; all lengths in units of a pixel."""

    width: int
    height: int
    figure: Figure

    def axes(self, *, top: float, height: float, left: float = 44, right: float = 10) -> Axes:
        """An area, `top` units below the upper edge."""
        box = (left / self.width, 1 - (top + height) / self.height, (self.width - left - right) / self.width)
        return self.figure.add_axes((*box, height / self.height))


@contextmanager
def sheet(width: int, height: int) -> Iterator[Sheet]:
    with matplotlib.rc_context(SETTINGS):
        yield Sheet(width=width, height=height, figure=Figure(figsize=(width / PER_INCH, height / PER_INCH)))


def drawn(name: str, title: str, alt: str, draw: Callable[[int], str], *, widths: bool = True) -> Plot:
    """The plot for the page's width and, with `widths`, for a phone's; else one that suits both."""
    if not widths:
        return Plot(name=name, title=title, alt=alt, svg=_titled(draw(NARROW), f"{name}-n", title, alt))
    wide, narrow = (_titled(draw(w), f"{name}-{w}", title, alt) for w in (WIDE, NARROW))
    return Plot(name=name, title=title, alt=alt, svg=wide, narrow=narrow)


def svg(page: Sheet) -> str:
    """The drawing as SVG, the same bytes for the same data."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "cutover"}):
        page.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _titled(text: str, name: str, title: str, alt: str) -> str:
    """An element that fits into a page: own ids, the page's colours and font, a title and a description."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    for variable, colour in COLOURS.items():
        body = body.replace(colour, f"var({variable})")
    view = re.search(r'viewBox="[^"]*"', body)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view.group() if view else ""} role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(alt)}</desc>'
    )
    return head + body[body.index(">") + 1 :]


def log_ratio(axis: Axes, low: float, high: float, *, vertical: bool = False) -> None:
    """A logarithmic scale with ticks that people read: 0.5, 1, 2."""
    one = axis.yaxis if vertical else axis.xaxis
    (axis.set_yscale if vertical else axis.set_xscale)("log")
    (axis.set_ylim if vertical else axis.set_xlim)(low, high)
    span = high / low
    steps = (
        (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0)
        if span < 4
        else (1.0, 2.0, 3.0, 5.0, 7.0)
        if span < 12
        else (1.0, 2.0, 5.0)
        if span < 200
        else (1.0,)
    )
    one.set_major_locator(LogLocator(base=10, subs=steps, numticks=12))
    one.set_minor_locator(NullLocator())
    one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    one.set_minor_formatter(NullFormatter())


def limits(values: list[float], *, least: tuple[float, float], most: tuple[float, float]) -> tuple[float, float]:
    """A range that holds the values with some room, at least and at most so wide."""
    low, high = min([*values, least[0]]), max([*values, least[1]])
    return max(low / 1.15, most[0]), min(high * 1.15, most[1])
