"""Real engines under `kill -9`: workers ask through our client without pause while one engine dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.llm.client import LLMClient
from services.llm.errors import LLMError
from services.llm.types import ChatRequest, End, Message, Outcome, Rescue, Role, Sampling

KILLED = "vllm"
WORKERS = 4
MAX_TOKENS = 24
DEADLINE_S = 120.0
ENOUGH = 6
"""Answers that a step of the drill waits for."""

STEP_LIMIT_S = 300.0
LOOK_S = 0.02
QUESTION = "Backups run at 02:10 to the tape library in Bergen. Where does the tape library stand?"


class Engine(Protocol):
    """The engine that is killed. `start` returns once it has generated a token; both may block."""

    def kill(self) -> None: ...
    def start(self) -> None: ...


class DrillError(Exception):
    """A step did not come about in its time. The message says which, and who answered meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill. `fallback_s` from the kill to the fallback's first answer, `back_s` from the engine's first token
    after its restart to its first answer to a worker; seconds. `answered` counts answers between kill and return."""

    fallback_s: float
    back_s: float
    answered: int


@dataclass(slots=True)
class Load:
    """Workers in turns: whole answers, and streams that may be restarted. Every answer is kept with its time."""

    client: LLMClient
    alias: str
    answered: list[tuple[str, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    rescued: int = 0

    def by(self, provider: str, since: float) -> list[float]:
        """When `provider` has answered after `since`, monotonic seconds."""
        return [at for name, at in self.answered if name == provider and at > since]

    async def work(self, number: int) -> None:
        """Ask until cancelled; each request with a key of its own."""
        turn = number
        while True:
            turn += 1
            try:
                provider = await (self._stream() if turn % 2 else self._chat())
            except LLMError as exc:
                self.failed.append(repr(exc))
                await asyncio.sleep(LOOK_S)  # a failing client must not spin
            else:
                self.answered.append((provider, time.monotonic()))

    async def _chat(self) -> str:
        answer = await self.client.chat(_request(self.alias))
        return answer.provenance.provider

    async def _stream(self) -> str:
        async with contextlib.aclosing(self.client.stream(_request(self.alias))) as events:
            async for event in events:
                if not isinstance(event, End):
                    continue
                if event.error is not None:
                    raise event.error
                self.rescued += event.outcome is Outcome.RESCUED
                return event.answer.provenance.provider
        raise LLMError("a stream without an `End`")


def _request(alias: str) -> ChatRequest:
    key = uuid.uuid4().hex
    return ChatRequest(
        service="faults",
        alias=alias,
        messages=(Message(role=Role.USER, content=f"[{key[:8]}] {QUESTION}"),),
        sampling=Sampling(max_tokens=MAX_TOKENS),
        deadline_s=DEADLINE_S,
        key=key,
        rescue=Rescue.RESTART,
    )


async def drill(
    client: LLMClient,
    alias: str,
    engine: Engine,
    *,
    kills: int,
    workers: int = WORKERS,
    step_limit_s: float = STEP_LIMIT_S,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Load, list[Kill]]:
    """Kill and restart `kills` times under load. The last kill is not called off by a failed request: all are told.

    Raises `DrillError`, and whatever `engine` raises.
    """
    load, done = Load(client, alias), []
    async with _working(load, workers):
        for number in range(1, kills + 1):
            say(f"kill {number} of {kills}")
            done.append(await _one(load, engine, step_limit_s, say))
    return load, done


async def _one(load: Load, engine: Engine, limit_s: float, say: Callable[[str], None]) -> Kill:
    began = time.monotonic()
    await _until(load, lambda: len(load.by(KILLED, began)) >= ENOUGH, f"{KILLED} answers", limit_s)
    say("under load, killing")
    killed_at = time.monotonic()
    engine.kill()
    await _until(load, lambda: len(_others(load, killed_at)) >= ENOUGH, "the fallback answers", limit_s)
    say(f"first fallback answer {_others(load, killed_at)[0] - killed_at:.2f} s after the kill, starting it again")
    await asyncio.to_thread(engine.start)
    started_at = time.monotonic()
    await _until(load, lambda: bool(load.by(KILLED, started_at)), f"{KILLED} answers again", limit_s)
    back_s = load.by(KILLED, killed_at)[0] - started_at
    say(f"back {max(back_s, 0.0):.2f} s after it generated")
    return Kill(
        fallback_s=_others(load, killed_at)[0] - killed_at,
        back_s=max(back_s, 0.0),
        answered=sum(at > killed_at for _, at in load.answered),
    )


def _others(load: Load, since: float) -> list[float]:
    return [at for name, at in load.answered if name != KILLED and at > since]


@contextlib.asynccontextmanager
async def _working(load: Load, workers: int) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(load.work(number)) for number in range(workers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(load: Load, holds: Callable[[], bool], what: str, limit_s: float) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not holds():  # noqa: ASYNC110 - it looks at what other tasks count
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        lately = Counter(name for name, _ in load.answered[-20:])
        failed = f"; {len(load.failed)} failed, the last: {load.failed[-1]}" if load.failed else ""
        raise DrillError(f"waited {limit_s:g} s for: {what}; last answers by {dict(lately)}{failed}") from None


def document(load: Load, kills: list[Kill]) -> dict[str, Any]:
    """`{kills, answered, failed, by_provider, rescued, errors, back_s, fallback_s}`; seconds, one entry a kill."""
    return {
        "kills": len(kills),
        "answered": len(load.answered),
        "failed": len(load.failed),
        "by_provider": dict(Counter(name for name, _ in load.answered)),
        "rescued": load.rescued,
        "errors": load.failed[:20],
        "fallback_s": [round(kill.fallback_s, 3) for kill in kills],
        "back_s": [round(kill.back_s, 3) for kill in kills],
    }
