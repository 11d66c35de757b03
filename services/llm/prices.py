"""The price table, and what tokens cost by it: machines by the hour, paid providers by their list. No I/O but one read.

A machine's hour is shared by whatever it does at a time, so it is counted by the time that at least one attempt was at
work, not by attempts. Hours in which nobody asked cost as much and are in no figure here; docs/COST.md says how to add
them.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from services.llm.registry import RegistryError

FILE = Path(__file__).with_name("prices.toml")
MILLION = 1_000_000
HOUR_S = 3600.0


class PricesError(RegistryError):
    """The price table cannot be used. Told, like a registry of models that cannot, before anything is served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrice:
    """USD per million tokens."""

    input: float
    output: float

    def of(self, *, prompt: int, output: int) -> float:
        """What these tokens cost, in USD."""
        return (prompt * self.input + output * self.output) / MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one provider costs: `usd_per_hour` of its machine, power included, or `models` by list. `date` ISO 8601."""

    what: str
    source: str
    date: str
    usd_per_hour: float | None = None
    models: Mapping[str, ListPrice] = field(default_factory=dict)


Table = Mapping[str, Price]
"""Provider name -> price."""


@functools.cache
def load(path: Path = FILE) -> Table:
    """Read a price table. Raises `PricesError` for what cannot be read or is incomplete."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise PricesError(f"cannot read the price table {path}: {exc}; see LLM_PRICES in .env.example") from exc
    return {name: _price(path, name, table) for name, table in tables.items()}


def _price(path: Path, name: str, table: Any) -> Price:
    try:
        if not isinstance(table["date"], date):
            raise ValueError("date is not a date, like 2026-11-21")
        models = {m: ListPrice(**{k: _amount(v) for k, v in p.items()}) for m, p in table.get("models", {}).items()}
        return Price(
            what=str(table["what"]),
            source=str(table["source"]),
            date=table["date"].isoformat(),
            usd_per_hour=None if models else _hour(table),
            models=models,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise PricesError(f"{path}: the price [{name}] is not usable: {exc!r}") from exc


def _hour(table: Mapping[str, Any]) -> float:
    power = _amount(table.get("watts", 0)) / 1000 * _amount(table.get("usd_per_kwh", 0))
    return _amount(table["usd_per_hour"]) + power


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"{value!r} is not an amount")
    return float(value)


class Busy:
    """How long at least one of several spans of time was under way, in seconds. They may come in any order.

    Spans that end more than `keep_s` before the newest one cannot be filled up any more and are forgotten.
    """

    def __init__(self, keep_s: float = HOUR_S) -> None:
        self._keep_s = keep_s
        self._spans: list[tuple[float, float]] = []

    def add(self, start: float, end: float) -> float:
        """The seconds of this span that no other one has covered."""
        covered = sum(max(0.0, min(end, b) - max(start, a)) for a, b in self._spans)
        touched = [(a, b) for a, b in self._spans if a <= end and b >= start]
        apart = [s for s in self._spans if s not in touched and s[1] > end - self._keep_s]
        whole = (min([start, *(a for a, _ in touched)]), max([end, *(b for _, b in touched)]))
        self._spans = [*apart, whole]
        return max(0.0, end - start - covered)


def busy_s(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds in which at least one of `spans` was under way."""
    busy = Busy(keep_s=float("inf"))
    return sum(busy.add(start, end) for start, end in spans)


def per_million(usd: float, tokens: int) -> float | None:
    """USD for a million tokens at this rate; None without any."""
    return usd / tokens * MILLION if tokens else None
