"""Asks a service to record its own requests, follows it, and finds, shows and deletes what was recorded."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from services.migration.errors import EngineUnreachable, RecordingError, StateError
from services.migration.rollout import write_aside
from services.recording import account
from services.recording.account import Account, AccountError
from services.recording.redaction import PatternError, checked
from services.recording.ticket import (
    FOLDER,
    MAX_MINUTES,
    Ticket,
    TicketError,
    account_path,
    dump,
    parse,
    requests_path,
    ticket_path,
)

ANSWER_S, BEGIN_S, END_S, LOOK_S = 3.0, 5.0, 3.0, 0.5
"""Seconds: for a service's status, for it to begin, for it to end after the ticket is gone, between two looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording on disk. `account` is None where the service could not write it any more."""

    id: str
    path: Path
    account: Account | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One request as a recipe's item has it: redacted, without gold."""

    id: str
    body: Mapping[str, Any]


def patterns(path: Path) -> tuple[str, ...]:
    """A person's own patterns: one of RE2 a line, `#` begins a comment line. Raises `RecordingError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return checked([line for line in lines if line.strip() and not line.startswith("#")])
    except (OSError, UnicodeDecodeError) as exc:
        raise RecordingError(f"cannot read the patterns of {path}: {exc}") from exc
    except PatternError as exc:
        raise RecordingError(f"{path}: {exc}") from exc


def ticket(
    service: str, *, by: str, now: datetime, minutes: float, requests: int, share: float, own: Sequence[str]
) -> Ticket:
    """A new ticket. Raises `RecordingError` where a bound is out of range."""
    if not 0 < minutes <= MAX_MINUTES:  # also refuses nan
        raise RecordingError(f"cannot record for {minutes} minutes; ask for more than 0 and at most {MAX_MINUTES}")
    made = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    until = (now + timedelta(minutes=minutes)).isoformat(timespec="seconds")
    try:
        return Ticket(
            id=made, service=service, by=by, at=now.isoformat(timespec="seconds"), until=until, requests=requests,
            share=share, patterns=tuple(own),
        )  # fmt: skip
    except ValueError as exc:
        raise RecordingError(f"cannot record like this: {exc}") from exc


def status(url: str, token: str, service: str) -> Mapping[str, Any]:
    """What the service itself says about recording. Raises `EngineUnreachable`."""
    try:
        answer = httpx2.get(
            f"{url}/api/admin/status", headers={"Authorization": f"Bearer {token}"}, timeout=ANSWER_S, trust_env=False
        )
        found = answer.raise_for_status().json()["recording"]
    except httpx2.HTTPStatusError as exc:
        raise EngineUnreachable(
            f"{service} at {url} answers {exc.response.status_code}; does it run with this ADMIN_TOKEN?"
        ) from exc
    except (httpx2.HTTPError, ValueError) as exc:
        raise EngineUnreachable(
            f"{service} does not answer at {url} ({type(exc).__name__}); `cutover up` starts it, nothing is recorded"
        ) from exc
    except (KeyError, TypeError) as exc:
        raise EngineUnreachable(
            f"{service} at {url} is of a version that cannot record; restart it with `cutover down` and `cutover up`"
        ) from exc
    return dict(found)


def ask(state_dir: Path, asked: Ticket, *, now: datetime) -> None:
    """Put the ticket where the service watches. Raises `RecordingError` where one is at work already."""
    path = ticket_path(state_dir, asked.service)
    held = _held(state_dir, asked.service)
    if held is not None and now < datetime.fromisoformat(held.until) and not _ended(state_dir, held):
        raise RecordingError(
            f"{asked.service} is already recorded for {held.by} since {held.at}, until {held.until}; look with "
            f"`cutover record {asked.service} --show`, end it with `cutover record {asked.service} --stop`"
        )
    write_aside(path, dump(asked))


def withdraw(state_dir: Path, service: str, ticket_id: str | None = None) -> bool:
    """Take the ticket away, only the one named where one is. False where there was none."""
    path = ticket_path(state_dir, service)
    held = _held(state_dir, service)
    if ticket_id is not None and held is not None and held.id != ticket_id:
        return False
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise StateError(f"cannot remove {path}: {exc.strerror}; the recording ends at its bounds") from exc
    return True


def begun(state_dir: Path, asked: Ticket, *, sleep: Callable[[float], None] = time.sleep) -> Account | None:
    """The account that the service begins with; None where it did not see the ticket in time."""
    return _waited(lambda: progress(state_dir, asked), BEGIN_S, sleep)


def follow(
    state_dir: Path,
    asked: Ticket,
    *,
    on_progress: Callable[[Account], None],
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when the recording has ended, or when it is over by its ticket and nobody says so."""
    over = datetime.fromisoformat(asked.until) + timedelta(seconds=END_S)
    while now() < over:
        current = progress(state_dir, asked)
        if current is not None:
            on_progress(current)
            if current.ended:
                return
        if _held(state_dir, asked.service) != asked:
            return  # stopped from elsewhere
        sleep(LOOK_S)


