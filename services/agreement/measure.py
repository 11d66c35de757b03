"""Runs the rounds: every client asks the same prompts of the same engine, in an order drawn anew each round."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from services.agreement import direct, others
from services.agreement.direct import Target
from services.agreement.marks import Client, Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All marks, and on what they were made. `load` is the machine's 1-minute average before and after."""

    blocks: Mapping[Client, list[list[Marks]]]
    versions: Mapping[str, str]
    load: tuple[float, float]


def measure(
    target: Target, *, rounds: int, seed: int, vllm_python: Path, env: Mapping[str, str],
    on_round: Callable[[int, int], None],
) -> Measured:  # fmt: skip
    """Every prompt is asked once by each client before it counts, so that all find the same prefix cache.

    Raises `AgreementError`.
    """
    before, generator = os.getloadavg()[0], random.Random(seed)
    blocks: dict[Client, list[list[Marks]]] = {client: [] for client in Client}
    with others.vllm_client(vllm_python, env) as theirs:
        ask: Mapping[Client, Callable[[], list[Marks]]] = {
            Client.ASYNCIO: lambda: asyncio.run(direct.measured(target)),
            Client.AGAIN: lambda: asyncio.run(direct.measured(target)),
            Client.LOCUST: lambda: others.locust_block(target, env),
            Client.VLLM: lambda: theirs.block(target),
        }
        for client in (Client.ASYNCIO, Client.VLLM):  # Locust warms up by itself
            ask[client]()
        for number in range(rounds):
            for client in generator.sample(list(Client), len(Client)):
                blocks[client].append(ask[client]())
            on_round(number + 1, rounds)
        versions = {"vllm": theirs.version} | {name: metadata.version(name) for name in ("httpx2", "locust")}
    return Measured(blocks=blocks, versions=versions, load=(before, os.getloadavg()[0]))
