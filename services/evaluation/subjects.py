"""What a measurement of the search asks for: a chunk, a way to search, what a search took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Chunk = tuple[str, list[float]]
"""A text and its vector, of length 1."""

Asked = Sequence[tuple[str, tuple[float, ...]]]
"""Questions with their vectors: what the embedder takes is not search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """One search in milliseconds. `cpu_ms` is of all threads of the process; None where a server did the work."""

    wall_ms: float
    cpu_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Milliseconds of every search of one subject."""

    ms: tuple[float, ...]
    cpu_ms: tuple[float, ...] = ()

    def quantile(self, share: float) -> float:
        """By numpy's linear interpolation."""
        import numpy as np

        return float(np.quantile(self.ms, share))

    @property
    def cpu_mean_ms(self) -> float | None:
        """Processor time of a search; None where it was not seen of every one."""
        return sum(self.cpu_ms) / len(self.ms) if self.ms and len(self.cpu_ms) == len(self.ms) else None


class Subject(Protocol):
    """A way to search chunks, which are known by their numbers in the order in which they came."""

    async def search(self, question: str, vector: Sequence[float], k: int) -> Took:
        """By words and meaning at once, the passages read."""

    async def nearest(self, vector: Sequence[float], k: int) -> Sequence[int]:
        """The `k` chunks that the half of `search` that is meaning finds first."""
