"""Memory of real processes that hold a known amount; GPU and container at the edge of their SDKs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.settings import Settings
from services.stack import memory, procfs
from services.stack.memory import Sampler, Tree
from services.stack.memory_container import Containers, in_use, publishes
from services.stack.memory_gpu import Devices
from services.stack.memory_readings import Quantity, Reading
from services.stack.processes import Processes

MIB = 2**20
HELD = 64 * MIB
SAY = "import os, time; os.write(1, b'ready\\n'); time.sleep(300)"
HOLD = f"kept = bytearray(b'x') * {HELD}; {SAY}"
FORK = f"import os; kept = bytearray(b'x') * {HELD}; os.fork(); {SAY}"
GIVE_BACK = f"kept = bytearray(b'x') * {HELD}; del kept; {SAY}"
LISTEN = f"import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); {HOLD}"


@contextmanager
def child(code: str, *arguments: str, ready: int = 1) -> Iterator[int]:
    """A Python with this code as leader of a session; goes with all its children."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert [process.stdout.readline() for _ in range(ready)] == ["ready\n"] * ready
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def whole(pid: int) -> Tree:
    return Tree(pids=tuple(s.pid for s in procfs.members(pid)), source="a test")


def count(reading: Reading) -> int:
    assert reading.bytes is not None, reading.unknown
    return reading.bytes


def test_rss_is_what_a_process_holds() -> None:
    """Measured against a process that holds nothing, because an interpreter takes memory too."""
    with child(HOLD) as holder, child(SAY) as empty:
        more = count(memory.resident("vllm", whole(holder), 0.0)) - count(memory.resident("vllm", whole(empty), 0.0))

    assert HELD * 0.97 < more < HELD * 1.1


def test_pss_counts_what_forked_children_share_once_and_rss_twice() -> None:
    """A vLLM of several processes would else look larger than the machine."""
    with child(FORK, ready=2) as parent:
        both = whole(parent)
        rss, pss = (count(read("vllm", both, 0.0)) for read in (memory.resident, memory.proportional))

    assert len(both.pids) == 2
    assert rss > 2 * HELD
    assert HELD < pss < 1.5 * HELD


def test_the_high_water_mark_remembers_what_was_given_back() -> None:
    """Sampling alone would miss a peak between two looks."""
    with child(GIVE_BACK) as pid:
        peak, now = (count(read("vllm", whole(pid), 0.0)) for read in (memory.high_water, memory.resident))

    assert peak > HELD > now


@pytest.mark.parametrize("read", [memory.resident, memory.proportional, memory.high_water])
def test_processes_that_are_gone_are_unknown_and_not_0(read: Callable[[str, Tree, float], Reading]) -> None:
    with child(SAY) as pid:
        pass

    reading = read("vllm", Tree(pids=(pid,), source="a test"), 7.0)

    assert (reading.bytes, reading.at_s) == (None, 7.0)
    assert "no living process" in reading.unknown


def test_a_process_that_may_not_be_read_makes_the_sum_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum without it would be too small. The folder stands in for /proc, because root may read everything."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7/smaps_rollup").mkdir()
    (tmp_path / "7/smaps_rollup").chmod(0)
    monkeypatch.setattr(procfs, "PROC", tmp_path)
    monkeypatch.setattr(Path, "read_text", refuse)

    reading = memory.proportional("vllm", Tree(pids=(7,), source="a test"), 0.0)

    assert reading.bytes is None
    assert "run as the engine's user" in reading.unknown


def refuse(path: Path) -> str:
    raise PermissionError(13, "Permission denied", str(path))


def test_an_engine_that_cutover_did_not_start_is_found_by_its_port(
    processes: Processes, free_port: Callable[[], int]
) -> None:
    """With the children below it, and without whatever else its terminal runs."""
    port = free_port()
    with child(LISTEN, str(port)) as pid:
        found = memory.tree(processes, "vllm", f"http://127.0.0.1:{port}")

    assert found.pids == (pid,)
    assert f"listens on port {port}" in found.source


def test_an_engine_that_cutover_started_is_taken_with_its_whole_session(
    processes: Processes, free_port: Callable[[], int]
) -> None:
    port = free_port()
    record = processes.start(
        "vllm", ["/bin/sh", "-c", "sleep 300 & sleep 300"], env={}, port=port, port_variable="CUTOVER_VLLM_PORT"
    )
    while len(procfs.members(record.pid)) < 3:
        pass
    found = memory.tree(processes, "vllm", f"http://127.0.0.1:{port}")

    assert len(found.pids) == 3
    assert f"pid {record.pid}" in found.source


@pytest.mark.parametrize(
    ("url", "why"),
    [("http://10.1.2.3:8000", "runs at 10.1.2.3"), ("http://127.0.0.1:{port}", "no process that listens")],
)
def test_an_engine_that_cannot_be_seen_says_why(
    processes: Processes, free_port: Callable[[], int], url: str, why: str
) -> None:
    found = memory.tree(processes, "vllm", url.format(port=free_port()))

    assert (found.pids, memory.resident("vllm", found, 0.0).bytes) == ((), None)
    assert why in found.unknown


