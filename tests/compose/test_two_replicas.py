"""Two real vLLM behind the real router, as compose/replicas.yml puts them on top of the stack; one dies under load."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator

import pytest

from tests.compose import images
from tests.compose.conftest import UP_S
from tests.compose.running import ASKED, Compose
from tests.compose.test_stack import NOTE, by_vllm, until
from tests.engines.test_kill import under_load
from tests.engines.test_kill import until as answered

pytestmark = pytest.mark.compose

OVERLAY = ("-f", "compose/replicas.yml")
REPLICAS = ("vllm", "vllm-2")
ANSWERED = """
import urllib.request
page = urllib.request.urlopen("http://127.0.0.1:8000/metrics", timeout=10).read().decode()
lines = [line for line in page.splitlines() if line.startswith("vllm:request_success_total{")]
print(sum(float(line.rsplit(" ", 1)[1]) for line in lines))
"""


@pytest.fixture
def replicas(stack: Compose) -> Iterator[Compose]:
    """The shared stack with the overlay on top; afterwards it asks its one vLLM again."""
    stack(*OVERLAY, "build", "router")
    try:
        stack(*OVERLAY, "up", "--detach", "--wait", "--wait-timeout", str(UP_S), limit_s=UP_S + 60)
        yield stack
    finally:
        stack("up", "--detach", "--remove-orphans", check=False)


def done(stack: Compose, replica: str) -> float:
    """How many requests a replica says that it has answered."""
    return float(stack(*OVERLAY, "exec", "-T", replica, "python3", "-c", ANSWERED))


def killed(stack: Compose, replica: str) -> None:
    """Dead, also where Docker loses patience: on a busy machine so large a process is a while in dying."""
    stack(*OVERLAY, "kill", replica, check=False)
    until(lambda: not stack.containers()[replica]["State"]["Running"], f"{replica} is dead")


async def test_a_replica_killed_under_load_loses_nothing(replicas: Compose, capfd_disabled: images.Say) -> None:
    """Both have answered, one dies in the middle of the load, and vLLM goes on answering through the other."""
    for name in ASKED:
        await asyncio.to_thread(until, functools.partial(by_vllm, replicas, name), f"vLLM answers for {name}")
    await asyncio.to_thread(replicas.post, "rag", "/v1/documents", {"title": "Backups", "text": NOTE})

    async with under_load(replicas.settings()) as load:
        # the router begins with one replica and lets the other take part some seconds after it is healthy
        await answered(lambda: load.providers.count("vllm") >= 4, "vLLM answers", load)
        await asyncio.to_thread(until, lambda: all(done(replicas, name) for name in REPLICAS), "both replicas answer")
        before = await asyncio.to_thread(done, replicas, "vllm")
        await asyncio.to_thread(killed, replicas, "vllm-2")
        killed_at = len(load.answered)
        await answered(lambda: load.providers[killed_at:].count("vllm") >= 8, "the other replica answers", load)

    assert load.failed == []
    assert await asyncio.to_thread(done, replicas, "vllm") > before
    counts = {name: load.providers.count(name) for name in ("vllm", "ollama")}
    capfd_disabled(f"a replica killed under load: {len(load.answered)} answered {counts}, 0 failed")
