"""Blocks by message: the master draws which arm comes first in each round, users ask, and all wait for the slowest.

A round is one block per arm, of the same requests. The master (or the one process there is) sends each process that
has users its part of a block, `cutover_block`; each answers `cutover_block_done` when its part is asked; only then does
the next block go out. So the two arms never overlap, and share what the machine does in those seconds.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from _arrivals import Source
from gevent.event import Event  # type: ignore[import-untyped]  # has no types
from gevent.queue import Queue  # type: ignore[import-untyped]  # has no types

BLOCK, DONE = "cutover_block", "cutover_block_done"
WARM_UP = -1
"""The round of the first requests to each arm, whose times nobody should use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One arm's turn in one round; `number` counts the blocks of a run."""

    number: int
    round: int
    arm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right to ask one request of a block. `position` tells which of its requests."""

    run: str
    block: Block
    position: int

    @property
    def nonce(self) -> str:
        """Makes a prompt new to every prefix cache; both arms of a round get the same, and so read the same bytes."""
        return hashlib.sha256(f"{self.run}/{self.block.round}/{self.position}".encode()).hexdigest()[:4]


Work = Ticket | Source | None


def blocks(*, seed: int, rounds: int, arms: Sequence[str]) -> Iterator[Block]:
    """A warm-up of each arm, then every round with its arms in an order drawn from the seed."""
    generator = random.Random(seed)
    numbers = itertools.count()
    for number in range(WARM_UP, rounds):
        for arm in generator.sample(list(arms), len(arms)):
            yield Block(number=next(numbers), round=number, arm=arm)


def item_at(items: Sequence[Any], *, seed: int, size: int, round: int, position: int) -> Any:
    """The item of one request: decks of all items, shuffled by the seed, dealt round by round."""
    place = (round - WARM_UP) * size + position
    deck, index = divmod(place, len(items))
    return random.Random(f"{seed}/{deck}").sample(list(items), len(items))[index]


def deal(users: Mapping[str, Mapping[str, int]], size: int) -> dict[str, dict[str, list[int]]]:
    """Positions of a block by process and user class, in turn over the users, as `users` counts them.

    Each class asks `size` requests: with several services, a fast one must not ask in the place of a slow one.
    """
    parts: dict[str, dict[str, list[int]]] = {process: {} for process in users}
    for name in sorted({n for counts in users.values() for n in counts}):
        seats = [process for process, counts in users.items() for _ in range(counts.get(name, 0))]
        for position in range(size if seats else 0):
            parts[seats[position % len(seats)]].setdefault(name, []).append(position)
    return {process: part for process, part in parts.items() if part}


class Desk:
    """Where the users of one process get their work: tickets of a block, or a source of arrivals."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue[Work]] = {}
        self._open = 0
        self.closed = Event()

    def open(self) -> None:
        """Forget an earlier run."""
        self._queues = {}
        self._open = 0
        self.closed.clear()

    def put(self, message: Mapping[str, Any]) -> None:
        """Take a part of a block from its message."""
        block = Block(**message["block"])
        self._open = sum(map(len, message["part"].values()))
        for name, positions in message["part"].items():
            for position in positions:
                self._queue(name).put(Ticket(run=message["run"], block=block, position=position))

    def put_sources(self, message: Mapping[str, Mapping[str, Any]]) -> None:
        """Take this process's share of the arrivals from its message."""
        for name, source in message.items():
            self._queue(name).put(Source(**source))

    def take(self, name: str) -> Work:
        """The next work for a user of this class, waited for; None when the run is over."""
        if self.closed.is_set():
            return None
        work: Work = self._queue(name).get()
        if work is None:
            self._queue(name).put(None)  # the next one that waits is to go as well
        return work

    def hand_back(self) -> bool:
        """One request is over, well or badly. True when it was the last one of this process's part."""
        self._open -= 1
        return self._open == 0

    def close(self) -> None:
        """Let go of all who wait."""
        self.closed.set()
        for queue in self._queues.values():
            queue.put(None)

    def _queue(self, name: str) -> Queue[Work]:
        return self._queues.setdefault(name, Queue())
