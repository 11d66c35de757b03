"""The cards that a plan can be made for: memory, compute capability, and what an hour costs, with its date."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from services.llm.registry import RegistryError

FILE = Path(__file__).with_name("gpus.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """USD for one hour of one card, as listed by `source` on `date` (ISO 8601)."""

    usd_per_hour: float
    source: str
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One card. `memory_bytes` as NVML tells it; without a `price` the card is one's own.

    A card that is in no table is made by hand: `Gpu(name="Tesla T4", memory_bytes=n, compute_capability=(7, 5))`.
    """

    name: str
    memory_bytes: int
    compute_capability: tuple[int, int]
    what: str = ""
    source: str = ""
    price: Price | None = None


@functools.cache
def gpus() -> Mapping[str, Gpu]:
    """Every card of the shipped table, by name. Raises `RegistryError`."""
    try:
        tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
        return {name: _gpu(name, table) for name, table in tables.items()}
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as exc:
        raise RegistryError(f"the table of cards {FILE} is not usable: {exc!r}") from exc


def _gpu(name: str, table: Mapping[str, Any]) -> Gpu:
    major, minor = table["compute_capability"]
    return Gpu(
        name=name,
        memory_bytes=int(table["memory_mib"]) * 1024**2,
        compute_capability=(int(major), int(minor)),
        what=str(table["what"]),
        source=str(table["source"]),
        price=_price(table["price"]) if "price" in table else None,
    )


def _price(table: Mapping[str, Any]) -> Price:
    if not isinstance(table["date"], date):
        raise ValueError("the date of a price is not a date, like 2026-11-21")
    return Price(usd_per_hour=float(table["usd_per_hour"]), source=str(table["source"]), date=table["date"].isoformat())
