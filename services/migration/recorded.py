"""Reads recorded requests of a service: JSON lines of `{"id": …, "body": {…}}`, checked whole, then spread out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from services.migration.errors import WorkloadError
from services.migration.workload import Item

MOST = 200
"""Requests that are sent of one file, evenly spread over it."""

MOST_BYTES = 256 * 2**20
LONGEST_LINE = 4 * 2**20
"""Bytes; a service takes far shorter bodies."""

TOLD = 20  # bad lines that are named; the rest is counted


def read(path: Path, *, nonce_field: str) -> tuple[Item, ...]:
    """At most `MOST` requests. Raises `WorkloadError` that names each bad line; an empty file is one too."""
    items: list[Item] = []
    bad: list[str] = []
    seen: set[str] = set()
    try:
        if path.stat().st_size > MOST_BYTES:
            raise WorkloadError(f"{path} is larger than {MOST_BYTES // 2**20} MiB; record less, or cut it")
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                item, problem = _item(line, nonce_field, seen)
                items += [item] if item else []
                bad += [f"line {number}: {problem}"] if problem else []
    except OSError as exc:
        raise WorkloadError(f"cannot read the recorded requests {path}: {exc.strerror}") from exc
    if bad:
        more = f"; and {len(bad) - TOLD} more" if len(bad) > TOLD else ""
        raise WorkloadError(f"{path}: " + "; ".join(bad[:TOLD]) + more)
    if not items:
        raise WorkloadError(f"{path} holds no request; `cutover record SERVICE` writes one per line")
    return tuple(spread(items, MOST))


def _item(line: bytes, nonce_field: str, seen: set[str]) -> tuple[Item | None, str]:
    """The request of one line, or what is wrong with it; a blank line is neither."""
    if not line.strip():
        return None, ""
    if len(line) > LONGEST_LINE:
        return None, f"longer than {LONGEST_LINE // 2**20} MiB"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None, "is not JSON"
    if not isinstance(found, dict):
        return None, "is not an object"
    name, body = found.get("id"), found.get("body")
    if not isinstance(name, str) or not name.strip():
        return None, "`id` is not a text"
    if name in seen:
        return None, f"the id {name!r} was there before"
    if not isinstance(body, dict) or not isinstance(body.get(nonce_field), str):
        return None, f"`body` is not an object with a text {nonce_field!r}"
    seen.add(name)
    return Item(id=name, body=body, gold={}), ""


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of them, evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
