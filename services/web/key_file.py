"""The file of API keys: written whole or not at all, and read again whenever it changed, without a restart."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from services.web.keys import Key, KeysError, dump, parse

log = logging.getLogger("cutover.web")

_Stamp = tuple[int, int, int, int]


class KeyFile:
    """The keys of one file for a service that runs. `is_given`: keys are wanted even where the file is not there yet.

    Once it was seen, its absence is an error: a file that somebody moved away must not open the door.
    """

    def __init__(self, path: Path, *, is_given: bool) -> None:
        self._path = path
        self._wanted = is_given
        self._stamp: _Stamp | None = None
        self._keys: tuple[Key, ...] = ()
        self._told = ""

    def keys(self) -> Sequence[Key] | None:
        """Who may ask now; None where no keys are set up. Raises `KeysError` where nobody can say."""
        try:
            return self._current()
        except KeysError as exc:
            self._stamp = None
            if str(exc) != self._told:
                self._told = str(exc)
                log.error("keys.unusable problem=%s; every /v1 request is refused until it is mended", exc)
            raise

    def look(self) -> None:
        """See at the start whether there is a file, so that its absence is an error from then on in every worker.

        One that cannot be used is told in the log and refuses every request, as at any other time; nothing stops here.
        """
        with contextlib.suppress(KeysError):
            self.keys()

    def _current(self) -> Sequence[Key] | None:
        stamp = _stamp(self._path)
        if stamp is None:
            if not self._wanted:
                return None
            raise KeysError(f"{self._path} is not there; `cutover keys add` makes it")
        self._wanted = True
        if stamp != self._stamp:
            self._keys, self._stamp, self._told = read(self._path), stamp, ""
            log.info("keys.read count=%d", len(self._keys))
        return self._keys


def read(path: Path) -> tuple[Key, ...]:
    """The keys of the file. Raises `KeysError`, which names the file."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise KeysError(f"{path} is not there; `cutover keys add` makes it") from exc
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise KeysError(f"cannot read {path}: {why}") from exc
    except KeysError as exc:
        raise KeysError(f"{path} is {exc}; mend it, or move it away and make new keys with `cutover keys add`") from exc


def change(path: Path, how: Callable[[tuple[Key, ...]], Sequence[Key]]) -> None:
    """Put what `how` makes of the keys in their place; two changes at once wait for each other. Raises `KeysError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            before = read(path) if path.exists() else ()
            _write(path, dump(how(before)))
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as exc:
        raise KeysError(f"cannot write {path}: {exc.strerror}; name another with CUTOVER_API_KEYS_FILE") from exc


def _write(path: Path, text: str) -> None:
    """Aside, fsync, rename; readable to its owner alone from the beginning, as `mkstemp` makes it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    aside = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _stamp(path: Path) -> _Stamp | None:
    """What changes when the file does; None where there is none. Raises `KeysError` where nobody may look."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise KeysError(f"cannot look at {path}: {exc.strerror}") from exc
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
