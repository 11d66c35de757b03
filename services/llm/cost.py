"""What answers cost, as metrics: a hook over request events and the price table. docs/COST.md: what it assumes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.llm.hooks import RequestEvent
from services.llm.measures import Definition, made
from services.llm.prices import HOUR_S, Busy, Table
from services.llm.types import Attempt

ENGINE_TIME, TOKENS = "engine_time", "tokens"
KINDS = (ENGINE_TIME, TOKENS)
PER = ("hour", "million_input_tokens", "million_output_tokens")

COST = (
    Definition(
        name="llm_cost_usd_total",
        kind="counter",
        labels=("service", "provider", "kind"),
        help="US dollars by the price table: busy machine time of engines, tokens of paid providers",
    ),
    Definition(
        name="llm_engine_busy_seconds_total",
        kind="counter",
        labels=("service", "provider"),
        help="Seconds in which at least one attempt of the service was under way",
    ),
    Definition(
        name="llm_price_usd",
        kind="gauge",
        labels=("service", "provider", "per"),
        help="US dollars by the price table, by what they are for",
        workers="livemax",
    ),
)


class Costs:
    """Give `observe` to the client as a hook. `models` maps a provider to its own name for the service's model.

    A provider, or a model of it, that the table has no price for has no series in `llm_price_usd`, and costs nothing
    in `llm_cost_usd_total`: a missing price shows as missing, not as cheap.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        service: str,
        models: Mapping[str, str],
        prices: Table,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        cost, seconds, shown = (made(definition, registry) for definition in COST)
        assert isinstance(cost, Counter) and isinstance(seconds, Counter) and isinstance(shown, Gauge)
        self._service, self._prices, self._clock = service, prices, clock
        self._cost, self._seconds, self._shown = cost, seconds, shown
        self._busy = {name: Busy() for name in models}
        for provider, model in models.items():
            self._register(provider, model)

    def observe(self, event: RequestEvent) -> None:
        """Count what the attempts of one ended request have cost."""
        began = self._clock() - event.duration_s
        for attempt in event.attempts:
            self._attempt(attempt, began + attempt.started_s)

    def _attempt(self, attempt: Attempt, start: float) -> None:
        provider = attempt.provider
        price = self._prices.get(provider)
        seconds = self._busy.setdefault(provider, Busy()).add(start, start + attempt.duration_s)
        self._seconds.labels(self._service, provider).inc(seconds)
        if price is None:
            return
        if price.usd_per_hour is not None:
            self._cost.labels(self._service, provider, ENGINE_TIME).inc(seconds / HOUR_S * price.usd_per_hour)
        listed, usage = price.models.get(attempt.model), attempt.usage
        if listed is not None and usage is not None:
            usd = listed.of(prompt=usage.prompt_tokens or 0, output=usage.completion_tokens or 0)
            self._cost.labels(self._service, provider, TOKENS).inc(usd)

    def _register(self, provider: str, model: str) -> None:
        """Zeros from the start, and the prices themselves."""
        self._seconds.labels(self._service, provider)
        for kind in KINDS:
            self._cost.labels(self._service, provider, kind)
        price = self._prices.get(provider)
        listed = price.models.get(model) if price else None
        known = (
            price.usd_per_hour if price else None,
            listed.input if listed else None,
            listed.output if listed else None,
        )
        for per, usd in zip(PER, known, strict=True):
            if usd is not None:
                self._shown.labels(self._service, provider, per).set(usd)
