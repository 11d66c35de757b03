"""A peer of RAG's search: its driver as a process of the peers' environment, spoken to in JSON lines.

What the lines say is written in the driver (`peers/lance.py`). A driver that dies, says nonsense or keeps one waiting
is a `PeerError`: nothing is measured beside a peer that may not have done the work.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from services.evaluation.subjects import Chunk, Took

LANCE = Path(__file__).with_name("peers") / "lance.py"
QUIET = {"LANCEDB_LOG": "error"}
"""Else it writes two warnings for every search."""

LOG_LINES = 3
SHOWN = 200


class PeerError(Exception):
    """A peer could not be started, has died, failed or talks nonsense. The message says which, and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a driver is waited for: to be imported, to take in or index chunks, to answer a question."""

    start_s: float = 180.0
    work_s: float = 1800.0
    search_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Way:
    """One way to search what a peer holds: a `Subject`."""

    peer: Peer
    name: str

    async def search(self, question: str, vector: Sequence[float], k: int) -> Took:
        return await self.peer.search(self.name, question, vector, k)

    async def nearest(self, vector: Sequence[float], k: int) -> Sequence[int]:
        return await self.peer.nearest(self.name, vector, k)


class Peer:
    """A running driver; use as `async with started(...)`. It is asked one thing at a time."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, patience: Patience) -> None:
        self.name = name
        self.versions: Mapping[str, str] = {}
        self.ways: Sequence[str] = ()
        self._process = process
        self._log = log
        self._patience = patience
        self._orders = 0
        self._rows = 0

    async def wait_until_ready(self) -> None:
        """Take its versions and ways. Raises `PeerError`."""
        told = await self._line("start", self._patience.start_s)
        ready, ways = told.get("ready"), told.get("ways")
        if not isinstance(ready, dict) or not isinstance(ways, list) or not ways:
            raise self._nonsense("start", told)
        self.versions = {str(package): str(version) for package, version in ready.items()}
        self.ways = tuple(map(str, ways))

    async def add(self, chunks: Sequence[Chunk]) -> None:
        """Give it more chunks. Raises `PeerError`."""
        texts, vectors = [text for text, _ in chunks], [vector for _, vector in chunks]
        given = {"texts": texts, "vectors": written(*vectors), "dimension": len(vectors[0])}
        told = await self._order("add", self._patience.work_s, **given)
        self._rows += len(chunks)
        if told.get("rows") != self._rows:
            raise PeerError(f"{self.name} holds {told.get('rows')!r} chunks after it was given {self._rows}")

    async def build(self) -> Mapping[str, Mapping[str, str]]:
        """Have it index all that it holds: what each way of searching it uses. Raises `PeerError`."""
        told = await self._order("build", self._patience.work_s)
        uses = told.get("uses")
        if not isinstance(uses, dict) or set(uses) != set(self.ways):
            raise self._nonsense("build", told)
        if not all(isinstance(of, dict) for of in uses.values()):
            raise self._nonsense("build", told)
        return {way: {str(what): str(how) for what, how in of.items()} for way, of in uses.items()}

    async def search(self, way: str, question: str, vector: Sequence[float], k: int) -> Took:
        """A hybrid search, timed in the driver: its pipe is no part of a search. Raises `PeerError`."""
        given = {"way": way, "text": question, "vector": written(vector), "k": k}
        told = await self._order("search", self._patience.search_s, **given)
        self._ids("search", told, k)
        wall_s, cpu_s = told.get("wall_s"), told.get("cpu_s")
        if not _is_time(wall_s) or not _is_time(cpu_s):
            raise self._nonsense("search", told)
        return Took(wall_ms=1000 * wall_s, cpu_ms=1000 * cpu_s)

    async def nearest(self, way: str, vector: Sequence[float], k: int) -> list[int]:
        """The chunks nearest in meaning, by their numbers. Raises `PeerError`."""
        told = await self._order("nearest", self._patience.search_s, way=way, vector=written(vector), k=k)
        return self._ids("nearest", told, k)

    def _ids(self, what: str, told: Mapping[str, Any], k: int) -> list[int]:
        """An answer without chunks would be fast, and no search."""
        ids = told.get("ids")
        if not isinstance(ids, list) or not 0 < len(ids) <= k or any(type(n) is not int for n in ids):
            raise self._nonsense(what, told)
        if len(set(ids)) < len(ids) or not 0 <= min(ids) <= max(ids) < self._rows:
            raise self._nonsense(what, told)
        return ids

    async def _order(self, do: str, patience_s: float, **given: Any) -> dict[str, Any]:
        self._orders += 1
        assert self._process.stdin is not None
        line = json.dumps({"id": self._orders, "do": do, **given}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has died: the missing answer tells better
            self._process.stdin.write(line)
            async with self._waiting(do, patience_s):
                await self._process.stdin.drain()
        told = await self._line(do, patience_s)
        if told.get("id") != self._orders:
            raise self._nonsense(do, told)
        if "error" in told:
            raise PeerError(f"{self.name} failed at {do!r}: {told['error']}")
        return told

    async def _line(self, do: str, patience_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with self._waiting(do, patience_s):
            try:
                if not (line := await self._process.stdout.readline()):
                    await self._process.wait()
            except ValueError as exc:  # asyncio's word for a line that is longer than its limit
                raise PeerError(f"{self.name} answers {do!r} with a line that is too long") from exc
        if not line:
            said = await asyncio.to_thread(self._said)
            raise PeerError(f"{self.name} has died at {do!r}, exit code {self._process.returncode}; it said: {said}")
        try:
            told = json.loads(line)
        except ValueError:
            told = line
        if not isinstance(told, dict):
            raise self._nonsense(do, line)
        return told

    @contextlib.asynccontextmanager
    async def _waiting(self, do: str, patience_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(patience_s):
                yield
        except TimeoutError as exc:
            raise PeerError(f"{self.name} has not answered {do!r} within {patience_s:g} s") from exc

    def _nonsense(self, do: str, told: object) -> PeerError:
        return PeerError(f"{self.name} answers {do!r} with what is no answer: {str(told)[:SHOWN]!r}")

    def _said(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return " | ".join([line for line in lines if line.strip()][-LOG_LINES:]) or "nothing"


@contextlib.asynccontextmanager
async def started(
    name: str, argv: Sequence[str], folder: Path, env: Mapping[str, str], *, patience: Patience | None = None
) -> AsyncIterator[Peer]:
    """The driver that `argv` runs, imported and ready, ended with this. Its log is in `folder`. Raises `PeerError`."""
    pipe, file = asyncio.subprocess.PIPE, folder / f"{name}.log"
    with file.open("wb") as log:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=pipe, stdout=pipe, stderr=log, limit=2**20, env={**env, **QUIET}, start_new_session=True
            )
        except OSError as exc:
            raise PeerError(f"{name} cannot be started: {argv[0]}: {exc.strerror}") from exc
        try:
            peer = Peer(name, process, file, patience or Patience())
            await peer.wait_until_ready()
            yield peer
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                process.kill()  # it holds nothing that anybody wants back
            await process.wait()


def _is_time(told: object) -> TypeGuard[float]:
    """A number that is no boolean, not below zero, not infinite and not NaN, which JSON in Python may hold."""
    return isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < math.inf


def written(*vectors: Sequence[float]) -> str:
    """Vectors one after the other, little-endian float32 in base64: JSON's numbers are four times as long."""
    import numpy as np

    return base64.b64encode(np.asarray(vectors, dtype="<f4").tobytes()).decode("ascii")
