"""What a board is made of: panels and their queries. Grafana's boards and `cutover report --live` share these."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """How a panel is drawn."""

    LINES = "lines"
    NUMBERS = "numbers"
    STATES = "states"
    TABLE = "table"
    HEAT = "heat"


class Need(enum.StrEnum):
    """What a panel has no data without, beyond services, engines and requests."""

    NOTHING = ""
    GPU = "a GPU and dcgm-exporter"
    PAID = "a paid provider"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `legend` in Grafana's form, with `{{label}}`."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture. `says` tells a reader what it shows and what to make of it; `unit` is Grafana's word."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = Kind.LINES
    width: int = 12
    need: Need = Need.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard. With `per_service` all its panels are there once for each service that is chosen."""

    uid: str
    title: str
    says: str
    panels: tuple[Panel, ...]
    per_service: bool = False


WINDOW, RANGE = "$__rate_interval", "$__range"


class Quantiles(tuple[Query, ...]):
    """p50 and p95 of a histogram by a label."""

    def __new__(cls, histogram: str, by: str, where: str = "") -> Quantiles:
        rate = f"sum by ({by}, le) (rate({histogram}_bucket{{{where}}}[{WINDOW}]))"
        named = "{{" + by + "}}"
        both = [Query(f"histogram_quantile({q}, {rate})", f"{named} p{round(q * 100)}") for q in (0.5, 0.95)]
        return super().__new__(cls, both)


class Rate(str):
    """A counter's pace, by labels."""

    __slots__ = ()

    def __new__(cls, name: str, by: str) -> Rate:
        return super().__new__(cls, f"sum by ({by}) (rate({name}[{WINDOW}]))")


class Share(str):
    """A ratio that has no value without a whole, instead of one that is not a number."""

    __slots__ = ()

    def __new__(cls, part: str, whole: str) -> Share:
        return super().__new__(cls, f"{part} / ({whole} > 0)")


def plain(expr: str, values: Mapping[str, str]) -> str:
    """The expression with Grafana's variables replaced, for whoever asks Prometheus itself.

    Raises `KeyError` for a variable that has no value here.
    """
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)
