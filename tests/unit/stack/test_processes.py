"""Background processes: recorded at once, never confused with others, stopped whole."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from services.stack import procfs
from services.stack.errors import StackError
from services.stack.processes import Processes, Record, spawn

SLEEP = ("/bin/sleep", "300")
FreePort = Callable[[], int]


def start(processes: Processes, argv: Sequence[str], port: int, name: str = "vllm") -> Record:
    return processes.start(name, argv, env=os.environ, port=port, port_variable="CUTOVER_VLLM_PORT")


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def eventually(claim: Callable[[], object]) -> None:
    """Polls, because the kernel needs a moment."""
    for _ in range(6000):
        if claim():
            return
        time.sleep(0.01)
    pytest.fail("it never came true")


def test_a_started_process_is_recorded_and_stops(processes: Processes, free_port: FreePort) -> None:
    """Start, look, stop, and stop again: the second time it is already stopped."""
    record = start(processes, SLEEP, free_port())
    state = processes.states()["vllm"]

    assert (state.pid, state.alive, state.port, state.log) == (record.pid, True, record.port, record.log)
    assert processes.running("vllm") == record
    assert processes.stop("vllm") is True
    assert processes.states() == {}
    assert processes.stop("vllm") is False


def test_a_running_name_is_not_started_twice(processes: Processes, free_port: FreePort) -> None:
    """One process per name."""
    start(processes, SLEEP, free_port())

    with pytest.raises(StackError, match="runs already, pid"):
        start(processes, SLEEP, free_port())


def test_a_recycled_pid_is_left_alone(processes: Processes, free_port: FreePort) -> None:
    """A record whose pid now belongs to a later process stops nobody."""
    record = start(processes, SLEEP, free_port())
    file = processes.home / "run/vllm.json"
    file.write_text(json.dumps({**dataclasses.asdict(record), "start_ticks": record.start_ticks - 1}))

    assert processes.states()["vllm"].alive is False
    assert processes.stop("vllm") is False
    assert procfs.members(record.pid)
    os.killpg(record.pid, signal.SIGKILL)


def test_a_record_of_another_boot_is_left_alone(processes: Processes, free_port: FreePort) -> None:
    """After a reboot the same pid and ticks may well be somebody else."""
    record = start(processes, SLEEP, free_port())
    file = processes.home / "run/vllm.json"
    file.write_text(json.dumps({**dataclasses.asdict(record), "boot_id": "another"}))

    assert processes.stop("vllm") is False
    assert procfs.members(record.pid)
    os.killpg(record.pid, signal.SIGKILL)


def test_a_taken_port_names_its_holder_and_the_way_out(processes: Processes) -> None:
    """The message has the port, the pid that holds it and the variable that chooses another."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(StackError, match=rf"port {port} .*pid {os.getpid()} .*CUTOVER_VLLM_PORT=PORT"):
            start(processes, SLEEP, port)

    assert processes.states() == {}


def test_grandchildren_are_stopped_too(processes: Processes, free_port: FreePort) -> None:
    """vLLM's engine is a child of its server; both must go."""
    record = start(processes, shell("sleep 300 & sleep 300"), free_port())
    eventually(lambda: len(procfs.members(record.pid)) == 3)

    processes.stop("vllm")

    assert procfs.members(record.pid) == []


def test_what_ignores_the_polite_signal_is_killed(processes: Processes, free_port: FreePort) -> None:
    """After the grace comes SIGKILL."""
    record = start(processes, shell("trap '' TERM; echo deaf; while :; do sleep 1; done"), free_port())
    eventually(lambda: "deaf" in processes.last_lines(record))

    assert processes.stop("vllm", grace_s=0.2) is True
    assert procfs.members(record.pid) == []


def test_children_of_a_dead_leader_are_still_ours(processes: Processes, free_port: FreePort) -> None:
    """`kill -9` of the server leaves its engine behind; stop finds it."""
    record = start(processes, shell("sleep 300 & sleep 300"), free_port())
    eventually(lambda: len(procfs.members(record.pid)) == 3)
    os.kill(record.pid, signal.SIGKILL)
    eventually(lambda: processes.running("vllm") is None)

    assert processes.stop("vllm") is True
    assert procfs.members(record.pid) == []


