"""Copies a store while its service writes: one moment of it, looked through before it is called a backup."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from services.store import sqlite
from services.store.errors import StoreError

LONGEST_S = 6 * 3600.0
"""How long `pg_dump` may take, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy that was made and read again. `kind` says how to use it: a SQLite file, or a dump for `pg_restore`."""

    path: Path
    kind: str
    bytes: int


def backup(url: str, name: str, target: Path, *, programs: Path | None = None) -> Backup:
    """Copy the store of the service `name` to `target`, which must not be there yet. Raises `StoreError`.

    `programs` is the folder of PostgreSQL's own `pg_dump` and `pg_restore` where they are not on the PATH.
    """
    if target.exists():
        raise _taken(target)
    address = sqlalchemy.make_url(url)
    try:
        with _part(target) as part:
            if address.get_backend_name() == "sqlite":
                kind = _copy_file(Path(address.database or ""), part)
            else:
                kind = _dump(address, name, part, programs)
            _settle(part, target)
    except OSError as exc:
        raise StoreError(f"cannot write {target}: {exc.strerror}", is_full=exc.errno == 28) from exc
    return Backup(path=target, kind=kind, bytes=target.stat().st_size)


def _taken(target: Path) -> StoreError:
    return StoreError(f"{target} is there already; name another file, or move it away")


@contextlib.contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A file beside `target` for this backup alone, that only its owner may read; it is gone in the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _copy_file(source: Path, part: Path) -> str:
    """SQLite's own online copy, then its own check of every page and key."""
    if not source.exists():
        raise StoreError(f"there is no store at {source} yet; its service makes it when it starts")
    driver = sqlite.driver()
    try:
        old = driver.connect(f"file:{source}?mode=ro", uri=True, timeout=sqlite.BUSY_S)
        with contextlib.closing(old), contextlib.closing(driver.connect(str(part))) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
            wrong = [row[0] for row in new.execute("PRAGMA integrity_check") if row[0] != "ok"]
            wrong += [
                f"a row of {row[0]} refers to none of {row[2]}" for row in new.execute("PRAGMA foreign_key_check")
            ]
    except driver.Error as exc:
        raise StoreError(f"cannot copy {source}: {exc}", is_full=sqlite.is_full(exc)) from exc
    if wrong:
        raise StoreError(f"the copy of {source} is not sound: {wrong[0]}; the store itself may not be either")
    return "sqlite"


def _dump(address: sqlalchemy.URL, name: str, part: Path, programs: Path | None) -> str:
    """`pg_dump` of the service's schema, as of one moment; `pg_restore` then reads the whole of it again."""
    with _connection(address) as conninfo:
        _run("pg_dump", programs, "--format=custom", f"--schema={name}", f"--file={part}", f"--dbname={conninfo}")
    _run("pg_restore", programs, "--file=/dev/null", str(part))
    return "pg_dump"


def _run(program: str, programs: Path | None, *arguments: str) -> None:
    found = shutil.which(program, path=None if programs is None else str(programs))
    if found is None:
        raise StoreError(f"{program} is not on the PATH; install PostgreSQL's client of the server's version")
    try:
        done = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise StoreError(f"{program} did not end within {LONGEST_S:.0f} s") from exc
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StoreError(f"{program} failed: {last}")


@contextlib.contextmanager
def _connection(address: sqlalchemy.URL) -> Iterator[str]:
    """The address for `pg_dump`; its password goes by a file that only we can read, never by an argument."""
    address = address.set(drivername="postgresql")
    if address.password is None:
        yield address.render_as_string()
        return
    with tempfile.NamedTemporaryFile("w", prefix="cutover-", encoding="utf-8") as secret:
        password = str(address.password).replace("\\", "\\\\").replace(":", "\\:")
        secret.write(f"*:*:*:*:{password}\n")
        secret.flush()
        query = {**address.query, "passfile": secret.name}
        here = (address.host, address.port, address.database, query)  # `set(password=None)` would keep the password
        yield sqlalchemy.URL.create("postgresql", address.username, None, *here).render_as_string()


def _settle(part: Path, target: Path) -> None:
    """Make the copy last, then give it its name: a file of that name is a whole backup.

    A name that was taken meanwhile is refused. Not by a hard link, which USB disks (exFAT) have not.
    """
    with part.open("rb") as written:
        os.fsync(written.fileno())
    try:
        target.touch(mode=0o600, exist_ok=False)
    except FileExistsError as exc:
        raise _taken(target) from exc
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
