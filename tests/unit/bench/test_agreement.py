"""Locust and the gate's asyncio client time the same service alike: their blocks in turn, in one run, beside an A/A."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import pytest

from services.migration import workload
from services.migration.asking import Asker
from services.migration.records import Side
from services.settings import load
from tests.unit.bench.conftest import ROOT, TOKEN, FakeService, Locust

ROUNDS, SIZE, USERS = 6, 12, 3
PLAYS = 3
"""How often all rounds are played before the clients disagree: a burst of somebody else's work hits one of them."""
RAG = ROOT / "bench" / "workloads" / "rag.toml"
Times = list[dict[str, float]]
"""One block: milliseconds of each request by the name of what they time."""


async def asked(url: str, items: Sequence[str], number: int) -> Times:
    """A block by the gate's asyncio client: the same items, as many in flight."""
    found: Times = []
    waiting = iter(items)
    async with httpx2.AsyncClient(trust_env=False) as http:
        recipe = workload.load(RAG, service="rag")
        asker = Asker(client=http, url=url, workload=recipe, keys=load({}).api_keys, token=TOKEN, limit_s=30,
                      clock=time.perf_counter)  # fmt: skip

        async def user() -> None:
            for item in waiting:
                reply = await asker.ask(item, Side.BASELINE, f"[{number:04x}] ")
                assert not reply.error
                assert reply.first_token_s
                found.append({"ttft": (reply.first_token_s - reply.sent_s) * 1000,
                              "e2e": (reply.end_s - reply.sent_s) * 1000})  # fmt: skip

        await asyncio.gather(*(user() for _ in range(USERS)))
    return found


def medians(blocks: Sequence[Times], metric: str) -> list[float]:
    return [median(request[metric] for request in block) for block in blocks]


def differ(one: Sequence[float], other: Sequence[float]) -> float:
    return median(a - b for a, b in zip(one, other, strict=True))


Play = Callable[[int], Mapping[str, list[Times]]]


@pytest.fixture
def play(locust: Locust, service: FakeService, bench: Any, tmp_path: Path) -> Play:
    """Plays rounds of three blocks, in an order drawn anew each time: the asyncio client twice, Locust once."""
    delays, order = random.Random(7), random.Random(8)
    service.first_token_s = lambda: delays.uniform(0.30, 0.36)  # far outside the floor of a machine at work
    ids = [item.id for item in workload.load(RAG, service="rag").items]

    def by_locust(number: int) -> Times:
        raw = tmp_path / f"{number}.jsonl"
        run = locust(
            *("-f", "bench/rag.py", "-u", str(USERS), "-r", str(USERS), "--arm", "ollama", "--raw", str(raw)),
            *("--rounds", "1", "--round-requests", str(SIZE), "--seed", str(number)),
            env={"ADMIN_TOKEN": TOKEN},
            enough=lambda _: False,
        )
        assert run.code == 0, run.shown
        rows = [r for r in records_of(raw) if r["round"] == 0]
        assert len(rows) == SIZE
        return [{"ttft": r["ttft_ms"], "e2e": r["duration_ms"], "headers": r["headers_ms"]} for r in rows]

    def played(turn: int) -> Mapping[str, list[Times]]:
        made: dict[str, list[Times]] = {"asyncio": [], "again": [], "locust": []}
        for number in range(turn * ROUNDS, (turn + 1) * ROUNDS):
            for name in order.sample(sorted(made), len(made)):
                drawn = {"seed": number, "size": SIZE, "round": 0}
                items = [bench("_turns").item_at(ids, **drawn, position=p) for p in range(SIZE)]
                block = by_locust(number) if name == "locust" else asyncio.run(asked(service.url, items, number))
                made[name].append(block)
        return made

    return played


def records_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def disagreements(blocks: Mapping[str, list[Times]]) -> list[str]:
    """What Locust and the asyncio client tell differently in these rounds, beyond the noise floor of the second."""
    found = []
    for metric in ("ttft", "e2e"):
        here, again = medians(blocks["asyncio"], metric), medians(blocks["again"], metric)
        floor = max(abs(a - b) for a, b in zip(here, again, strict=True))
        if not (apart := abs(differ(medians(blocks["locust"], metric), here))) < floor:
            found.append(f"{metric}: {apart:.1f} ms apart, the floor is {floor:.1f} ms")
        if not abs(differ(medians(blocks["locust"], "headers"), here)) > floor:
            found.append(f"{metric}: the comparison could not fail, the floor is {floor:.1f} ms")
    return found


def test_both_clients_agree_within_the_noise_floor(play: Play) -> None:
    """The floor is how far the asyncio client is from itself; timed at the headers, Locust is far outside of it.

    In most of the plays: a floor is the largest of six differences, and a burst of somebody else's work moves it.
    """
    found: list[list[str]] = []
    while len(found) < PLAYS:
        found.append(disagreements(play(len(found))))
        agreed = sum(not told for told in found)
        if agreed > PLAYS // 2:
            return
    pytest.fail(f"in {PLAYS} plays: {found}")