def test_what_a_dead_leader_left_is_cleared_before_the_next_start(processes: Processes, free_port: FreePort) -> None:
    """As after `kill -9` of vLLM's server alone: its engine would keep the memory."""
    port = free_port()
    first = start(processes, shell("sleep 300 & sleep 300"), port)
    eventually(lambda: len(procfs.members(first.pid)) == 3)
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: processes.running("vllm") is None)
    second = start(processes, SLEEP, port)

    assert procfs.members(first.pid) == []
    assert processes.running("vllm") == second


def test_a_zombie_is_not_running(processes: Processes, free_port: FreePort) -> None:
    """Its parent, this test, has not looked at it yet; it is dead all the same."""
    record = start(processes, ("/bin/true",), free_port())
    eventually(lambda: processes.running("vllm") is None)
    left = procfs.stat(record.pid)

    assert left is not None
    assert left.state == "Z"
    assert processes.states()["vllm"].alive is False


def test_ctrl_c_between_spawn_and_record_leaves_no_orphan(tmp_path: Path, free_port: FreePort) -> None:
    """The interrupt is delivered after the record is written, so that `down` knows the process."""

    def interrupted(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
        pid = spawn(argv, env, log)
        signal.raise_signal(signal.SIGINT)
        return pid

    processes = Processes(home=tmp_path, spawn=interrupted)

    with pytest.raises(KeyboardInterrupt):
        start(processes, SLEEP, free_port())

    assert processes.states()["vllm"].alive is True
    assert processes.stop("vllm") is True


def test_a_process_that_cannot_be_recorded_is_not_left_running(tmp_path: Path, free_port: FreePort) -> None:
    """A full disk at the moment of recording must not make an orphan."""
    pids: list[int] = []

    def remembering(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
        pids.append(spawn(argv, env, log))
        return pids[-1]

    processes = Processes(home=tmp_path, spawn=remembering)
    (tmp_path / "run/vllm.json.aside").mkdir(parents=True)

    with pytest.raises(StackError, match="cannot start vllm"):
        start(processes, SLEEP, free_port())

    assert procfs.members(pids[0]) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "null", "\xff"])
def test_a_damaged_record_is_reported_not_raised(processes: Processes, text: str) -> None:
    """Looking never fails; stopping says what to do, and stops nothing."""
    file = processes.home / "run/vllm.json"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="latin-1")

    assert "is damaged" in processes.states()["vllm"].problem
    with pytest.raises(StackError, match="nothing was stopped"):
        processes.stop("vllm")


def test_a_record_with_a_wild_pid_is_damaged(processes: Processes, free_port: FreePort) -> None:
    """Pid 0 and pid 1 would be everybody."""
    record = start(processes, SLEEP, free_port())
    file = processes.home / "run/vllm.json"
    good = file.read_text()
    for pid in (0, 1, -1, "7", True):
        file.write_text(json.dumps({**dataclasses.asdict(record), "pid": pid}))
        assert "is damaged" in processes.states()["vllm"].problem
    file.write_text(good)


def test_a_missing_program_is_named(processes: Processes, free_port: FreePort) -> None:
    """The message holds the program and why it cannot be started."""
    with pytest.raises(StackError, match=r"/no/such/engine.*No such file"):
        start(processes, ("/no/such/engine",), free_port())


def test_children_can_be_interrupted(processes: Processes, free_port: FreePort) -> None:
    """What we hold back for a moment is not held back in the child."""
    record = start(
        processes, (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(300)"), free_port()
    )
    eventually(lambda: "up" in processes.last_lines(record))
    os.kill(record.pid, signal.SIGINT)

    eventually(lambda: processes.running("vllm") is None)


def test_only_its_own_lines_are_quoted(processes: Processes, free_port: FreePort) -> None:
    """The log is appended to; an older run's lines would mislead."""
    for word in ("first", "second"):
        record = start(processes, shell(f"echo {word}"), free_port())
        eventually(lambda: processes.running("vllm") is None)  # it is over

    assert processes.last_lines(record) == "second"


def test_a_process_outlives_the_command_that_started_it(tmp_path: Path, free_port: FreePort) -> None:
    """Another command, later, finds and stops it."""
    script = (
        "import os, sys; from pathlib import Path; from services.stack.processes import Processes; "
        "Processes(home=Path(sys.argv[1])).start('vllm', ['/bin/sleep', '300'], env=os.environ, "
        "port=int(sys.argv[2]), port_variable='X')"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path), str(free_port())], check=True)
    processes = Processes(home=tmp_path)

    assert processes.states()["vllm"].alive is True
    assert processes.stop("vllm") is True
