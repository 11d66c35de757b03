"""The clients of the bench on a real engine: Locust and asyncio through Notes, and both beside vLLM's own client."""

from __future__ import annotations

import asyncio
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import pytest

from services.migration import stats, workload
from services.migration.asking import Asker
from services.migration.records import Side
from services.settings import Settings
from services.stack import local

pytestmark = pytest.mark.engines

REPO = Path(__file__).resolve().parents[2]
NOTES = REPO / "bench" / "workloads" / "notes.toml"
ROUNDS, SIZE, USERS, LEVEL = 5, 4, 2, 0.95


async def by_asyncio(settings: Settings, token: str, items: Sequence[str], word: str) -> list[float]:
    """Seconds of each request of a block, by the gate's own client."""
    waiting, took = iter(items), []
    async with httpx2.AsyncClient(trust_env=False) as http:
        recipe, url = workload.load(NOTES, service="notes"), settings.service_url("notes")
        asker = Asker(client=http, url=url, workload=recipe, keys=settings.api_keys, token=token, limit_s=120,
                      clock=time.perf_counter)  # fmt: skip

        async def user() -> None:
            for item in waiting:
                reply = await asker.ask(item, Side.CANDIDATE, f"[{word}] ")
                assert (reply.error, reply.llm["provider"]) == ("", "vllm")
                took.append(reply.end_s - reply.sent_s)

        await asyncio.gather(*(user() for _ in range(USERS)))
    return took


def by_locust(settings: Settings, env: dict[str, str], number: int, raw: Path) -> list[dict[str, Any]]:
    """The records of a block, after a warm-up that does not count."""
    argv = [sys.executable, "-m", "locust", "-f", "bench/notes.py", "--headless", "-u", str(USERS), "-r", str(USERS)]
    argv += ["--arm", "vllm", "--rounds", "1", "--round-requests", str(SIZE), "--seed", str(number)]
    argv += ["--raw", str(raw), "--notes-url", settings.service_url("notes")]
    done = subprocess.run(argv, cwd=REPO, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in raw.read_text().splitlines()]
    return [r for r in rows if r["round"] == 0]


def test_locust_and_asyncio_agree_within_the_noise_floor(
    stack: Settings, child_env: dict[str, str], tmp_path: Path
) -> None:
    """Paired rounds of the same items: the interval of their ratio holds 1, or is nearer to it than an A/A is."""
    token = local.admin_token(stack)
    assert token
    env, order, ids = child_env | {"ADMIN_TOKEN": token.value}, random.Random(1), range(ROUNDS)
    blocks: dict[str, list[float]] = {"asyncio": [], "again": [], "locust": []}
    for number in ids:
        rows = by_locust(stack, env, number, tmp_path / f"{number}.jsonl")
        blocks["locust"].append(median(r["duration_ms"] / 1000 for r in rows))
        items = [r["item"] for r in sorted(rows, key=lambda r: r["position"])]
        for name in order.sample(["asyncio", "again"], 2):
            word = f"{number}{name[:3]}"
            blocks[name].append(median(asyncio.run(by_asyncio(stack, token.value, items, word))))

    floor = max(abs(math.log(b / a)) for a, b in zip(blocks["asyncio"], blocks["again"], strict=True))
    ratios = [b / a for a, b in zip(blocks["asyncio"], blocks["locust"], strict=True)]
    interval = stats.signed_rank_interval(ratios, level=LEVEL)
    assert interval
    nearest = 0.0 if interval.low <= 1 <= interval.high else abs(math.log(stats.hodges_lehmann(ratios)))
    assert nearest <= floor, f"Locust/asyncio {interval}, A/A {math.exp(floor):.2f}"


def test_vllms_own_client_is_told_apart_on_the_same_engine(stack: Settings, child_env: dict[str, str]) -> None:
    """All three answer for every request; vLLM's first frame comes no later than its first token."""
    argv = [sys.executable, "-m", "services.cli", "bench", "notes", "--agree", "--agree-rounds", "2", "--json"]
    done = subprocess.run(argv, cwd=REPO, env=child_env, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode in (0, 2), done.stderr
    document = json.loads(done.stdout)
    assert set(document["requests"]) == {"asyncio", "asyncio again", "locust", "vllm bench"}
    assert set(document["requests"].values()) == {12}
    told = {(r["client"], r["metric"]) for r in document["readings"]}
    assert {(client, metric) for client in document["requests"] for metric in ("ttft", "tpot", "e2e")} == told
    assert all(d["reasons"] for d in document["differences"])
    assert set(document["versions"]) == {"vllm", "locust", "httpx2"}
