"""The asyncio client: a fixed number in flight, each answer's parts timed as they come. Talks to the engine itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from services.agreement.marks import AgreementError, Client, Marks

LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked of whom: every client sends these very bytes."""

    url: str
    model: str
    prompts: Sequence[str]
    tokens: int
    in_flight: int

    def body(self, prompt: str) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
            "max_tokens": self.tokens,
            "max_completion_tokens": self.tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


async def measured(target: Target) -> list[Marks]:
    """A block over connections of its own, as the other clients open theirs. Raises `AgreementError`."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await block(client, target)


async def block(client: httpx2.AsyncClient, target: Target) -> list[Marks]:
    """Every prompt once. Raises `AgreementError` where one is not answered whole."""
    waiting, found = iter(target.prompts), []

    async def worker() -> None:
        for prompt in waiting:
            found.append(await _asked(client, target, prompt))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(target.in_flight):
                group.create_task(worker())
    except* (httpx2.HTTPError, AgreementError) as errors:
        raise AgreementError(f"{Client.ASYNCIO}: {errors.exceptions[0]}") from errors.exceptions[0]
    return found


async def _asked(client: httpx2.AsyncClient, target: Target, prompt: str) -> Marks:
    sent = time.perf_counter()
    seen: dict[str, float] = {}
    tokens = 0
    url = f"{target.url}/v1/chat/completions"
    async with client.stream("POST", url, json=target.body(prompt), timeout=LIMIT_S) as answer:
        if answer.status_code != 200:
            raise AgreementError(f"{url} answered {answer.status_code}: {(await answer.aread())[:200]!r}")
        async for event in httpx2.EventSource(answer):
            if event.data == "[DONE]":
                continue
            now, chunk = time.perf_counter() - sent, json.loads(event.data)
            if chunk.get("choices"):
                _mark(seen, "chunk", now)
                if chunk["choices"][0]["delta"].get("content"):
                    _mark(seen, "token", now)
            tokens = (chunk.get("usage") or {}).get("completion_tokens", tokens)
    if "first_token_s" not in seen:
        raise AgreementError(f"{url} gave an answer without a token")
    return Marks(**seen, tokens=tokens, end_s=time.perf_counter() - sent)


def _mark(seen: dict[str, float], what: str, now: float) -> None:
    seen.setdefault(f"first_{what}_s", now)
    seen[f"last_{what}_s"] = now
