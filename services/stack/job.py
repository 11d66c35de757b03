"""What every step of `up` is given: settings, the children's environment, who watches, who may stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.settings import Settings
from services.stack.errors import StackError
from services.stack.processes import Processes, Record

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
PROJECT = REQUIREMENTS.parent


class Progress(Protocol):
    """Who is told what runs. Steps overlap, so each is named. Never called by two threads at once."""

    def begin(self, step: str, detail: str = "") -> None: ...
    def note(self, step: str, detail: str) -> None: ...
    def end(self, step: str, detail: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class Serial:
    """A `Progress` that several threads may call."""

    inner: Progress
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, step: str, detail: str = "") -> None:
        with self.lock:
            self.inner.begin(step, detail)

    def note(self, step: str, detail: str) -> None:
        with self.lock:
            self.inner.note(step, detail)

    def end(self, step: str, detail: str = "") -> None:
        with self.lock:
            self.inner.end(step, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One `up`. `started` lists the processes of this call, for it alone to take back when it fails."""

    settings: Settings
    env: Mapping[str, str]
    progress: Progress
    processes: Processes
    cancelled: threading.Event
    started: list[str]

    def noting(self, step: str) -> Callable[[str], None]:
        """A function that tells `progress` a line about `step`."""
        return lambda line: self.progress.note(step, line)

    def running(self, name: str, port: int, variable: str) -> Record | None:
        """The process that runs already. Raises `StackError` where it is on another port than the settings say."""
        record = self.processes.running(name)
        if record and record.port != port:
            raise StackError(
                f"{name} runs on port {record.port}, {variable} says {port}; `cutover down`, then `cutover up`"
            )
        return record

    def start(self, launch: Launch) -> Record:
        """Start a process of this call."""
        record = self.processes.start(
            launch.name, launch.argv, env=launch.env, port=launch.port, port_variable=launch.port_variable
        )
        self.started.append(launch.name)
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a process is started."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    port_variable: str
