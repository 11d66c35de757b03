"""One service process for one measurement: in a home of its own, on a store of its own, ended with the block."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.settings import SERVICES, Settings
from services.stack import procfs, ready
from services.stack.engines import death
from services.stack.interrupts import held, raised
from services.stack.job import Progress
from services.stack.local import READY_S, service_env, service_launch, work
from services.stack.processes import Processes
from services.stack.procfs import Memory
from services.stack.trial import NOBODY, free_port

SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"
"""Its one worker shares its counts with nobody; even an empty one would make prometheus-client write files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnService:
    """Where it listens, which process it is, and the file of its store, which is not there for a PostgreSQL."""

    url: str
    pid: int
    store: Path

    def memory(self) -> tuple[Memory, Memory]:
        """Memory of the service's own, and of all its children together."""
        held = {found.pid: procfs.memory(found.pid) for found in procfs.descendants(self.pid)}
        own = held.pop(self.pid, Memory())
        children = held.values()
        return own, Memory(anonymous=sum(m.anonymous for m in children), files=sum(m.files for m in children))

    def cpu_s(self) -> float:
        """Seconds of the processor of the service and of all that it has started, ended or not."""
        return sum(_cpu_ticks(found.pid) for found in procfs.descendants(self.pid)) / os.sysconf("SC_CLK_TCK")

    def store_bytes(self) -> tuple[int, int]:
        """The size of SQLite's file, and of its write-ahead log."""
        return _size(self.store), _size(self.store.with_name(f"{self.store.name}-wal"))


@contextlib.contextmanager
def own_service(
    settings: Settings, name: str, progress: Progress, *, env: Mapping[str, str], over: Mapping[str, str],
    store_url: str = "",
) -> Iterator[OwnService]:  # fmt: skip
    """`name` with nobody to generate, on `store_url` or else on a new SQLite file. Raises `StackError`.

    `over` are settings that it gets over those of `env`. It answers `/healthz` when the block begins; it, its home and
    its file are gone when the block ends, fails or is interrupted.
    """
    with tempfile.TemporaryDirectory(prefix=f"cutover-{name}-") as folder, raised():
        home, port = Path(folder), free_port()
        store = home / "data" / f"{name}.db"
        ports = {**settings.ports, name: port}
        own = replace(
            settings, home=home, state_dir=home / "state", ports=ports, given_urls=dict.fromkeys(SERVICES, "")
        )
        upper = name.upper()
        here = {
            "VLLM_URL": NOBODY,
            "OLLAMA_URL": NOBODY,
            f"CUTOVER_{upper}_PORT": str(port),
            f"{upper}_LLM_LAST_RESORT": "none",
            f"{upper}_STORE_URL": store_url or f"sqlite:///{store}",
            f"{upper}_STORE_URL_FILE": "",
            "CUTOVER_API_KEYS_FILE": "",
            "WEB_CONCURRENCY": "1",
            **over,
        }
        try:
            with work(own, progress, env) as job:
                child_env = {**service_env(job), **here}
                child_env.pop(SHARED_COUNTS, None)
                record = job.start(service_launch(own, name, child_env))
                url = own.service_url(name)
                ready.wait(
                    f"{name} at {url}",
                    ready.answers(f"{url}/healthz"),
                    died=lambda: death(job, name, record),
                    deadline_s=READY_S,
                    cancelled=job.cancelled,
                )
            yield OwnService(url=url, pid=record.pid, store=store)
        finally:
            with held():
                Processes(home=home).stop(name, grace_s=5.0)


def _cpu_ticks(pid: int) -> int:
    """Its own, and those of its children that it has waited for."""
    try:
        told = (procfs.PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0  # gone meanwhile
    return sum(map(int, told[11:15]))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
