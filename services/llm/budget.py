"""What a service may spend at a paid provider in one day, kept in a file, so that a restart does not begin anew.

A reservation is made before the prompt goes out and settled when it is known what was used. Whoever is killed between
has spent all of it: what is not known counts as spent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.llm.errors import BudgetError

SCHEMA_VERSION = 1
LOG = logging.getLogger("cutover.llm.budget")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Tokens set aside, and the day (UTC) that they count for."""

    day: str
    tokens: int


class Budget:
    """`per_day` tokens, in and out together, for one service and day (UTC). Processes may share the file.

    Its few milliseconds on the disk are spent in the event loop: only a last resort pays them.
    """

    def __init__(self, path: Path, *, per_day: int, provider: str, now: Callable[[], datetime] = utc_now) -> None:
        self.per_day = per_day
        self._path = path
        self._provider = provider
        self._now = now

    def reserve(self, tokens: int) -> Reservation:
        """Set `tokens` aside. Raises `BudgetError` where they are not left, or where nobody can tell."""
        with self._locked() as day:
            spent = self._spent(day)
            if spent + tokens > self.per_day:
                detail = (
                    f"{spent} of {self.per_day} tokens of {day} (UTC) are spent and this request may need {tokens}; "
                    "raise ANTHROPIC_TOKENS_PER_DAY or wait for tomorrow"
                )
                raise BudgetError(detail, provider=self._provider)
            self._write(day, spent + tokens)
            return Reservation(day=day, tokens=tokens)

    def settle(self, reserved: Reservation, used: int) -> None:
        """Put `used` tokens in the place of what was set aside. A problem is logged: the reservation then stands."""
        try:
            with self._locked() as day:
                if day == reserved.day:
                    self._write(day, max(0, self._spent(day) - reserved.tokens + used))
        except BudgetError as exc:
            LOG.error("budget.settle_failed %s", exc)

    def spent(self) -> int:
        """Tokens spent or set aside today. Raises `BudgetError` where nobody can tell."""
        with self._locked() as day:
            return self._spent(day)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[str]:
        """Hold the file against other processes; gives the day, read while it is held."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield self._now().date().isoformat()
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _spent(self, day: str) -> int:
        """From the file; nothing where there is none, or where it is of a day before."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            if told["version"] != SCHEMA_VERSION or int(told["spent"]) < 0:
                raise ValueError(f"version {told['version']!r}, spent {told['spent']!r}")
            return int(told["spent"]) if str(told["day"]) >= day else 0
        except FileNotFoundError:
            return 0
        except (ValueError, KeyError, TypeError) as exc:
            raise self._unusable(exc) from exc

    def _write(self, day: str, spent: int) -> None:
        aside = self._path.with_suffix(".new")
        with aside.open("w", encoding="utf-8") as file:
            json.dump({"version": SCHEMA_VERSION, "day": day, "spent": spent}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    def _unusable(self, exc: Exception) -> BudgetError:
        detail = f"{self._path} does not tell what is spent ({exc!r}), so nothing may be; remove it to begin today anew"
        LOG.error("budget.unusable %s", detail)
        return BudgetError(detail, provider=self._provider)