def test_docker_s_proxy_is_not_taken_for_the_engine(
    processes: Processes, free_port: Callable[[], int], tmp_path: Path
) -> None:
    """It listens on the published port, with 2 MB of its own."""
    port, proxy = free_port(), tmp_path / "docker-proxy"
    proxy.symlink_to(sys.executable)
    command = [str(proxy), "-c", LISTEN, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = memory.tree(processes, "vllm", f"http://127.0.0.1:{port}")
        process.kill()

    assert found.pids == ()
    assert "runs in a container" in found.unknown


def test_only_named_settings_are_read_from_a_process_and_no_secret() -> None:
    with child(SAY, "--max_num_seqs=8", "--api-key", "s3cret", "--dtype", "float32") as pid:
        told = memory.settings_of("vllm", [pid])

    assert told == {"max-num-seqs": "8", "dtype": "float32"}


def test_a_plain_look_reads_the_processes_of_the_last_thorough_one(settings: Settings) -> None:
    """Walking all of /proc each second would cost more than the reading."""
    sampler = Sampler(settings=settings, clock=lambda: 5.0, containers=Containers(sockets=lambda: ()))
    thorough, plain = sampler.read(thorough=True), sampler.read(thorough=False)

    assert {r.quantity for r in thorough} >= {"rss", "pss", "high_water", "gpu", "container"}
    assert [(r.engine, r.quantity) for r in plain] == [("ollama", "rss"), ("vllm", "rss")]
    assert {(r.bytes, r.at_s) for r in (*thorough, *plain)} == {(None, 5.0)}


class NVMLError(Exception):
    """As pynvml names it."""


def nvml(processes: dict[int, int | None], *, fails: str = "", broken: bool = False) -> Any:
    """pynvml with one H100 of 80 GiB, of which 70 are in use."""

    def start() -> None:
        if fails:
            raise NVMLError(fails)

    def running(_handle: object) -> list[Any]:
        if broken:
            raise NVMLError("GPU is lost")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in processes.items()]

    return SimpleNamespace(
        NVMLError=NVMLError, nvmlInit=start, nvmlDeviceGetCount=lambda: 1, nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetComputeRunningProcesses=running,
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=70 * 2**30, total=80 * 2**30),
    )  # fmt: skip


def test_gpu_memory_is_of_the_engine_s_own_processes() -> None:
    """And beside it what the device holds of everybody."""
    found = list(Devices(load=lambda: nvml({11: 30, 12: 12, 99: 5})).read("vllm", (11, 12), 0.0))

    assert [(r.quantity, r.bytes) for r in found] == [(Quantity.GPU, 42), (Quantity.GPU_DEVICE, 70 * 2**30)]
    assert str(80 * 2**30) in found[1].source


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (nvml({}, fails="NVML Shared Library Not Found"), "no NVML: NVML Shared Library Not Found"),
        (nvml({}, broken=True), "NVML: GPU is lost"),
        (nvml({99: 5}), "none of its processes"),
        (nvml({11: 5, 12: None}), "NVML_VALUE_NOT_AVAILABLE"),
    ],
)
def test_gpu_memory_that_nvml_does_not_tell_is_unknown(module: Any, why: str) -> None:
    reading = next(iter(Devices(load=lambda: module).read("vllm", (11, 12), 0.0)))

    assert reading.bytes is None
    assert why in reading.unknown


def test_this_machine_s_own_nvml_answers_or_says_that_there_is_none() -> None:
    """The real binding: a driver's absence is a sentence, and no error."""
    reading = next(iter(Devices().read("vllm", (1,), 0.0)))

    assert reading.bytes is None
    assert reading.unknown


CGROUP_2 = {"usage": 900, "stats": {"inactive_file": 200, "file": 300}}
CGROUP_1 = {"usage": 900, "stats": {"total_inactive_file": 300, "inactive_file": 100}}


@pytest.mark.parametrize(
    ("stats", "bytes_in_use"),
    [
        (CGROUP_2, 700),
        (CGROUP_1, 600),
        ({"usage": 9, "stats": {"inactive_file": 10}}, 9),
        ({"usage": 9}, 9),
        ({}, None),
    ],
)
def test_a_container_s_memory_is_counted_as_docker_stats_counts_it(
    stats: dict[str, Any], bytes_in_use: int | None
) -> None:
    assert in_use(stats) == bytes_in_use


def test_a_container_is_known_by_the_port_that_it_publishes() -> None:
    ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8500"}], "9000/tcp": None}

    assert (publishes(ports, 8500), publishes(ports, 8000), publishes({}, 8500)) == (True, False, False)


class DockerException(Exception):
    """As the SDK names it."""


def docker(containers: list[Any], *, fails: bool = False) -> Any:
    def client(**_options: Any) -> Any:
        if fails:
            raise DockerException("permission denied")
        listed = SimpleNamespace(list=lambda: containers)
        return SimpleNamespace(containers=listed, close=lambda: None)

    return SimpleNamespace(DockerClient=client, errors=SimpleNamespace(DockerException=DockerException))


def container(port: str, memory_stats: dict[str, Any]) -> Any:
    ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]}
    return SimpleNamespace(name=f"on-{port}", ports=ports, stats=lambda stream: {"memory_stats": memory_stats})


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A Docker socket that nobody answers at."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "d"))
        yield tmp_path / "d"


def test_the_container_that_publishes_the_port_is_read(place: Path) -> None:
    found = [container("8500", CGROUP_2), container("8511", CGROUP_1)]
    reading = Containers(load=lambda: docker(found), sockets=lambda: (place,)).read("ollama", 8511, 3.0)

    assert (reading.bytes, reading.at_s) == (600, 3.0)
    assert "container on-8511" in reading.source


def test_without_a_container_a_daemon_or_a_socket_it_is_unknown(place: Path) -> None:
    asked = {
        "no Docker socket": Containers(sockets=lambda: (place.with_name("gone"),)),
        "no container publishes port 8511": Containers(load=lambda: docker([]), sockets=lambda: (place,)),
        "does not tell: permission denied": Containers(load=lambda: docker([], fails=True), sockets=lambda: (place,)),
    }
    for why, containers in asked.items():
        reading = containers.read("ollama", 8511, 0.0)

        assert reading.bytes is None
        assert why in reading.unknown
