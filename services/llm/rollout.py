"""The rollout file as the client reads it: where each service stands and what share goes to vLLM first.

`services/migration/rollout.py` writes it. A file that cannot be read never takes a service down: the last good one
stays in force (at first start: everything on Ollama), and the problem is told by `problem`.
"""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE_NAME = "rollout.json"
SCHEMA_VERSION = 1

HOLDBACK_VERSION = 2
"""Written while some service's full leaves out a holdback, which readers of version 1 take for nonsense: those keep the
last good file, a canary, and say so."""


class Stage(enum.StrEnum):
    """Where a service stands on its way."""

    OLLAMA = "ollama"
    CANARY = "canary"
    FULL = "full"
    ROLLED_BACK = "rolled_back"


class RolloutError(Exception):
    """The rollout file is not what Cutover writes. The message names the file, the fault and the next command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One service's place. `share` is the part of requests, 0..1, that ask vLLM first; `demo` marks a shown move.

    In `full` that is all, or all but a holdback: the few who ask Ollama first as a control, less than half.
    """

    stage: Stage = Stage.OLLAMA
    share: float = 0.0
    verdict: str | None = None
    demo: bool = False

    def __post_init__(self) -> None:
        fits = {
            Stage.OLLAMA: self.share == 0.0,
            Stage.CANARY: 0.0 <= self.share <= 1.0,
            Stage.FULL: 0.5 < self.share <= 1.0,
            Stage.ROLLED_BACK: self.share == 0.0,
        }
        if not fits[self.stage]:
            raise ValueError(f"share {self.share} does not go with stage {self.stage}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Every service's place; one that is not named stands on Ollama."""

    services: Mapping[str, Standing] = field(default_factory=dict)

    def standing(self, service: str) -> Standing:
        return self.services.get(service, Standing())


def parse(text: str, *, where: str) -> Rollout:
    """Read a rollout document. Raises `RolloutError` on anything that Cutover would not have written."""
    try:
        document: dict[str, Any] = json.loads(text)
        if document["version"] not in (SCHEMA_VERSION, HOLDBACK_VERSION):
            raise ValueError(f"version {document['version']!r}, expected {SCHEMA_VERSION} or {HOLDBACK_VERSION}")
        services = {
            name: Standing(
                stage=Stage(entry["stage"]),
                share=float(entry["share"]),
                verdict=entry["verdict"],
                demo=bool(entry["demo"]),
            )
            for name, entry in document["services"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RolloutError(
            f"{where} is not a rollout file ({exc!r}); `cutover rollback SERVICE` writes it anew from the ledger"
        ) from exc
    return Rollout(services=services)


def dump(rollout: Rollout) -> str:
    """The document that `parse` reads."""
    services = {
        name: {"stage": s.stage, "share": s.share, "verdict": s.verdict, "demo": s.demo}
        for name, s in sorted(rollout.services.items())
    }
    held = any(s.stage is Stage.FULL and s.share < 1.0 for s in rollout.services.values())
    version = HOLDBACK_VERSION if held else SCHEMA_VERSION
    return json.dumps({"version": version, "services": services}, indent=2) + "\n"


class RolloutWatch:
    """The current rollout, re-read when the file changed, looked at no more than every `every_s` seconds."""

    def __init__(self, path: Path, *, every_s: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._every_s = every_s
        self._clock = clock
        self._looked_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._rollout = Rollout()
        self.problem: str | None = None

    def current(self) -> Rollout:
        """The rollout in force."""
        now = self._clock()
        if now - self._looked_at >= self._every_s:
            self._looked_at = now
            self._look()
        return self._rollout

    def _look(self) -> None:
        try:
            stat = self._path.stat()
            identity = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if identity == self._seen:
                return
            self._rollout = parse(self._path.read_text(), where=str(self._path))
            self._seen = identity
            self.problem = None
        except FileNotFoundError:
            self._rollout, self._seen, self.problem = Rollout(), None, None
        except (OSError, UnicodeDecodeError, RolloutError) as exc:
            self.problem = str(exc)
