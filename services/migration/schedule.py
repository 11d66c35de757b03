"""Draws the rounds of a run from its seed: which side first, which items. Pure."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Sequence

from services.migration.records import Round, Side


def draw(*, seed: int, rounds: int, items: Sequence[str], block: int, aa_every: int) -> tuple[Round, ...]:
    """The whole schedule. Every item comes up equally often; `aa_every` 0 means never to ask Ollama twice."""
    generator = random.Random(seed)
    deck: list[str] = []
    drawn = []
    for number in range(rounds):
        while len(deck) < block:
            fresh = list(items)
            generator.shuffle(fresh)
            deck += fresh
        chosen, deck = tuple(deck[:block]), deck[block:]
        twice = aa_every > 0 and number % aa_every == 0
        drawn.append(Round(number=number, order=_order(generator, twice), items=chosen))
    return tuple(drawn)


def arrivals(seed: int, number: int, *, rate: float, count: int) -> list[float]:
    """When the requests of a round arrive, in seconds from its begin: a Poisson process of `rate` a second.

    Drawn from the plan's seed and the round, so that both engines get the same arrivals.
    """
    generator = random.Random(f"{seed}/{number}")
    return list(itertools.accumulate(generator.expovariate(rate) for _ in range(count)))


def _order(generator: random.Random, twice: bool) -> tuple[Side, ...]:
    """The sides in random order; Ollama's second block always lies next to its first."""
    baseline = [Side.BASELINE, Side.AGAIN] if twice else [Side.BASELINE]
    generator.shuffle(baseline)
    blocks = [baseline, [Side.CANDIDATE]]
    generator.shuffle(blocks)
    return tuple(side for part in blocks for side in part)


def nonce(run: str, number: int, take: int, side: Side, position: int) -> str:
    """A short text before a prompt that makes it new to every prefix cache.

    Ollama and vLLM get the same one, so that both read the same bytes; Ollama's second block gets another.
    """
    again = side is Side.AGAIN
    return f"[{hashlib.sha256(f'{run}/{number}/{take}/{again}/{position}'.encode()).hexdigest()[:4]}] "
