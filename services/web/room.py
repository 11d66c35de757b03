"""What one service's process has at hand: its client, its store, its limits. Built by `app.py`, found by endpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fastapi import Request
from prometheus_client import CollectorRegistry

from services.llm.types import Answer, ChatRequest, StreamEvent
from services.recording.recorder import Recorder
from services.settings import Limits, Secret
from services.web.idempotency import Memory
from services.web.key_file import KeyFile


class Client(Protocol):
    """The face of `services.llm.client.LLMClient` that services use."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *exc: object) -> None: ...
    async def chat(self, request: ChatRequest) -> Answer: ...
    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]: ...
    async def ready(self) -> str | None: ...
    def status(self) -> Mapping[str, Any]: ...


class Store(AbstractAsyncContextManager[object], Protocol):
    """What every store can do: be opened and closed, and say whether it answers."""

    async def check(self) -> Mapping[str, str]:
        """What it works with, by part. Raises `StoreError` when it does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One service's process. `use_cases` is the service's own object, typed again by its `api.py`.

    `metrics_dir` is where several workers count together; None for a worker that is alone. `beside` is what runs
    beside the requests, jobs for example: opened after the client and closed before it. `memory` keeps replies.
    """

    service: str
    client: Client
    store: Store
    limits: Limits
    admin_token: Secret | None
    use_cases: Any
    recorder: Recorder
    keys: KeyFile
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    metrics_dir: Path | None = None
    memory: Memory | None = None
    beside: tuple[AbstractAsyncContextManager[object], ...] = ()


def room(request: Request) -> Room:
    """The process that `request` came to."""
    found = request.app.state.room
    assert isinstance(found, Room)
    return found
