"""One reading of memory: of which engine, what, how many bytes, when, from where. Values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Quantity(enum.StrEnum):
    """What was read. `PSS` counts shared pages once, `RSS` in each process; `CONTAINER` is as `docker stats` shows."""

    RSS = "rss"
    PSS = "pss"
    HIGH_WATER = "high_water"
    GPU = "gpu"
    GPU_DEVICE = "gpu_device"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`bytes` is None where it cannot be known, and `unknown` says why. `at_s` in seconds since 1970."""

    engine: str
    quantity: str
    at_s: float
    source: str
    bytes: int | None = None
    unknown: str = ""
