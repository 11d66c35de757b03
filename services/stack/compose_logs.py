"""The last words of a container that failed, without secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.stack.compose import Container

LINES = 8
LINE_CHARS = 400
BEFORE_S = 600.0
SECRETS = "/run/secrets/"
SECRET_ENDINGS = ("_KEY", "_TOKEN", "_PASSWORD", "_SECRET")
SHORTEST_SECRET = 6
"""Shorter values are words; to take those out would tear up every line."""

HIDDEN = "<secret>"
Hide = Callable[[str], str]


def last_failure(container: Any, state: Container, hide: Hide) -> list[str]:
    """The end of what it said before it died last, or says now if it is ill; nothing where nothing failed.

    A container that Docker has started again has the words of both lives in one log: those before its last end count.
    Docker takes the tail first and the time afterwards, so those are asked by time alone.
    """
    if not state.failed:
        return []
    reborn = state.status == "running" and state.restarts > 0 and state.health != "unhealthy"
    if reborn and state.started_at and state.ended_at:
        text = container.logs(since=state.ended_at - BEFORE_S, until=state.started_at)
    else:
        text = container.logs(tail=LINES)
    return shown(text.decode("utf-8", "replace"), secrets(container.attrs), hide)


def shown(text: str, known: Sequence[str], hide: Hide) -> list[str]:
    """The last lines of a log, each short enough for a screen, without the known secrets and what `hide` finds. Pure.

    Hidden before a line is cut: half a key is no longer recognised as one.
    """
    lines = [line.rstrip() for line in text.splitlines() if line.strip()][-LINES:]
    return [hide(_without(line, known))[:LINE_CHARS] for line in lines]


def _without(line: str, known: Sequence[str]) -> str:
    for value in known:
        line = line.replace(value, HIDDEN)
    return line


def secrets(attrs: Mapping[str, Any]) -> list[str]:
    """The values that this container was given as secrets, longest first: its files, and what its environment names so.

    A file of somebody else that cannot be read here is left to `hide`.
    """
    given = (entry.partition("=") for entry in attrs["Config"].get("Env") or ())
    found = {value for variable, _, value in given if variable.endswith(SECRET_ENDINGS)}
    for mount in attrs.get("Mounts") or ():
        if str(mount.get("Destination", "")).startswith(SECRETS):
            found |= _values(Path(mount.get("Source", "")))
    return sorted((v for v in found if len(v) >= SHORTEST_SECRET), key=lambda v: (-len(v), v))


def _values(file: Path) -> set[str]:
    try:
        return set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()
    except (OSError, UnicodeDecodeError):
        return set()
