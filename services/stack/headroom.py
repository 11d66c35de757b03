"""How much memory another Ollama would need, and how much this machine has left. Reads; decides only `enough`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from services.stack import ready
from services.stack.errors import StackError

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
SERVICE_BYTES = 200 * 2**20
"""What one process of a service takes, with room: an idle RAG or Notes has an RSS of 79 MiB."""
RESERVE_BYTES = 512 * 2**20
"""Left alone, so that the trial does not push the running engines out of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model as an Ollama holds it, in bytes: the weights on disk, all that is loaded, and its part on a GPU."""

    weights: int
    size: int
    size_vram: int

    def with_slots(self, parallel: int) -> int:
        """Bytes with `parallel` slots, from one slot: the weights are there once, context and buffers per slot.

        Ollama multiplies the context by OLLAMA_NUM_PARALLEL (its docs/faq, "How does Ollama handle concurrent
        requests"); that its buffers grow as fast is assumed, so this is more likely too much than too little.
        """
        return self.weights + parallel * max(0, self.size - self.weights)

    @property
    def share_on_gpu(self) -> float:
        return self.size_vram / self.size if self.size else 0.0


def loaded(url: str, model: str) -> Loaded:
    """The model in a running Ollama, which must have it loaded. Raises `StackError`."""
    try:
        with ready.client() as http:
            running = _named(http.get(f"{url}/api/ps").raise_for_status().json(), model)
            stored = _named(http.get(f"{url}/api/tags").raise_for_status().json(), model)
            return Loaded(
                weights=int(stored["size"]), size=int(running["size"]), size_vram=int(running.get("size_vram", 0))
            )
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as exc:
        raise StackError(
            f"the Ollama at {url} does not tell how much memory {model} takes ({type(exc).__name__}: {exc}), so nobody "
            "knows whether a second one fits; is it up? `cutover status`"
        ) from exc


def _named(document: Any, model: str) -> dict[str, Any]:
    return dict(next((m for m in document["models"] or () if m["name"] == model), {}))


def free_bytes(*, meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int:
    """What can still be used: the kernel's estimate, or what the container's limit leaves, whichever is less."""
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used = ((cgroup / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free  # no limit of this kind here
    return free if limit == "max" else min(free, int(limit) - int(used))


def enough(one: Loaded, parallel: Sequence[int], *, services: int, free: int) -> None:
    """Refuse trial Ollamas that would not fit beside what runs. Raises `StackError` with both sums."""
    needed = sum(map(one.with_slots, parallel)) + services * SERVICE_BYTES + RESERVE_BYTES
    if needed > free:
        which = ", ".join(map(str, parallel))
        raise StackError(
            f"too little memory for trial Ollamas with NUM_PARALLEL {which}: they need about {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free; try fewer with `--parallel`, or name running ones with `--ollama N=URL`"
        )
