"""Seals the lines of a raw file one onto the other, so that a file that was edited is told from one that was written.

Each line ends in a field `seal`: the first half of the SHA-256 of the line without it and of the seal before it. A
changed, added, moved or removed line breaks the chain there. It tells a slip or a mended number, not a forger, who can
seal anew; and a file cut at its end is that of a run killed early. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from services.migration.errors import GateError

FIELD = re.compile(rb', "seal": "([0-9a-f]{32})"\}$')
FIRST = ""
"""What the first line is sealed onto."""


def sealed(lines: Iterable[str], *, after: str = FIRST) -> str:
    """JSON objects of one line each, sealed onto the line whose seal is `after`."""
    done = []
    for line in lines:
        text = line.rstrip("\n")
        after = _seal(text.encode(), after)
        done.append(f'{text[:-1]}, "seal": "{after}"}}\n')
    return "".join(done)


def last(data: bytes) -> str:
    """The seal of the last whole line of a file; `FIRST` where it has none."""
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    found = FIELD.search(lines[-1]) if lines else None
    return found.group(1).decode() if found else FIRST


def opened(lines: Iterable[bytes], *, name: str) -> list[bytes]:
    """The lines without their seals. Raises `GateError` that names the first line that is not as it was written."""
    bare, after = [], FIRST
    for number, line in enumerate(lines, start=1):
        found = FIELD.search(line)
        text = line[: found.start()] + b"}" if found else line
        after = _seal(text, after)
        if found is None or found.group(1).decode() != after:
            what = "has no seal" if found is None else "does not fit its seal"
            raise GateError(
                f"{name} line {number} {what}: the file was changed after it was written, or never written by a run; "
                "measure anew, or take the file from a backup"
            )
        bare.append(text)
    return bare


def _seal(text: bytes, after: str) -> str:
    return hashlib.sha256(after.encode() + b"\n" + text).hexdigest()[:32]
