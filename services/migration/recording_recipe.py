"""Makes a recipe of a service's own requests: the shipped recipe, whose gold proves quality, and the recorded items."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services.migration import workload
from services.migration.errors import RecordingError, WorkloadError
from services.migration.recording import Recorded
from services.recording.account import Account

MAX_ITEMS = 100
"""Recorded items of one recipe. More would make a gate repeat none of them, and the gold items rare."""

PREFIX = "own-"
BARE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def chosen(requests: Sequence[Recorded], *, most: int = MAX_ITEMS) -> list[Recorded]:
    """Different bodies only, in their order; where there are more than `most`, evenly from all of the recording."""
    first: dict[str, Recorded] = {}
    for request in requests:
        first.setdefault(json.dumps(request.body, sort_keys=True), request)
    different = list(first.values())
    if len(different) <= most:
        return different
    return [different[i * len(different) // most] for i in range(most)]


def text(shipped: str, requests: Sequence[Recorded], account: Account | None, *, source: str) -> str:
    """The recipe: the shipped one as it is, then what was measured and the recorded items, without gold."""
    head = [f"# {line}".rstrip() for line in _measured(account, len(requests), source)]
    items = [line for number, request in enumerate(requests, 1) for line in _item(number, request)]
    return "\n".join([shipped.rstrip("\n"), "", *head, *items, ""])


def write(target: Path, made: str, *, service: str) -> workload.Workload:
    """Write the recipe and read it as the gate will. Raises `RecordingError`; nothing of it is left behind then."""
    if target.exists():
        raise RecordingError(f"{target} is there already; name another file, or delete it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            target.chmod(0o600)
            file.write(made)
        return workload.load(target, service=service)
    except OSError as exc:
        target.unlink(missing_ok=True)
        raise RecordingError(f"cannot write {target}: {exc.strerror}") from exc
    except WorkloadError as exc:
        target.unlink(missing_ok=True)
        raise RecordingError(f"the recorded requests do not make a recipe: {exc}") from exc


def value(found: Any) -> str:
    """A JSON value as TOML writes it. Null, which TOML does not have, is left out by whoever holds it."""
    match found:
        case bool():
            return "true" if found else "false"
        case str():
            return json.dumps(found, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int():
            return str(found)
        case float():
            return repr(found) if math.isfinite(found) else "nan"
        case list():
            return f"[{', '.join(value(v) for v in found if v is not None)}]"
        case dict():
            inner = ", ".join(f"{_key(k)} = {value(v)}" for k, v in found.items() if v is not None)
            return f"{{ {inner} }}" if inner else "{}"
    raise RecordingError(f"a recorded body holds a {type(found).__name__}, which is not JSON")


def _item(number: int, request: Recorded) -> Iterator[str]:
    yield "\n[[items]]"
    yield f"id = {value(f'{PREFIX}{number:04d}')}"
    yield f"body = {value(dict(request.body))}"


def _key(name: str) -> str:
    return name if name and set(name) <= BARE else value(name)


def _measured(account: Account | None, items: int, source: str) -> list[str]:
    lines = [
        f"{items} recorded items of {source}. They have no gold: they count for speed and errors, not for quality."
    ]
    if account is None or not account.seen:
        return [*lines, "How often they came was not measured."]
    minutes = account.seconds / 60
    return [
        *lines,
        f"Measured while recording: {account.seen} requests in {minutes:.1f} minutes, {account.rate_per_s:.3g} a "
        f"second; {account.mean_in_flight:.2g} at a time on average, {account.peak_in_flight} at most.",
        f"why: to load as then, set concurrency above to {max(1, account.peak_in_flight)}, or arrivals to mode "
        f'"poisson" with rate = {account.rate_per_s:.3g}; the shipped values stand until you do.',
    ]
