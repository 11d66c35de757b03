"""Background processes that outlive the command which started them: started, recorded, inspected, stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.stack import procfs
from services.stack.errors import StackError
from services.stack.interrupts import held

POLL_S = 0.1
KILL_S = 10.0

Spawn = Callable[[Sequence[str], Mapping[str, str], Path], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What we know of a process that we started. `log_start` is where its own lines begin in the log."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    argv: list[str]
    port: int
    log: str
    log_start: int
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A record, and whether its process still lives. `problem` says why a record cannot be read."""

    name: str
    pid: int = 0
    alive: bool = False
    port: int = 0
    log: str = ""
    uptime_s: float = 0.0
    problem: str = ""


def spawn(argv: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Start `argv` as the leader of a new session, output appended to `log`. Returns its pid at once."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(argv[0], list(argv), env, file_actions=actions, setsid=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of one CUTOVER_HOME: a record each in `run/`, a log each in `logs/`."""

    home: Path
    spawn: Spawn = spawn
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def start(self, name: str, argv: Sequence[str], *, env: Mapping[str, str], port: int, port_variable: str) -> Record:
        """Start a process under `name`. Raises `StackError` where it runs already or its port is taken."""
        old = self._read(name)
        if isinstance(old, Record) and self._leader(old):
            raise StackError(f"{name} runs already, pid {old.pid}; see it with `cutover status`")
        if isinstance(old, Record):
            self.stop(name, grace_s=0)  # what a leader that died has left behind
        check_port(name, port, port_variable)
        log = self.home / "logs" / f"{name}.log"
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            log_start = log.stat().st_size if log.exists() else 0
            with held():  # between spawn and record nobody would know the process
                pid = self.spawn(argv, env, log)
                return self._record(name, pid, argv, port, log, log_start)
        except OSError as exc:
            raise StackError(f"cannot start {name} ({argv[0]}): {exc.strerror}; log {log}") from exc

    def running(self, name: str) -> Record | None:
        """The record of `name` while its process lives."""
        record = self._read(name)
        return record if isinstance(record, Record) and self._leader(record) else None

    def stop(self, name: str, grace_s: float = 10.0) -> bool:
        """End the process with all its children: ask first, after `grace_s` by force. False: already stopped."""
        record = self._read(name)
        if record is None:
            return False
        if isinstance(record, str):
            raise StackError(f"{record}; nothing was stopped for it: look with `ps -ef`, then delete that file")
        was_there = bool(self._remains(record))
        if not (self._end(record, signal.SIGTERM, grace_s) or self._end(record, signal.SIGKILL, KILL_S)):
            left = ", ".join(f"{s.pid} {s.name}" for s in self._remains(record))
            raise StackError(f"{name} cannot be stopped; still there: {left}; see `ps -ef`, log {record.log}")
        self._file(name).unlink(missing_ok=True)
        return was_there

    def last_lines(self, record: Record, count: int = 8) -> str:
        """The end of what the process itself has logged."""
        try:
            with Path(record.log).open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(record.log_start, size - 20_000))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as exc:
            return f"(cannot read {record.log}: {exc.strerror})"
        return "\n".join(lines[-count:]) or "(nothing logged)"

    def states(self) -> dict[str, ProcessState]:
        """Every record by name; one that cannot be read is reported, not raised."""
        return {file.stem: self._state(file.stem) for file in sorted(self._file("x").parent.glob("*.json"))}

    def _state(self, name: str) -> ProcessState:
        record = self._read(name)
        if not isinstance(record, Record):
            return ProcessState(name=name, problem=record or "")
        leader = self._leader(record)
        return ProcessState(
            name=name,
            pid=record.pid,
            alive=leader is not None,
            port=record.port,
            log=record.log,
            uptime_s=procfs.uptime_s(leader) if leader else 0.0,
        )

    def _file(self, name: str) -> Path:
        return self.home / "run" / f"{name}.json"

    def _read(self, name: str) -> Record | str | None:
        """The record, or a sentence about why it cannot be used, or None."""
        file = self._file(name)
        try:
            record = Record(**json.loads(file.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as exc:
            return f"the record {file} is damaged ({exc})"
        types_fit = all(type(getattr(record, f.name)).__name__ in str(f.type) for f in dataclasses.fields(record))
        return record if types_fit and record.pid > 1 else f"the record {file} is damaged (a value has the wrong type)"

    def _record(self, name: str, pid: int, argv: Sequence[str], port: int, log: Path, log_start: int) -> Record:
        started = procfs.stat(pid)
        record = Record(
            name=name,
            pid=pid,
            start_ticks=started.start_ticks if started else 0,
            boot_id=procfs.boot_id(),
            argv=list(argv),
            port=port,
            log=str(log),
            log_start=log_start,
            started_at=time.time(),
        )
        try:
            _write_aside(self._file(name), json.dumps(dataclasses.asdict(record), indent=1))
        except OSError:
            self._end(record, signal.SIGKILL, KILL_S)  # an unrecorded process could never be stopped by name
            raise
        return record

    def _leader(self, record: Record) -> procfs.Stat | None:
        found = procfs.stat(record.pid)
        return found if found and found.is_alive and self._is_it(record, found) else None

    def _remains(self, record: Record) -> list[procfs.Stat]:
        """Who is left of the process and its children, also after its own death.

        While a child lives the kernel gives the leader's pid to nobody, so a leader of another start means: all gone.
        """
        leader = procfs.stat(record.pid)
        if record.boot_id != procfs.boot_id() or (leader and not self._is_it(record, leader)):
            return []
        return procfs.members(record.pid)

    @staticmethod
    def _is_it(record: Record, found: procfs.Stat) -> bool:
        return found.start_ticks == record.start_ticks and record.boot_id == procfs.boot_id()

    def _end(self, record: Record, number: signal.Signals, wait_s: float) -> bool:
        for member in self._remains(record):
            _send(member.pid, number)
        deadline = self.clock() + wait_s
        while self._remains(record):
            if self.clock() > deadline:
                return False
            if number is signal.SIGKILL:  # also whoever was born meanwhile
                for member in self._remains(record):
                    _send(member.pid, number)
            self.sleep(POLL_S)
        _reap(record.pid)
        return True


def check_port(name: str, port: int, variable: str) -> None:
    """Raises `StackError` naming who holds the port and which variable chooses another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except OSError as exc:
            holder = procfs.listener(port)
            who = f"held by pid {holder.pid} ({holder.name})" if holder else f"not free ({exc.strerror})"
    raise StackError(f"port {port} for {name} is {who}; stop that, or choose another with {variable}=PORT")


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # gone meanwhile, which is what we want
        os.kill(pid, number)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # another command started it
        os.waitpid(pid, os.WNOHANG)


def _write_aside(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.aside")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
