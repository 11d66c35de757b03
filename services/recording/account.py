"""The account of one recording: how far it is, what was left out, why it ended. Readable to its owner alone."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a recording came to. Times in seconds; `ended` is empty while it goes on, else the reason.

    `seen` counts every request of the endpoint, recorded or not; `mean_in_flight` and `peak_in_flight` are of those.
    """

    id: str
    service: str
    begun: str
    until: str
    wanted: int
    recorded: int = 0
    bytes: int = 0
    seen: int = 0
    seconds: float = 0.0
    mean_in_flight: float = 0.0
    peak_in_flight: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    redacted: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""

    @property
    def rate_per_s(self) -> float:
        """Requests a second, recorded or not."""
        return self.seen / self.seconds if self.seconds else 0.0


class AccountError(ValueError):
    """The file is not an account. The message names it."""


def read(path: Path) -> Account | None:
    """The account at `path`; None where there is none. Raises `AccountError`, `OSError`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document.pop("version") != SCHEMA_VERSION:
            raise ValueError(f"its version is not {SCHEMA_VERSION}")
        return Account(**document)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise AccountError(f"{path} is not the account of a recording ({exc})") from exc


def write(path: Path, account: Account) -> None:
    """Replace the file at once. Raises `OSError`; what was there is then untouched."""
    text = json.dumps({"version": SCHEMA_VERSION, **asdict(account)}, indent=2) + "\n"
    write_private(path, text)


def write_private(path: Path, text: str) -> None:
    """Write aside, fsync, rename: whole or not at all, and readable to its owner alone. Raises `OSError`."""
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
