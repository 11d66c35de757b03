"""Who is at work: the gate, the controller or the stack command that holds a lock file. Looks, and takes no lock.

Taking one to see whether it is free would, for that moment, turn away whoever wants it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.migration import rollout
from services.settings import SERVICES, Settings

LOCKS = Path("/proc/locks")


def at_work(settings: Settings, locks: Path = LOCKS) -> list[dict[str, Any]]:
    """Each living holder: `verb`, `pid`, and `service` and `since` where it says so."""
    files = [
        ("gate", settings.state_dir / rollout.GATE_LOCK_NAME),
        ("migrate", settings.state_dir / rollout.LOCK_NAME),
        *(("guard", settings.state_dir / f"watch-{service}.lock") for service in SERVICES),
        ("up or down", settings.home / "run" / "stack.lock"),
    ]
    held = _held(locks)
    found = []
    for verb, path in files:
        told = _told(path)
        if told is not None and told["pid"] in held.get(_inode(path), ()):
            found.append({"verb": verb, **told})
    return found


def _told(path: Path) -> dict[str, Any] | None:
    """What the holder wrote; None where nobody has, or it cannot be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if isinstance(told, int):
        told = {"pid": told}
    if not isinstance(told, dict) or not isinstance(told.get("pid"), int):
        return None
    return {key: told.get(key) for key in ("pid", "service", "since")}


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _held(locks: Path) -> dict[int, set[int]]:
    """Inode -> pids that hold an flock on it. Lines look like `1: FLOCK ADVISORY WRITE 4711 fe:00:5311054 0 EOF`.

    A file left behind by a killed process names it and is held by nobody.
    """
    found: dict[int, set[int]] = {}
    try:
        lines = locks.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        fields = line.split()
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[3] == "WRITE":
            inode = fields[5].rpartition(":")[2]
            if inode.isdigit() and fields[4].isdigit() and Path(f"/proc/{fields[4]}").exists():
                found.setdefault(int(inode), set()).add(int(fields[4]))
    return found
