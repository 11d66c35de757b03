"""What the command line shows: a live list of steps, and tables. Rendering only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

OUTCOME_STYLES = {"pass": "green", "fail": "red", "inconclusive": "yellow", "invalid": "magenta", "warn": "yellow"}


@dataclass(slots=True)
class Step:
    """One line of the display. Times in seconds of a monotonic clock."""

    name: str
    detail: str
    started: float
    ended: float | None = None
    failed: bool = False


@dataclass(slots=True)
class Display:
    """Shows what runs, for how long and how far: redrawn in place on a terminal, one line per event elsewhere."""

    console: Console
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, Step] = field(default_factory=dict)
    _live: Live | None = None
    _origin: float = 0.0
    _picture: RenderableType | None = None

    def __enter__(self) -> Display:
        self._origin = self.clock()
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=False)
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for step in self.steps.values():
            if step.ended is None:
                step.ended, step.failed = self.clock(), kind is not None
        if self._live:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def begin(self, step: str, detail: str = "") -> None:
        """`step` has begun."""
        self.steps[step] = Step(step, detail, self.clock())
        self._line(step, detail or "begins")

    def note(self, step: str, detail: str) -> None:
        """How far `step` is."""
        if step not in self.steps:
            self.begin(step, detail)
        elif self.steps[step].detail != detail:
            self.steps[step].detail = detail
            self._line(step, detail)

    def end(self, step: str, detail: str = "") -> None:
        """`step` is done."""
        if step not in self.steps:
            self.begin(step, detail)
        done = self.steps[step]
        done.ended = self.clock()
        done.detail = detail or done.detail
        self._line(step, f"done in {_seconds(done.ended - done.started)}{': ' + detail if detail else ''}")

    def picture(self, picture: RenderableType | None) -> None:
        """Show this below the steps, in the place of the picture before it; None takes it away."""
        self._picture = picture
        if self._live:
            self._live.refresh()
        elif picture is not None:
            self.console.print(picture)

    def _line(self, step: str, text: str) -> None:
        if self._live is None:
            at = _seconds(self.clock() - self._origin)
            self.console.print(Text(f"[{at:>7}] {step}: {text}"), soft_wrap=True)

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", width=8)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for step in self.steps.values():
            until = step.ended if step.ended is not None else self.clock()
            table.add_row(_mark(step), step.name, _seconds(until - step.started), Text(step.detail, style="dim"))
        return Group(table, self._picture) if self._picture is not None else Group(table)


def _mark(step: Step) -> RenderableType:
    if step.ended is None:
        return Spinner("dots", style="cyan")
    return Text("x", style="red") if step.failed else Text("✓", style="green")


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} m {int(value % 60):02d} s"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Stands in for a display where nothing is to be shown."""
    yield


def verdict_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One row per service: what `cutover run` ends with. Keys as `cli_run.summary` gives them."""
    title = "Ollama to vLLM, service by service"
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    for column in ("service", "stage", "verdict", "vLLM / Ollama", "quality", "fallback"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        stage = f"{row['stage']} (demo)" if row["demo"] else str(row["stage"])
        table.add_row(
            row["service"],
            stage,
            Text(row["verdict"], style=OUTCOME_STYLES.get(row["verdict"], "")),
            interval(row["ratio"]),
            quality(row["quality"]),
            str(row["fallbacks"]),
        )
    return table


def interval(effect: Mapping[str, Any] | None) -> str:
    """`0.45 [0.39, 0.52]`, or a dash where there was no data."""
    if not effect or effect["effect"] is None:
        return "-"
    if effect["low"] is None or effect["high"] is None:
        return f"{effect['effect']:.2f}"
    return f"{effect['effect']:.2f} [{effect['low']:.2f}, {effect['high']:.2f}]"


def quality(metric: Mapping[str, Any] | None) -> str:
    """`0.41 -> 0.43`: Ollama's score, then vLLM's."""
    if not metric or metric["baseline"] is None or metric["candidate"] is None:
        return "-"
    return f"{metric['baseline']:.2f} -> {metric['candidate']:.2f}"


def metrics_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """A verdict's metrics with interval, margin and result."""
    table = Table(header_style="bold")
    for column in ("metric", "ollama", "vllm", "effect", "margin", "result"):
        table.add_column(column)
    for m in metrics:
        table.add_row(
            f"{m['name']} {m['stat']}".strip(),
            _number(m["baseline"]),
            _number(m["candidate"]),
            interval(m),
            _number(m["margin"]),
            Text(m["result"], style=OUTCOME_STYLES.get(m["result"], "")),
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
