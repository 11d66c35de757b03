"""Secrets that lie in files, as containers get them: `NAME_FILE` names a file that holds what `NAME` would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def secret(name: str, values: Mapping[str, str], problems: list[str]) -> str:
    """The secret `name` of its variable or of its file, "" for none. Problems never tell its text."""
    given, file = values[name], values[f"{name}_FILE"]
    if not file:
        return given
    if given:
        problems.append(f"{name} and {name}_FILE are both set; unset one")
        return ""
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "is not text"
        problems.append(f"{name}_FILE={file!r} cannot be read: {why}; see docs/COMPOSE.md, Secrets")
        return ""
    if not text:
        problems.append(f"{name}_FILE={file!r} is empty; put the secret in it, or unset {name}_FILE")
    return text
