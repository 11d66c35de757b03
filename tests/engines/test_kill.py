"""vLLM dies by `kill -9` under load: no request fails, Ollama answers, and traffic returns without anybody asking."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from services.llm.rollout import FILE_NAME, Rollout, Stage, Standing, dump
from services.settings import Settings
from services.stack import local
from tests.conftest import REPO

pytestmark = pytest.mark.engines

WORKERS = 3
STEP_LIMIT_S = 600
NOTE = "Backups of the mail server run at 02:10 to the tape library in Bergen. Ingrid checks them on Mondays."


@dataclass
class Load:
    """Workers that ask Notes (whole answers) and RAG (streams) without pause; every answer is kept."""

    settings: Settings
    answered: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def providers(self) -> list[str]:
        return [provider for _, provider in self.answered]

    def both(self, provider: str, since: int) -> bool:
        """Four answers of each service by it since then: each has a breaker of its own."""
        kinds = [kind for kind, by in self.answered[since:] if by == provider]
        return min(kinds.count("rag"), kinds.count("notes")) >= 4

    async def work(self, http: httpx2.AsyncClient, number: int) -> None:
        turn = number
        while True:
            turn += 1
            kind, ask = ("rag", self._ask_rag) if turn % 2 else ("notes", self._ask_notes)
            try:
                self.answered.append((kind, await ask(http, turn)))
            except (httpx2.HTTPError, AssertionError, ValueError) as exc:
                self.failed.append(f"{kind}: {exc!r}")

    async def _ask_notes(self, http: httpx2.AsyncClient, turn: int) -> str:
        url = f"{self.settings.service_url('notes')}/v1/summarize"
        answer = await http.post(url, json={"text": f"[{turn}] {NOTE}", "max_tokens": 16})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["llm"]["provider"])

    async def _ask_rag(self, http: httpx2.AsyncClient, turn: int) -> str:
        body = {"question": f"[{turn}] Where does the tape library stand?", "max_tokens": 16, "stream": True}
        terminal: list[tuple[str, dict[str, Any]]] = []
        async with http.stream("POST", f"{self.settings.service_url('rag')}/v1/ask", json=body) as answer:
            assert answer.status_code == 200, answer.status_code
            async for name, data in _events(answer):
                if name in ("done", "error"):
                    terminal.append((name, data))
        assert [name for name, _ in terminal] == ["done"], terminal
        assert terminal[0][1]["outcome"] in ("complete", "rescued"), terminal
        return str(terminal[0][1]["llm"]["provider"])


async def _events(answer: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in answer.aiter_lines():
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))


@contextlib.asynccontextmanager
async def under_load(settings: Settings) -> AsyncIterator[Load]:
    load = Load(settings)
    limits = httpx2.Timeout(150, connect=30)
    async with httpx2.AsyncClient(timeout=limits, trust_env=False) as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.work(http, n)) for n in range(WORKERS)]
        try:
            yield load
        finally:
            for task in tasks:
                task.cancel()


async def until(holds: Callable[[], bool], what: str, load: Load) -> None:
    try:
        async with asyncio.timeout(STEP_LIMIT_S):
            while not holds():
                assert not load.failed, load.failed
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"waited {STEP_LIMIT_S} s for: {what}; last answers by {load.providers[-10:]}")


async def breaker(settings: Settings, service: str) -> str:
    token = local.admin_token(settings)
    assert token is not None
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
        url = f"{settings.service_url(service)}/api/admin/status"
        answer = await http.get(url, headers={"Authorization": f"Bearer {token.value}"})
    return str(answer.json()["providers"]["vllm"]["breaker"])


@contextlib.contextmanager
def in_full(settings: Settings, *services: str) -> Iterator[None]:
    """Stand in full for a while, by the rollout file alone; other tests find nothing of it."""
    rollout = settings.state_dir / FILE_NAME
    rollout.parent.mkdir(parents=True, exist_ok=True)
    rollout.write_text(dump(Rollout(services=dict.fromkeys(services, Standing(stage=Stage.FULL, share=1.0)))))
    try:
        yield
    finally:
        rollout.unlink()


async def test_kill_9_under_load_loses_no_request(
    stack: Settings, child_env: dict[str, str], progress: local.Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole engine is killed mid-flight, with answers and streams under way, then started again."""
    settings = stack
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
        document = {"title": "Backups", "text": NOTE}
        stored = await http.post(f"{settings.service_url('rag')}/v1/documents", json=document)
        assert stored.status_code in (200, 201), stored.text

    with in_full(settings, "notes", "rag"):
        load = await _killed_and_started_again(settings, child_env, progress)

    assert load.failed == []
    assert {kind for kind, _ in load.answered} == {"rag", "notes"}
    counts = {name: load.providers.count(name) for name in ("vllm", "ollama")}
    with capsys.disabled():  # the figure that a person wants to see
        sys.stderr.write(f"\nkill -9: {len(load.answered)} answered {counts}, {len(load.failed)} failed\n")


async def _killed_and_started_again(settings: Settings, env: dict[str, str], progress: local.Progress) -> Load:
    async with under_load(settings) as load:
        await until(lambda: load.providers.count("vllm") >= 8, "vLLM answers", load)
        os.killpg(local.snapshot(settings)["vllm"].pid, signal.SIGKILL)
        killed_at = len(load.answered)
        await until(lambda: load.both("ollama", killed_at), "Ollama answers", load)
        assert await breaker(settings, "notes") == "open"
        await asyncio.to_thread(local.start_engine, settings, "vllm", progress, env=env)
        started_at = len(load.answered)
        await until(lambda: load.both("vllm", started_at), "vLLM answers again", load)
        assert await breaker(settings, "notes") == "closed"
    return load


def test_the_drill_loses_no_request(engines: Settings, child_env: dict[str, str]) -> None:
    """`cutover faults --engines` once: the client alone, streams and whole answers; what was up before stays up."""
    argv = [sys.executable, "-m", "services.cli", "faults", "--engines", "--kills", "1", "--json"]
    done = subprocess.run(argv, env=child_env, cwd=REPO, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)

    assert (document["kills"], document["failed"], document["errors"]) == (1, 0, [])
    assert set(document["by_provider"]) == {"vllm", "ollama"}
    assert all(local.snapshot(engines)[name].alive for name in ("vllm", "ollama"))
