"""Asks a Prometheus what the boards ask, for a page that needs no Grafana. Values only; drawing is `live_plots`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from services.migration.errors import EngineUnreachable
from services.monitor.boards import BOARDS
from services.monitor.panels import Board, Kind, Panel, Query, plain
from services.settings import SERVICES

POINTS = 60
LIMIT_S = 30.0
SHOWN = 12
"""Series of one panel. The page says how many more there are."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its legend, and values over time (Unix seconds)."""

    name: str
    points: tuple[tuple[float, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A panel with what Prometheus answered; `more` counts series that were left out. No series: no data."""

    panel: Panel
    series: tuple[Series, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A board, or its part for one service."""

    board: Board
    service: str
    panels: tuple[Shown, ...]

    @property
    def title(self) -> str:
        return f"{self.board.title}: {self.service}" if self.service else self.board.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """Everything on the page. Times in Unix seconds."""

    source: str
    start: float
    end: float
    groups: tuple[Group, ...]


def collect(url: str, *, now: float, minutes: float) -> Live:
    """Ask for every panel of every board. Raises `EngineUnreachable` where there is no Prometheus."""
    start = now - 60 * minutes
    with httpx2.Client(base_url=url, timeout=LIMIT_S, trust_env=False) as http:
        groups = tuple(_groups(http, url, start, now))
    return Live(source=url, start=start, end=now, groups=groups)


def variables(minutes: float, service: str = "") -> dict[str, str]:
    """What stands for Grafana's variables over so many minutes."""
    window = max(60, round(60 * minutes / POINTS * 4))
    return {"service": service, "__rate_interval": f"{window}s", "__range": f"{max(60, round(60 * minutes))}s"}


def _groups(http: httpx2.Client, url: str, start: float, end: float) -> Iterator[Group]:
    for board in BOARDS:
        for service in SERVICES if board.per_service else ("",):
            values = variables((end - start) / 60, service)
            panels = tuple(_shown(http, url, panel, values, start, end) for panel in board.panels)
            yield Group(board=board, service=service, panels=panels)


def _shown(http: httpx2.Client, url: str, panel: Panel, values: Mapping[str, str], start: float, end: float) -> Shown:
    found = [series for query in panel.queries for series in _asked(http, url, query, values, start, end)]
    if panel.kind is Kind.TABLE:  # what belongs to one name stands together, whatever query gave it
        found.sort(key=lambda series: series.name)
    most = len(found) if panel.kind in (Kind.HEAT, Kind.TABLE) else SHOWN
    return Shown(panel=panel, series=tuple(found[:most]), more=max(0, len(found) - most))


def _asked(
    http: httpx2.Client, url: str, query: Query, values: Mapping[str, str], start: float, end: float
) -> Iterator[Series]:
    asked: dict[str, str | float] = {
        "query": plain(query.expr, values),
        "start": start,
        "end": end,
        "step": max(1.0, (end - start) / POINTS),
    }
    try:
        answer = http.get("/api/v1/query_range", params=asked)
        document: dict[str, Any] = answer.json()
        rows = document["data"]["result"]
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, TypeError) as exc:
        raise EngineUnreachable(
            f"no Prometheus answers at {url} ({exc!r}); give its address with --prometheus, and see docs/MONITORING.md"
        ) from exc
    for row in rows:
        points = tuple((float(t), float(v)) for t, v in row["values"] if math.isfinite(float(v)))
        if points:
            yield Series(_legend(query, row["metric"]), points)


def _legend(query: Query, labels: Mapping[str, str]) -> str:
    name = query.legend
    for label, value in labels.items():
        name = name.replace("{{" + label + "}}", value)
    return name or "value"
