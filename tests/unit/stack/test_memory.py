"""Memory of real processes that hold a known amount."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.settings import Settings
from services.stack import memory, procfs
from services.stack.memory import Sampler, Tree
from services.stack.memory_container import Containers
from services.stack.memory_readings import Reading
from services.stack.processes import Processes

MIB = 2**20
HELD = 64 * MIB
SAY = "import os, time; os.write(1, b'ready\\n'); time.sleep(300)"
HOLD = f"kept = bytearray(b'x') * {HELD}; {SAY}"
FORK = f"import os; kept = bytearray(b'x') * {HELD}; os.fork(); {SAY}"
GIVE_BACK = f"kept = bytearray(b'x') * {HELD}; del kept; {SAY}"
LISTEN = f"import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); {HOLD}"


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
