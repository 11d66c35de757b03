"""The signs of many vectors, one bit a component: which vectors they say are near to one, in two steps. Pure.

Counting the signs that differ is cheap and coarse: it leaves some thousands. Of these the signs' own components are
weighed with the vector's, which knows that a large component's sign says more than a small one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ROUGH = 4
"""How many times the candidates are left by counting, to be weighed."""

AT_A_TIME = 1000
"""Signs weighed at a time: numpy spreads a larger product over threads, which wait longer than it takes."""

_WORD_BITS = 64
"""Signs are compared in words of so many bits; the last one is filled up with zeros."""


class Signs:
    """Signs of the rows `keys`. `stored` has each row's as `packed` made them, one after the other."""

    def __init__(self, keys: bytes, stored: bytes) -> None:
        self.keys = np.frombuffer(keys, dtype=np.int64)
        rows = np.frombuffer(stored, dtype=np.uint64).reshape(len(self.keys), -1)
        self._words = np.ascontiguousarray(rows.T)

    def nearest(self, vector: Sequence[float], most: int, among: Sequence[int] | None = None) -> list[int]:
        """At most `most` rows, `among` these where given, in the order of their keys."""
        chosen = np.arange(len(self.keys))
        words = self._words
        if among is not None:
            chosen = np.flatnonzero(np.isin(self.keys, np.asarray(among, dtype=np.int64)))
            words = words[:, chosen]
        if len(chosen) > ROUGH * most:
            kept = np.argpartition(_apart(words, vector), ROUGH * most)[: ROUGH * most]
            chosen, words = chosen[kept], words[:, kept]
        if len(chosen) > most:
            chosen = chosen[np.argpartition(-_weighed(words, vector), most)[:most]]
        return [int(key) for key in np.sort(self.keys[chosen])]


def packed(vector: Sequence[float]) -> bytes:
    """One bit for each component, set where it is positive, in whole words."""
    signs = np.asarray(vector, dtype=np.float32) > 0
    return np.packbits(np.pad(signs, (0, -len(signs) % _WORD_BITS))).tobytes()


def _apart(words: Any, vector: Sequence[float]) -> Any:
    """How many signs of each column differ from the vector's."""
    wanted = np.frombuffer(packed(vector), dtype=np.uint64)
    apart = np.zeros(words.shape[1], dtype=np.uint16)
    for word, column in zip(wanted, words, strict=True):
        apart += np.bitwise_count(column ^ word)
    return apart


def _weighed(words: Any, vector: Sequence[float]) -> Any:
    """The sum of the vector's components where a column's signs are positive: it grows as the cosine is expected to."""
    bits = np.unpackbits(np.ascontiguousarray(words.T).view(np.uint8), axis=1, count=len(vector))
    weights = np.asarray(vector, dtype=np.float32)
    parts = [bits[n : n + AT_A_TIME].astype(np.float32) @ weights for n in range(0, len(bits), AT_A_TIME)]
    return np.concatenate(parts)
