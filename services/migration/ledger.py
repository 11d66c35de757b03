"""The ledger: every change of a standing, one line each, append-only, written before the act.

It is the truth; the rollout file is its projection. A torn last line, left by a crash, was never acted on: it is
dropped when read and cut off before the next line is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from services.llm.rollout import Stage, Standing
from services.migration.errors import LedgerError, StateError

FILE_NAME = "ledger.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change: who moved what from where to where, why, on which verdict. `evidence` holds counters and paths.

    With an `act` nothing was moved: something was done to an engine, whose name is in `service` (see `acts`).
    """

    service: str
    source: Standing
    target: Standing
    actor: str
    reasons: tuple[str, ...]
    verdict: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    act: str | None = None
    at: str = ""
    seq: int = 0

    @property
    def demo(self) -> bool:
        return self.target.demo


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The ledger as found. `problems` names lines that cannot be read; `sound` counts the bytes of whole lines."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    torn: bool = False
    sound: int = 0

    def last(self, service: str) -> Entry | None:
        return next((e for e in reversed(self.entries) if e.service == service), None)

    @property
    def seq(self) -> int:
        return max((e.seq for e in self.entries), default=0)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(path: Path) -> Reading:
    """All that can be read. Never raises for what is in the file, because a rollback must always work."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Reading()
    except OSError as exc:
        return Reading(problems=(f"{path}: {exc.strerror}",))
    return parse(data, where=str(path))


def parse(data: bytes, *, where: str) -> Reading:
    lines = data.split(b"\n")
    torn = lines.pop()
    entries, problems = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(_entry(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            problems.append(f"{where} line {number} cannot be read ({exc!r})")
    return Reading(entries=tuple(entries), problems=tuple(problems), torn=bool(torn), sound=len(data) - len(torn))


def trusted(path: Path) -> Reading:
    """The ledger, for an automatic move. Raises `LedgerError` if a whole line of it cannot be read."""
    found = read(path)
    if found.problems:
        raise LedgerError(
            f"{'; '.join(found.problems)}: nothing is moved on it; `cutover rollback SERVICE` still works, then move "
            f"{path} aside and start again"
        )
    return found


def history(path: Path, service: str | None = None) -> list[Entry]:
    """The entries of one service, or of all, oldest first."""
    return [e for e in read(path).entries if service in (None, e.service)]


def document(entry: Entry) -> dict[str, Any]:
    """An entry as its line and `cutover history --json` show it; `act` is there only where something was done."""
    done = {} if entry.act is None else {"act": entry.act}
    return {
        **done,
        "seq": entry.seq,
        "at": entry.at,
        "service": entry.service,
        "from": _place(entry.source),
        "to": _place(entry.target),
        "actor": entry.actor,
        "demo": entry.demo,
        "reasons": list(entry.reasons),
        "verdict": entry.verdict,
        "evidence": dict(entry.evidence),
    }


def _place(standing: Standing) -> dict[str, Any]:
    return {"stage": standing.stage, "share": standing.share, "verdict": standing.verdict, "demo": standing.demo}


def _standing(place: Mapping[str, Any]) -> Standing:
    return Standing(
        stage=Stage(place["stage"]), share=float(place["share"]), verdict=place["verdict"], demo=bool(place["demo"])
    )


def _entry(line: Mapping[str, Any]) -> Entry:
    return Entry(
        seq=int(line["seq"]),
        at=str(line["at"]),
        service=str(line["service"]),
        source=_standing(line["from"]),
        target=_standing(line["to"]),
        actor=str(line["actor"]),
        reasons=tuple(map(str, line["reasons"])),
        verdict=line["verdict"],
        evidence=dict(line["evidence"]),
        act=line.get("act"),
    )


@contextlib.contextmanager
def held(path: Path, *, tries: int = 50, sleep: Callable[[float], None] = time.sleep) -> Iterator[bool]:
    """Hold the ledger for one change, a matter of milliseconds. False if its holder is stuck (stopped by a signal).

    The lock ends with its holder's process, so a dead controller never holds it. Raises `StateError`.
    """
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as exc:
        raise not_ours(lock, exc) from exc
    with file:
        yield _locked(file, tries, sleep)


def not_ours(path: Path, exc: OSError) -> StateError:
    """Names who may write there, and how a service is taken back without any file."""
    return StateError(
        f"cannot open {path}: {exc.strerror}; its folder belongs to {_owner(path.parent)}: run the command again as "
        "that user, or pin the service without any file: set <SERVICE>_LLM_PROVIDER=ollama and start it again"
    )


def _owner(path: Path) -> str:
    """The user's name, the number where it has none here; who owns the nearest folder above one that is hidden."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
    except OSError:
        return _owner(path.parent)


def _locked(file: IO[str], tries: int, sleep: Callable[[float], None]) -> bool:
    for _ in range(tries):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sleep(0.1)
        else:
            return True
    return False


def append(path: Path, entry: Entry, *, at: str) -> Entry:
    """Write one line and wait until it is on disk. Call it while the ledger is `held`. Raises `StateError`."""
    found = read(path)
    written = replace(entry, seq=found.seq + 1, at=at)
    line = (json.dumps(document(written), sort_keys=True) + "\n").encode()
    try:
        with path.open("ab") as file:
            if found.torn:
                file.truncate(found.sound)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                _undo(path, found.sound)
                raise
    except OSError as exc:
        raise StateError(
            f"cannot write the ledger {path}: {exc.strerror}; nothing was moved, free space and repeat"
        ) from exc
    return written


def _undo(path: Path, sound: int) -> None:
    """Cut off a half-written line; where even that fails, reading drops it."""
    with contextlib.suppress(OSError):
        os.truncate(path, sound)
