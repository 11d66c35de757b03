"""What the clients say about one engine, their differences, and how much of each the definitions explain. Pure.

A difference is the median over rounds of (median of a client's block - median of the asyncio client's block). The
floor is the largest such difference of the asyncio client from itself: below it nobody can tell two clients apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from services.agreement.marks import DEFINITIONS, OURS, THEIRS, Client, Marks, Measure, as_reported

Blocks = Mapping[Client, Sequence[Sequence[Marks]]]
"""For each client its blocks, one a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A metric as a client reports it: median over all its requests, and the spread of its rounds' medians; in s."""

    client: str
    metric: str
    median_s: float
    least_s: float
    most_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A client beside the asyncio one, in s: as both report, and with the asyncio one by the other's definition."""

    client: str
    metric: str
    reported_s: float
    same_definition_s: float
    floor_s: float
    reasons: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether what remains by one definition is within what the machine does by itself."""
        return abs(self.same_definition_s) <= self.floor_s


def medians(blocks: Sequence[Sequence[Marks]], measure: Measure) -> list[float]:
    """One number a round. Rounds without a value are left out."""
    found = [[v for m in block if (v := measure(m)) is not None] for block in blocks]
    return [median(values) for values in found if values]


def difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Typical difference of two clients' rounds, paired by round."""
    return median(a - b for a, b in zip(one, other, strict=True))


def floor(blocks: Blocks, measure: Measure) -> float:
    """The largest difference of a client from itself in any round."""
    pairs = zip(medians(blocks[Client.ASYNCIO], measure), medians(blocks[Client.AGAIN], measure), strict=True)
    return max(abs(a - b) for a, b in pairs)


def readings(blocks: Blocks) -> list[Reading]:
    """Every metric of every client, by its own definition."""
    made = []
    for metric in OURS:
        for client, found in blocks.items():
            measure = as_reported(client, metric)
            rounds = medians(found, measure)
            if rounds:
                values = [v for block in found for m in block if (v := measure(m)) is not None]
                made.append(Reading(client=client, metric=metric, median_s=median(values), least_s=min(rounds),
                                    most_s=max(rounds)))  # fmt: skip
    return made


def differences(blocks: Blocks) -> list[Difference]:
    """Locust and vLLM's client beside the asyncio one, each metric of which there is something to compare."""
    return [
        _difference(blocks, client, metric)
        for metric in OURS
        for client in (Client.LOCUST, Client.VLLM)
        if medians(blocks[client], as_reported(client, metric)) and medians(blocks[Client.ASYNCIO], OURS[metric])
    ]


def _difference(blocks: Blocks, client: Client, metric: str) -> Difference:
    theirs = medians(blocks[client], as_reported(client, metric))
    ours = medians(blocks[Client.ASYNCIO], OURS[metric])
    same = medians(blocks[Client.ASYNCIO], as_reported(client, metric))
    floor_s = floor(blocks, as_reported(client, metric))
    reported, remains = difference(theirs, ours), difference(theirs, same)
    return Difference(
        client=client, metric=metric, reported_s=reported, same_definition_s=remains, floor_s=floor_s,
        reasons=tuple(_reasons(blocks, client, metric, remains, floor_s)),
    )  # fmt: skip


def _reasons(blocks: Blocks, client: Client, metric: str, remains: float, floor_s: float) -> list[str]:
    told = []
    if client is Client.VLLM:
        gap = difference(medians(blocks[Client.ASYNCIO], THEIRS[metric]), medians(blocks[Client.ASYNCIO], OURS[metric]))
        ours, theirs = DEFINITIONS[metric]
        told.append(f"by definition {_ms(gap)}: it times {theirs}, we {ours}; seen in the asyncio client's own marks")
        told.append("its clock starts after its semaphore, ours when a place is free: the same moment in a closed loop")
    if abs(remains) <= floor_s:
        told.append(f"{_ms(remains)} remain, within the {floor_s * 1000:.1f} ms that one client differs by from itself")
    else:
        told.append(f"{_ms(remains)} remain beyond the floor of {floor_s * 1000:.1f} ms: {COSTS[client]}")
    return told


COSTS = {
    Client.LOCUST: "a new process and its first connections, and gevent's own way to read a socket",
    Client.VLLM: "aiohttp and its parser against httpx2's on the same machine",
}
"""What can still differ when the definition is the same. Not measured apart."""


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:+.1f} ms"


def document(blocks: Blocks) -> dict[str, object]:
    """What `--json` prints of the numbers."""
    return {
        "readings": [asdict(r) for r in readings(blocks)],
        "differences": [asdict(d) | {"agrees": d.agrees} for d in differences(blocks)],
        "definitions": {name: {"ours": ours, "vllm": theirs} for name, (ours, theirs) in DEFINITIONS.items()},
        "rounds": len(blocks[Client.ASYNCIO]),
        "requests": {str(client): sum(map(len, found)) for client, found in blocks.items()},
    }
