"""The whole project at one look: each container's state, its memory, and the last words of those that failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from services.stack import compose, compose_logs
from services.stack.compose import Container, NoEngine, Place
from services.stack.memory_container import in_use

STATS_S = 3.0
AT_ONCE = 16
Row = dict[str, Any]


def look(where: Place | None, hide: compose_logs.Hide, clock: Callable[[], float] = time.time) -> dict[str, Row]:
    """By name, as `cutover status --json` shows them. Empty without an engine or a project of ours.

    Raises `NoEngine` only where DOCKER_HOST names an engine: a socket that answers nobody, or not us, is like none.
    """
    if where is None:
        return {}
    try:
        with compose.engine(where) as client:
            listed = compose.found(client, where.project)
            states = [compose.read(c.attrs) for c in listed]
            counted = memory([c for c, s in zip(listed, states, strict=True) if s.status == "running"])
            now = clock()
            return {
                state.name: row(state, now, counted.get(state.id), compose_logs.last_failure(container, state, hide))
                for container, state in zip(listed, states, strict=True)
            }
    except NoEngine:
        if where.named:
            raise
        return {}


def row(state: Container, now: float, memory_bytes: int | None, last_words: Sequence[str]) -> Row:
    """One container for machines. `uptime_s` while it runs, `exit_code` once it has ended. Pure."""
    alive = state.status in ("running", "paused") and state.started_at is not None
    return {
        "container": state.container,
        "image": state.image,
        "status": state.status,
        "health": state.health,
        "restarts": state.restarts,
        "uptime_s": round(max(0.0, now - (state.started_at or now)), 1) if alive else None,
        "exit_code": state.exit_code,
        "out_of_memory": state.out_of_memory,
        "memory_bytes": memory_bytes,
        "complaint": state.complaint,
        "last_failure": list(last_words),
    }


def memory(containers: Sequence[Any], limit_s: float = STATS_S) -> dict[str, int | None]:
    """Bytes in use by container id, counted as the gate counts them. Asked side by side: each answer takes time.

    Who has not answered in `limit_s` is left out; its thread ends by the client's own limit.
    """
    if not containers:
        return {}
    pool = ThreadPoolExecutor(min(AT_ONCE, len(containers)), thread_name_prefix="stats")
    try:
        asked: dict[Future[int | None], str] = {pool.submit(_one, c): c.id for c in containers}
        done, _ = wait(asked, timeout=limit_s)
        return {asked[future]: future.result() for future in done}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _one(container: Any) -> int | None:
    """`one_shot`: no second sample for the CPU's share, for which Docker waits a second. None: it has just ended."""
    try:
        stats = container.client.api.stats(container.id, stream=False, one_shot=True)
    except OSError:  # what the SDK raises for an answer of Docker's is one, too
        return None
    return in_use(stats.get("memory_stats") or {})
