"""One recording under way: redacts, appends, counts, and knows when it is over. Lives in the writer's thread."""

from __future__ import annotations

import enum
import fcntl
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.recording import account
from services.recording.account import Account
from services.recording.redaction import Redactor
from services.recording.ticket import MAX_MINUTES, Ticket, account_path, requests_path
from services.recording.traffic import Traffic


class Taken(enum.StrEnum):
    """What became of a request that the recording saw."""

    RECORDED = "recorded"
    DROPPED = "dropped"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class AlreadyEnded(ValueError):
    """The recording of this ticket is over; its ticket was left behind by a command that was killed."""


class Session:
    """Opened for a ticket, closed with a reason. A restarted service goes on where the file ends."""

    def __init__(self, ticket: Ticket, state_dir: Path, *, now: datetime, started_s: float) -> None:
        """Raises `OSError` where the file cannot be made or another process records into it, `AlreadyEnded`."""
        self.ticket = ticket
        self.traffic = Traffic(started_s)
        self._begun = now.isoformat(timespec="seconds")
        left_s = (datetime.fromisoformat(ticket.until) - now).total_seconds()
        self._deadline_s = started_s + min(left_s, MAX_MINUTES * 60)  # from here on no wall clock that jumps
        self._redactor = Redactor(ticket.patterns)
        self._left_out = Counter(dict.fromkeys(Taken, 0))  # never grows: two threads count
        self._account_path = account_path(state_dir, ticket.service, ticket.id)
        before = account.read(self._account_path)
        if before is not None and before.ended:
            raise AlreadyEnded(f"the recording {ticket.id} has ended: {before.ended}")
        path = requests_path(state_dir, ticket.service, ticket.id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recorded, self._bytes = _resumed(self._file)
            self._told = self._account(started_s, "")
            account.write(self._account_path, self._told)
        except BaseException:
            os.close(self._file)
            raise

    def take(self, body: bytes) -> Taken:
        """Redact `body` and append it. Raises `OSError` where the disk does not take it; the file stays as it was."""
        try:
            found = json.loads(body)
            if not isinstance(found, dict):
                raise ValueError("not an object")
            redacted = self._redactor.body(found)
        except (ValueError, RecursionError):  # not UTF-8, not JSON, or with no bound to its redaction
            return self.left_out(Taken.UNREADABLE)
        self._append(_line(self._recorded + 1, redacted))
        return Taken.RECORDED

    def left_out(self, why: Taken) -> Taken:
        """Count a request that is not recorded."""
        self._left_out[why] += 1
        return why

    def over(self, now_s: float) -> str:
        """Why the recording is over; empty while it is not."""
        if self._recorded >= self.ticket.requests:
            return "as many requests as asked for"
        if self._bytes >= self.ticket.total_bytes:
            return f"{self.ticket.total_bytes} bytes, the most that one recording may hold"
        return "the time is up" if now_s >= self._deadline_s else ""

    def tell(self, now_s: float, ended: str = "") -> None:
        """Bring the account up to date where something changed. Raises `OSError`."""
        current = self._account(now_s, ended)
        if ended or current.seen != self._told.seen or current.left_out != self._told.left_out:
            account.write(self._account_path, current)
            self._told = current

    def close(self, now_s: float, reason: str) -> None:
        """End it. Raises `OSError` where the account cannot be written; the file is closed all the same."""
        try:
            os.fsync(self._file)
            self.tell(now_s, reason)
        finally:
            os.close(self._file)

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self._file, end)  # a torn line would make the whole file unreadable
            raise
        self._recorded += 1
        self._bytes += len(line)

    def _account(self, now_s: float, ended: str) -> Account:
        traffic = self.traffic.reading(now_s)
        return Account(
            id=self.ticket.id,
            service=self.ticket.service,
            begun=self._begun,
            until=self.ticket.until,
            wanted=self.ticket.requests,
            recorded=self._recorded,
            bytes=self._bytes,
            seen=traffic.seen,
            seconds=round(traffic.seconds, 3),
            mean_in_flight=round(traffic.mean_in_flight, 3),
            peak_in_flight=traffic.peak_in_flight,
            left_out={str(why): count for why, count in self._left_out.items() if count},
            redacted=self._redactor.counts,
            ended=ended,
        )


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def _line(number: int, body: Mapping[str, Any]) -> bytes:
    return (json.dumps({"id": f"q{number:05d}", "body": body}, ensure_ascii=False) + "\n").encode()


def _resumed(file: int) -> tuple[int, int]:
    """Lines and bytes that are there already; a last line that a killed process left torn is cut off."""
    with os.fdopen(os.dup(file), "rb") as held:
        data = held.read()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.ftruncate(file, len(whole))
    return whole.count(b"\n"), len(whole)