def ended(state_dir: Path, asked: Ticket, *, sleep: Callable[[float], None] = time.sleep) -> Account | None:
    """The last account, waited for a little after the ticket is gone."""

    def final() -> Account | None:
        found = progress(state_dir, asked)
        return found if found is not None and found.ended else None

    return _waited(final, END_S, sleep) or progress(state_dir, asked)


def progress(state_dir: Path, asked: Ticket) -> Account | None:
    """How far it is. Raises `RecordingError` where the account cannot be read."""
    return _account(account_path(state_dir, asked.service, asked.id))


def recordings(state_dir: Path, service: str) -> list[Recording]:
    """Every recording of a service, oldest first."""
    found = []
    for path in sorted((state_dir / FOLDER).glob(f"{service}-*.jsonl")):
        ticket_id = path.stem.removeprefix(f"{service}-")
        found.append(Recording(id=ticket_id, path=path, account=_account(account_path(state_dir, service, ticket_id))))
    return found


def latest(state_dir: Path, service: str) -> Recording:
    """The newest recording. Raises `RecordingError` where there is none."""
    found = recordings(state_dir, service)
    if not found:
        raise RecordingError(
            f"nothing of {service} is recorded in {state_dir / FOLDER}; run `cutover record {service}`"
        )
    return found[-1]


def read(path: Path) -> list[Recorded]:
    """The requests of a recording, or of a reviewed copy. Raises `RecordingError` with the line at fault.

    A last line without its line break is one that is being written, or that a killed process left; it is not read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise RecordingError(f"cannot read {path}: {exc}; it is readable to the user of the service alone") from exc
    lines = text.split("\n")
    whole = lines if _is_object(lines[-1]) else lines[:-1]
    return [_item(line, f"{path}:{number}") for number, line in enumerate(whole, 1) if line.strip()]


def delete(state_dir: Path, service: str) -> list[Path]:
    """Delete every recording of a service, its accounts too. What was deleted, in order."""
    gone = []
    for path in sorted((state_dir / FOLDER).glob(f"{service}-*")):
        try:
            path.unlink()
        except OSError as exc:
            raise StateError(f"cannot delete {path}: {exc.strerror}; delete it by hand") from exc
        gone.append(path)
    return gone


def closed(held: Recording, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait a little until the service has let go of a recording whose ticket is gone."""

    def final() -> Account | None:
        found = _account(held.path.with_suffix(".account.json"))
        return found if found is None or found.ended else None

    if held.account is not None and not held.account.ended:
        _waited(final, END_S, sleep)


def stored_at(state_dir: Path, asked: Ticket) -> Path:
    """Where the requests of a ticket are written."""
    return requests_path(state_dir, asked.service, asked.id)


def _held(state_dir: Path, service: str) -> Ticket | None:
    """The ticket that lies there; one that cannot be read is none, for the service as well."""
    path = ticket_path(state_dir, service)
    try:
        return parse(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError, TicketError):
        return None


def _ended(state_dir: Path, held: Ticket) -> bool:
    current = progress(state_dir, held)
    return current is not None and bool(current.ended)


def _account(path: Path) -> Account | None:
    try:
        return account.read(path)
    except (OSError, AccountError) as exc:
        raise RecordingError(f"cannot read {path}: {exc}; it is readable to the user of the service alone") from exc


def _waited(look: Callable[[], Account | None], limit_s: float, sleep: Callable[[float], None]) -> Account | None:
    for _ in range(int(limit_s / LOOK_S)):
        found = look()
        if found is not None:
            return found
        sleep(LOOK_S)
    return look()


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _item(line: str, where: str) -> Recorded:
    try:
        found = json.loads(line)
        if set(found) != {"id", "body"} or not isinstance(found["id"], str) or not isinstance(found["body"], dict):
            raise ValueError('a line is {"id": "...", "body": {...}}')
    except (ValueError, TypeError) as exc:
        raise RecordingError(f"{where}: not a recorded request ({exc}); mend or delete the line") from exc
    return Recorded(id=found["id"], body=found["body"])
