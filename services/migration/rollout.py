"""Writes the rollout file that services watch, always as a projection of the ledger; holds the controller's lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from services.llm.rollout import FILE_NAME, Rollout, RolloutError, Standing, dump, parse
from services.migration import ledger
from services.migration.errors import LockHeld, StateError, Superseded

LOCK_NAME, GATE_LOCK_NAME = "migrate.lock", "gate.lock"


def write_aside(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old or the new one, whole, whatever happens. Raises `StateError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)  # the services may run as another user
                os.fsync(file.fileno())
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as exc:
        raise StateError(f"cannot write {path}: {exc.strerror}; what was there is untouched") from exc


def _sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stored(state_dir: Path) -> tuple[Rollout, str | None]:
    """The rollout file and what is wrong with it: nonsense counts as everything on Ollama."""
    path = state_dir / FILE_NAME
    try:
        return parse(path.read_text(), where=str(path)), None
    except FileNotFoundError:
        return Rollout(), None
    except (OSError, UnicodeDecodeError, RolloutError) as exc:
        return Rollout(), str(exc)


def rebuilt(state_dir: Path, found: ledger.Reading) -> Rollout:
    """What the rollout file should say: the ledger's last word on each service, and the file's where it has none."""
    services = dict(stored(state_dir)[0].services)
    for entry in found.entries:
        if entry.act is None:
            services[entry.service] = entry.target
    return Rollout(services=services)


def standing(state_dir: Path, service: str) -> Standing:
    """Where a service stands, by the ledger."""
    return rebuilt(state_dir, ledger.read(state_dir / ledger.FILE_NAME)).standing(service)


def project(state_dir: Path) -> Rollout:
    """Bring the rollout file into line with the ledger; again if somebody wrote a line meanwhile."""
    path = state_dir / ledger.FILE_NAME
    while True:
        found = ledger.read(path)
        rollout = rebuilt(state_dir, found)
        write_aside(state_dir / FILE_NAME, dump(rollout))
        if ledger.read(path).seq == found.seq:
            return rollout


def move(
    state_dir: Path, entry: ledger.Entry, *, expected: int | None, clock: Callable[[], str] = ledger.now
) -> ledger.Entry:
    """Ledger first, then the act.

    `expected` is the number of the service's last line as the caller knows it; a newer one raises `Superseded`.
    None (a rollback) moves whatever stands there, even past a holder that is stuck.
    """
    path = state_dir / ledger.FILE_NAME
    with ledger.held(path) as mine:
        last = ledger.read(path).last(entry.service)
        if expected is not None and (not mine or (last.seq if last else 0) != expected):
            raise Superseded(_superseded(entry.service, last))
        written = ledger.append(path, entry, at=clock())
        project(state_dir)
    return written


def _superseded(service: str, last: ledger.Entry | None) -> str:
    if last is None:
        return f"another command is moving {service}; see `cutover history {service}`"
    return (
        f"{last.actor} moved {service} to {last.target.stage} meanwhile ({'; '.join(last.reasons)}); it is left there, "
        f"see `cutover history {service}`"
    )


def controller_lock(
    state_dir: Path, *, service: str, clock: Callable[[], str] = ledger.now
) -> contextlib.AbstractContextManager[None]:
    """Only one controller at a time. Raises `LockHeld` with its pid; a dead holder's lock is free by itself."""
    return _alone(state_dir / LOCK_NAME, verb="migrate", service=service, clock=clock)


def watch_lock(
    state_dir: Path, *, service: str, clock: Callable[[], str] = ledger.now
) -> contextlib.AbstractContextManager[None]:
    """Only one guard of a service's holdback. Not the lock of all moves: a day is too long to keep others from moving.

    A guard and a controller may both see the same; only the first to write the ledger acts, see `move`.
    """
    return _alone(state_dir / f"watch-{service}.lock", verb=f"migrate {service} --watch", service=service, clock=clock)


def gate_lock(
    state_dir: Path, *, service: str, verb: str = "gate", clock: Callable[[], str] = ledger.now
) -> contextlib.AbstractContextManager[None]:
    """Only one measurement at a time, of any service: two would load each other's engines and share a raw file."""
    return _alone(state_dir / GATE_LOCK_NAME, verb=verb, service=service, clock=clock)


@contextlib.contextmanager
def _alone(path: Path, *, verb: str, service: str, clock: Callable[[], str]) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as exc:
        raise StateError(f"cannot open {path}: {exc.strerror}; is CUTOVER_STATE_DIR writable?") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise _holder(file, verb) from exc
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "since": clock(), "service": service, "verb": verb}) + "\n")
        file.flush()
        yield
        file.truncate(0)


def _holder(file: IO[str], verb: str) -> LockHeld:
    file.seek(0)
    try:
        told = json.loads(file.read())
        return LockHeld(verb=str(told.get("verb", verb)), pid=int(told["pid"]), since=str(told["since"]))
    except (ValueError, KeyError, TypeError):
        return LockHeld(verb=verb, pid=None, since="")
