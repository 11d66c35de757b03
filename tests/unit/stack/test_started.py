"""How an engine was started: a digest that a restart keeps and a changed flag does not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services import settings as settings_room
from services.stack import started
from services.stack.memory import words_of
from services.stack.processes import Processes
from services.stack.started import digest, of_container
from tests.unit.stack.recorded_containers import attrs

ARGV = ("/a/bin/python", "-P", "-m", "vllm.server", "--model", "/a/models/m", "--port", "8500", "--max-num-seqs", "8")
ENV = ("PATH=/bin", "VLLM_CPU_KVCACHE_SPACE=1", "VLLM_API_KEY=s3cret", "VLLM_HOST_IP=127.0.0.1")


@pytest.mark.parametrize(
    "argv",
    [
        ("/b/bin/python", *ARGV[1:]),
        (*ARGV[:4], "--max_num_seqs=8", "--port=9000", "--model", "../models/m/"),
        (*ARGV, "--api-key", "s3cret", "--host", "0.0.0.0"),
    ],
)
def test_ports_folders_keys_and_the_order_of_flags_are_no_other_start(argv: Sequence[str]) -> None:
    assert digest(argv, ENV) == digest(ARGV, ENV)


@pytest.mark.parametrize(
    "argv",
    [
        (*ARGV[:-1], "16"),
        (*ARGV, "--enforce-eager"),
        (*ARGV, "--max-num-batched-tokens", "2048"),
        (*ARGV[:5], "/a/models/other", *ARGV[6:]),
        (*ARGV, "--lora-modules", "a=/x/one", "b=/x/two"),
        ARGV[:-2],
    ],
)
def test_another_flag_is_another_start(argv: Sequence[str]) -> None:
    assert digest(argv, ENV) != digest(ARGV, ENV)


def test_every_value_of_a_flag_counts() -> None:
    first, second = ((*ARGV, "--lora-modules", "a=/x/one", last) for last in ("b=/x/two", "b=/x/three"))

    assert digest(first, ENV) != digest(second, ENV)


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ("HOME=/root", True), ("VLLM_API_KEY=other", True), ("OLLAMA_HOST=127.0.0.1:9", True),
        ("VLLM_CPU_KVCACHE_SPACE=2", False), ("OLLAMA_NUM_PARALLEL=4", False), ("OMP_NUM_THREADS=1", False),
    ],
)  # fmt: skip
def test_of_the_environment_only_what_settles_how_it_works_counts(more: str, same: bool) -> None:
    name = more.partition("=")[0]
    changed = [*(e for e in ENV if not e.startswith(f"{name}=")), more]

    assert (digest(ARGV, changed) == digest(ARGV, ENV)) is same


class Machine:
    """A vLLM that Cutover starts and stops, and what is seen of it. Its program only sleeps."""

    def __init__(self, processes: Processes, folder: Path, port: Callable[[], int]) -> None:
        self.processes, self.port = processes, port
        self.program = folder / "vllm"
        self.program.write_text("#!/bin/sh\nexec sleep 300\n")
        self.program.chmod(0o755)

    def seen(self, *flags: str, variables: dict[str, str] | None = None) -> str:
        port = self.port()
        argv = [str(self.program), "serve", "m", "--port", str(port), *flags]
        self.processes.start("vllm", argv, env=variables or {"PATH": os.defpath}, port=port, port_variable="P")
        settings = settings_room.load({"CUTOVER_HOME": str(self.processes.home), "CUTOVER_VLLM_PORT": str(port)})
        found = started.digests(settings, None)["vllm"]
        self.processes.stop("vllm", grace_s=0)
        return found


@pytest.fixture
def machine(processes: Processes, tmp_path: Path, free_port: Callable[[], int]) -> Machine:
    return Machine(processes, tmp_path, free_port)


def test_a_restart_with_the_same_flags_is_the_same_start(machine: Machine) -> None:
    """On another port, as after a clash."""
    first = machine.seen("--max-num-seqs", "8")

    assert first
    assert machine.seen("--max-num-seqs", "8") == first
    assert machine.seen("--max-num-seqs", "4") != first
    assert machine.seen("--max-num-seqs", "8", variables={"PATH": os.defpath, "VLLM_USE_V1": "0"}) != first


def test_an_engine_elsewhere_and_none_at_all_are_unknown(tmp_path: Path, free_port: Callable[[], int]) -> None:
    env = {"CUTOVER_HOME": str(tmp_path), "VLLM_URL": "http://10.1.2.3:8000", "CUTOVER_OLLAMA_PORT": str(free_port())}

    assert started.digests(settings_room.load(env), None) == {"ollama": "", "vllm": ""}


LISTEN = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[-1]))); "
LISTEN += "print('ready', flush=True); time.sleep(300)"


@pytest.mark.parametrize(("word", "known"), [("ollama", True), ("nginx", False)])
def test_who_listens_there_is_looked_at_if_it_is_that_engine(
    tmp_path: Path, free_port: Callable[[], int], word: str, known: bool
) -> None:
    port = free_port()
    with subprocess.Popen(["python3", "-c", LISTEN, word, str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        settings = settings_room.load({"CUTOVER_HOME": str(tmp_path), "OLLAMA_URL": f"http://127.0.0.1:{port}"})
        found = started.digests(settings, None)["ollama"]
        process.kill()

    assert bool(found) is known


def client(**changes: Any) -> Any:
    """Docker's client with one vLLM of our project that publishes 8500."""
    made = attrs("vllm")
    made |= {"Path": "/entrypoint.sh", "Args": ["m", "--", "--max-num-seqs", "8"], "Image": "sha256:1", **changes}
    ports = {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8500"}]}
    listed = [SimpleNamespace(attrs=made, ports=ports)]
    return SimpleNamespace(containers=SimpleNamespace(list=lambda **_: listed))


def test_a_container_is_known_by_the_port_that_it_publishes_or_by_its_name() -> None:
    by_port = of_container(client(), "cutover", "", 8500)

    assert by_port
    assert by_port == of_container(client(), "cutover", "vllm", 0)
    assert not of_container(client(), "cutover", "", 8511)
    assert not of_container(client(), "cutover", "gateway", 0)


@pytest.mark.parametrize(
    "changed", [{"Args": ["m", "--", "--max-num-seqs", "4"]}, {"Image": "sha256:2"}, {"Path": "/other.sh"}]
)
def test_another_image_or_argument_of_a_container_is_another_start(changed: dict[str, Any]) -> None:
    assert of_container(client(**changed), "cutover", "vllm", 0) != of_container(client(), "cutover", "vllm", 0)


def test_a_process_that_is_gone_shows_no_words(tmp_path: Path) -> None:
    assert words_of(tmp_path / "cmdline") == []
