"""How much memory an engine takes: its processes by /proc, its share of GPUs by NVML, its container by Docker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from services.settings import Settings
from services.stack import memory_container, memory_gpu, procfs
from services.stack.engines import ENGINES, EngineName
from services.stack.memory_readings import Quantity, Reading
from services.stack.processes import Processes

KIB = 1024
PROXIES = frozenset({"docker-proxy", "rootlesskit", "rootlessport", "conmon", "slirp4netns", "pasta"})
"""What listens in a container's place: its own memory is not the engine's."""

FLAGS: Mapping[EngineName, frozenset[str]] = {
    "vllm": frozenset(
        {"max-num-seqs", "gpu-memory-utilization", "kv-cache-memory-bytes", "kv-cache-dtype", "dtype", "max-model-len"}
    ),
    "ollama": frozenset({"ctx-size", "parallel", "kv-cache-type", "no-mmap", "n-gpu-layers"}),
}
VARIABLES: Mapping[EngineName, frozenset[str]] = {
    "vllm": frozenset({"VLLM_CPU_KVCACHE_SPACE"}),
    "ollama": frozenset(
        {"OLLAMA_NUM_PARALLEL", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_KV_CACHE_TYPE", "OLLAMA_FLASH_ATTENTION"}
    ),
}
"""What may be told of an engine's command line and environment: settings of memory, and nothing that is secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """The processes of an engine as `source` found them, or `unknown`: why they cannot be seen."""

    pids: tuple[int, ...] = ()
    source: str = ""
    unknown: str = ""


@dataclass(slots=True, kw_only=True)
class Sampler:
    """Reads both engines' memory; what cannot be known is a reading without bytes that says why, never 0.

    A plain look costs 0.03 ms a process and uses the processes of the last thorough one. A thorough look finds the
    processes anew and adds PSS, GPU and container: 0.05 s for a vLLM of 3 GB (docs/MEMORY.md).
    """

    settings: Settings
    clock: Callable[[], float] = time.time
    gpu: memory_gpu.Devices = field(default_factory=memory_gpu.Devices)
    containers: memory_container.Containers = field(default_factory=memory_container.Containers)
    _trees: dict[EngineName, Tree] = field(default_factory=dict)

    def read(self, *, thorough: bool) -> Sequence[Reading]:
        """What both engines take now."""
        return [reading for engine in ENGINES for reading in self._of(engine, thorough=thorough)]

    def told(self) -> Mapping[str, Mapping[str, str]]:
        """What the engines were started with, as far as it settles how much memory they take."""
        return {engine: settings_of(engine, self._tree(engine).pids) for engine in ENGINES}

    def _of(self, engine: EngineName, *, thorough: bool) -> Iterator[Reading]:
        if thorough or engine not in self._trees:
            self._trees[engine] = self._tree(engine)
        found, at = self._trees[engine], self.clock()
        yield resident(engine, found, at)
        if not thorough:
            return
        yield high_water(engine, found, at)
        yield proportional(engine, found, at)
        yield from self.gpu.read(engine, found.pids, at)
        yield self.containers.read(engine, port_of(self._url(engine)), at)

    def _url(self, engine: EngineName) -> str:
        return self.settings.vllm_url if engine == "vllm" else self.settings.ollama_url

    def _tree(self, engine: EngineName) -> Tree:
        return tree(Processes(home=self.settings.home), engine, self._url(engine))


def tree(processes: Processes, engine: EngineName, url: str) -> Tree:
    """The engine's processes: what Cutover started there, else who listens on the port, with all below it."""
    host, port = urlsplit(url).hostname or "", port_of(url)
    if not is_here(host):
        return Tree(unknown=f"{engine} runs at {host}, whose processes cannot be seen from here")
    record = processes.running(engine)
    if record and record.port == port:
        pids = tuple(s.pid for s in procfs.members(record.pid))
        return Tree(pids=pids, source=f"{len(pids)} processes that Cutover started as pid {record.pid}")
    found = procfs.listener(port)
    if found is None:
        return Tree(unknown=f"no process that listens on port {port} can be seen from here")
    if found.name in PROXIES:
        return Tree(unknown=f"{found.name} listens on port {port}: {engine} runs in a container, see that reading")
    pids = tuple(s.pid for s in procfs.descendants(found.pid))
    return Tree(pids=pids, source=f"{len(pids)} processes from pid {found.pid}, which listens on port {port}")


def resident(engine: EngineName, found: Tree, at: float) -> Reading:
    """RSS, summed: a page that two processes share counts in each."""
    return _summed(engine, Quantity.RSS, found, at, "status", "VmRSS")


def high_water(engine: EngineName, found: Tree, at: float) -> Reading:
    """The kernel's own peaks since each process began, summed: at least the peak of the sum, loading included."""
    return _summed(engine, Quantity.HIGH_WATER, found, at, "status", "VmHWM")


def proportional(engine: EngineName, found: Tree, at: float) -> Reading:
    """PSS, summed: a page that several processes share counts once, so this is what forked children really add.

    The kernel walks every page table for it (`smaps_rollup`), so it is slow for large processes.
    """
    return _summed(engine, Quantity.PSS, found, at, "smaps_rollup", "Pss")


def _summed(engine: EngineName, quantity: Quantity, found: Tree, at: float, file: str, key: str) -> Reading:
    source = f"/proc/PID/{file} {key}, {found.source}"
    if found.unknown:
        return Reading(engine=engine, quantity=quantity, at_s=at, source=source, unknown=found.unknown)
    try:
        values = [value for pid in found.pids if (value := _field(pid, file, key)) is not None]
    except PermissionError as exc:
        why = f"{exc.filename} is not for this user to read; run as the engine's user"
        return Reading(engine=engine, quantity=quantity, at_s=at, source=source, unknown=why)
    if not values:
        why = f"{engine} has no living process"
        return Reading(engine=engine, quantity=quantity, at_s=at, source=source, unknown=why)
    return Reading(engine=engine, quantity=quantity, at_s=at, source=source, bytes=sum(values))


def _field(pid: int, file: str, key: str) -> int | None:
    """Bytes of a line such as `VmRSS:  1234 kB`; None for a process that is gone, or a zombie, which holds nothing."""
    try:
        text = (procfs.PROC / str(pid) / file).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * KIB
    return None


def settings_of(engine: EngineName, pids: Sequence[int]) -> dict[str, str]:
    """The named flags and variables of the processes; nothing of those that are not ours to look into."""
    found: dict[str, str] = {}
    for pid in pids:
        words = words_of(procfs.PROC / str(pid) / "cmdline")
        found |= {k: v for k, v in _flags(words) if k in FLAGS[engine]}
        variables = (word.partition("=") for word in words_of(procfs.PROC / str(pid) / "environ"))
        found |= {name: value for name, _, value in variables if name in VARIABLES[engine]}
    return found


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--max-num-seqs 8`, `--max_num_seqs=8` and a bare `--no-mmap`, which is told as `yes`."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            yield name.replace("_", "-"), value if equals else after if not after.startswith("--") and after else "yes"


def words_of(file: Path) -> list[str]:
    """A list that the kernel shows with NULs between, such as a command line; empty where it may not be read."""
    try:
        return file.read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []  # gone meanwhile, or not ours to see


def port_of(url: str) -> int:
    """The port that a URL names, or that its scheme means."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def is_here(host: str) -> bool:
    """Whether a host is this machine, so that its processes can be seen."""
    try:
        return host == "localhost" or ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return False
