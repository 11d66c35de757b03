"""The vLLM project's router before two replicas, as compose/replicas.yml starts it; one is killed under load.

The router is the real one, in an environment of its own. The replicas are processes of the fake engine, so that they
can be killed half-way through answers; the last test puts the real vLLM behind the router.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import httpx2
import pytest

from services import settings as settings_room
from services.llm.build import assemble
from services.llm.client import LLMClient
from services.llm.errors import LLMError
from services.llm.providers.ollama import Ollama
from services.llm.providers.openai_compat import OpenAICompat
from services.llm.registry import models
from services.llm.types import Answer, ChatRequest, End, Message, Outcome, Rescue, Role, Sampling
from services.settings import Settings
from services.stack import venvs
from services.stack.job import REQUIREMENTS
from tests.conftest import REPO, free_ports
from tests.fakes.engine import FakeEngine, serving

pytestmark = pytest.mark.engines

LIMIT_S, WORKERS, ENOUGH = 300.0, 4, 12
OURS = ("--host", "--port", "--prometheus-host", "--prometheus-port", "--worker-startup-check-interval")
QUESTION = ChatRequest(
    service="notes",
    alias="smollm2-135m",
    messages=(Message(role=Role.USER, content="Hi"),),
    sampling=Sampling(max_tokens=16),
    deadline_s=30.0,
)


@pytest.fixture(scope="session")
def router_python(child_env: dict[str, str]) -> Path:
    """An environment with nothing but the router, as it is locked."""
    plan = venvs.Plan(
        target=settings_room.load(child_env).engines_dir / "router",
        requirements=(REQUIREMENTS / "router.txt",),
        python_version="{}.{}".format(*sys.version_info),
    )
    venvs.ensure(plan, python=sys.executable, env=child_env)
    return plan.python


def flags() -> list[str]:
    """How compose/replicas.yml starts the router, less where it listens and how fast it looks at the start."""
    found = re.findall(r"^ +- (--[\w-]+=\S+)$", (REPO / "compose/replicas.yml").read_text(), re.MULTILINE)
    return [flag for flag in found if flag.partition("=")[0] not in OURS]


@dataclass
class Site:
    """What a test has started, by name. Nothing outlives it."""

    log: IO[bytes]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, argv: Sequence[str]) -> None:
        self.running[name] = subprocess.Popen(argv, cwd=REPO, stdout=self.log, stderr=self.log)

    def replica(self, name: str, port: int) -> str:
        self.start(name, [sys.executable, "-m", "tests.engines.replica", name, str(port)])
        return f"http://127.0.0.1:{port}"

    def router(self, python: Path, workers: Sequence[str]) -> str:
        port, metrics = free_ports(2)
        here = [
            "--host=127.0.0.1",
            f"--port={port}",
            f"--prometheus-port={metrics}",
            "--worker-startup-check-interval=1",
        ]
        argv = [str(python), "-P", "-m", "vllm_router.launch_router", *here, *flags(), "--worker-urls", *workers]
        self.start("router", argv)
        return f"http://127.0.0.1:{port}"

    def kill(self, name: str) -> None:
        """As a crash does: nothing is told, nothing is finished."""
        gone = self.running.pop(name)
        gone.send_signal(signal.SIGKILL)
        gone.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with (tmp_path / "processes.log").open("wb") as log:
        made = Site(log)
        yield made
        for name in list(made.running):
            made.kill(name)


@contextlib.asynccontextmanager
async def client_before(router: str) -> AsyncIterator[LLMClient]:
    """Our client: the router as vLLM, a fake Ollama behind it."""
    async with contextlib.AsyncExitStack() as stack:
        ollama = await stack.enter_async_context(serving(FakeEngine(words=("ollama",)).app()))
        known = models()
        providers = (
            OpenAICompat(name="vllm", url=router, models=known, connect_s=2.0),
            Ollama(name="ollama", url=ollama, models=known, connect_s=2.0),
        )
        yield await stack.enter_async_context(assemble(providers, service="notes", alias=QUESTION.alias, pin="vllm"))


@dataclass
class Load:
    """Workers that ask without pause, whole answers and streams in turn."""

    client: LLMClient
    answered: list[Answer] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def by(self, name: str) -> int:
        """How many answers came from a replica, or from `ollama`."""
        return sum(answer.text.startswith(name) for answer in self.answered)

    async def work(self, number: int) -> None:
        turn = number
        while True:
            turn += 1
            try:
                self.answered.append(await (self._stream() if turn % 2 else self.client.chat(QUESTION)))
            except (LLMError, AssertionError) as exc:
                self.failed.append(repr(exc))

    async def _stream(self) -> Answer:
        last = None
        async with contextlib.aclosing(self.client.stream(replace(QUESTION, rescue=Rescue.RESTART))) as events:
            async for event in events:
                last = event
        assert isinstance(last, End), last
        assert last.outcome in (Outcome.COMPLETE, Outcome.RESCUED), last
        return last.answer


@contextlib.asynccontextmanager
async def under_load(client: LLMClient) -> AsyncIterator[Load]:
    load = Load(client)
    tasks = [asyncio.create_task(load.work(number)) for number in range(WORKERS)]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(seen: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(LIMIT_S):
            while not seen():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {LIMIT_S:.0f} s: {what}")


async def listens(url: str) -> None:
    """The router has heard from all of its replicas."""
    async with httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if (await http.get(f"{url}/readiness")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def test_a_replica_that_dies_under_load_costs_no_request_and_takes_part_again(
    router_python: Path, site: Site
) -> None:
    """The other one answers meanwhile; no request needs Ollama for longer than its own attempt."""
    ports = dict(zip(("one", "two"), free_ports(2), strict=True))
    router = site.router(router_python, [site.replica(name, port) for name, port in ports.items()])
    await listens(router)
    async with client_before(router) as client, under_load(client) as load:
        await until(lambda: min(load.by("one"), load.by("two")) >= ENOUGH, "both replicas answer")
        site.kill("two")
        mark = load.by("one") + ENOUGH
        await until(lambda: load.by("one") >= mark, "the other one answers")
        mark = load.by("two") + ENOUGH
        site.replica("two", ports["two"])
        await until(lambda: load.by("two") >= mark, "it takes part again")

    assert load.failed == []
    assert load.by("ollama") <= WORKERS, "more fell back than were under way"


async def test_with_every_replica_dead_ollama_answers_until_one_is_back(router_python: Path, site: Site) -> None:
    """The router itself stays up and says 503, which is a reason to fall back."""
    ports = dict(zip(("one", "two"), free_ports(2), strict=True))
    router = site.router(router_python, [site.replica(name, port) for name, port in ports.items()])
    await listens(router)
    async with client_before(router) as client, under_load(client) as load:
        await until(lambda: len(load.answered) >= ENOUGH, "the replicas answer")
        site.kill("one")
        site.kill("two")
        await until(lambda: load.by("ollama") >= ENOUGH, "Ollama answers")
        mark = load.by("one")
        site.replica("one", ports["one"])
        await until(lambda: load.by("one") > mark, "the replica answers again")

    assert load.failed == []


async def test_the_real_vllm_answers_through_the_router(router_python: Path, site: Site, engines: Settings) -> None:
    """Whole, streamed and counted; a fake replica beside it dies, and the rest is the real one's."""
    [port] = free_ports(1)
    router = site.router(router_python, [engines.vllm_url, site.replica("fake", port)])
    await listens(router)
    site.kill("fake")
    async with client_before(router) as client:
        answers = [await client.chat(QUESTION) for _ in range(3)]
        streamed = [event async for event in client.stream(QUESTION)]

    assert {answer.provenance.provider for answer in answers} == {"vllm"}
    assert not [answer.text for answer in answers if answer.text.startswith(("fake", "ollama"))]
    assert isinstance(streamed[-1], End)
    assert (streamed[-1].outcome, streamed[-1].answer.provenance.provider) == (Outcome.COMPLETE, "vllm")
