"""Memory of GPUs and of containers, at the edge of their SDKs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.stack.memory_container import Containers, in_use, publishes
from services.stack.memory_gpu import Card, Devices
from services.stack.memory_readings import Quantity

MIB = 2**20


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
        nvmlDeviceGetName=lambda _: "NVIDIA H100 80GB HBM3", nvmlSystemGetDriverVersion=lambda: "570.86.15",
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


def test_a_card_is_told_by_name_driver_and_memory() -> None:
    card = Card(name="NVIDIA H100 80GB HBM3", driver="570.86.15", memory_bytes=80 * 2**30)

    assert Devices(load=lambda: nvml({})).cards() == (card,)


def test_a_machine_without_a_driver_has_no_card_to_tell() -> None:
    """Neither has one whose card fails while it is asked: nobody knows then."""
    lost = nvml({})
    lost.nvmlDeviceGetName = lambda _: refuse()

    assert Devices(load=lambda: nvml({}, fails="NVML Shared Library Not Found")).cards() == ()
    assert Devices(load=lambda: lost).cards() == ()


def refuse() -> str:
    raise NVMLError("GPU is lost")


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
