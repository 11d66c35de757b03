"""The exporter: one page for Prometheus of what no service can say, looked up anew at each scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from services.migration import gates
from services.monitor import engines, state
from services.monitor.engines import Seen
from services.monitor.measures import families
from services.settings import Settings

VERSION = "0.1.0"


class Exporter:
    """A collector: reads the state folder and asks the engines whenever the registry is looked at."""

    def __init__(self, settings: Settings, *, look: Callable[[], Mapping[str, Seen]] | None = None) -> None:
        self._settings = settings
        self._look = look or (lambda: asyncio.run(engines.look(settings)))
        self._policy = gates.load().policy

    def describe(self) -> Iterable[Metric]:
        """The names, without asking anybody."""
        return families(())

    def collect(self) -> Iterable[Metric]:
        shown = state.samples(self._settings.state_dir, self._policy)
        return families([*shown, *engines.samples(self._look(), version=VERSION)])


def registry(settings: Settings) -> CollectorRegistry:
    """A registry that holds nothing but the exporter."""
    made = CollectorRegistry()
    made.register(Exporter(settings))
    return made
