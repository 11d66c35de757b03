"""What is measured and in which order: cases, subjects and shuffled rounds. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OURS, PEERS = "ours", "peers"
"""The two interpreters: the services' own, and the one of the peers' environment, which has another openai SDK."""

SUBJECTS = {OURS: ("raw", "openai", "ours"), PEERS: ("raw", "openai", "litellm", "litellm-router")}
"""Both ask through raw HTTP and the openai SDK, so that whoever is compared with these ran in the same interpreter."""

GAP_US = 1000
"""Between two frames of the paced streams: longer than any subject needs for one, so that each comes alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to do `calls` times in a row. `gap_us` is the upstream's pause between two frames of a stream."""

    name: str
    stream: bool
    chunks: int
    calls: int
    gap_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """CPU per chunk: what `long` costs more than `short`, by the chunks that it has more."""

    name: str
    short: str
    long: str


SLOPES = (
    Slope(name="chunk", short="stream-20", long="stream-1000"),
    Slope(name="chunk-paced", short="paced-20", long="paced-200"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement of one round."""

    interpreter: str
    subject: str
    case: Case


def cases(calls: int) -> tuple[Case, ...]:
    """Every case, `calls` plain calls a round and fewer of what takes longer."""
    return (
        Case(name="call", stream=False, chunks=20, calls=calls),
        Case(name="stream-20", stream=True, chunks=20, calls=max(1, calls // 2)),
        Case(name="stream-200", stream=True, chunks=200, calls=max(1, calls // 10)),
        Case(name="stream-1000", stream=True, chunks=1000, calls=max(1, calls // 20)),
        Case(name="paced-20", stream=True, chunks=20, calls=max(1, calls // 5), gap_us=GAP_US),
        Case(name="paced-200", stream=True, chunks=200, calls=max(1, calls // 10), gap_us=GAP_US),
    )


def rounds(count: int, calls: int, *, interpreters: Sequence[str], seed: int) -> Iterator[list[Cell]]:
    """`count` rounds, each with every cell once. Cases in random order, subjects in random order within a case:
    what is compared runs within a second or two of each other and nobody is always first."""
    rng = random.Random(seed)
    subjects = [(interpreter, subject) for interpreter in interpreters for subject in SUBJECTS[interpreter]]
    for _ in range(count):
        order: list[Cell] = []
        for case in rng.sample(cases(calls), len(cases(calls))):
            order += [Cell(interpreter, subject, case) for interpreter, subject in rng.sample(subjects, len(subjects))]
        yield order
