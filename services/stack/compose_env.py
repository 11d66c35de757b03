"""What Compose itself would read from the project's `.env`, so that we and it speak of the same project and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from services.stack.errors import StackError
from services.stack.job import PROJECT

NAMES = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "CUTOVER_SECRETS")
"""Those that decide which project it is; the rest of the file is for the containers."""


def value(name: str, env: Mapping[str, str], folder: Path = PROJECT) -> str:
    """One of `NAMES`, as the shell has it, else as `folder`/.env has it; "" where nobody says.

    Raises `StackError` for a `.env` that cannot be read.
    """
    assert name in NAMES
    if said := env.get(name, "").strip():
        return said
    path = folder / ".env"
    try:
        return (dotenv_values(path, interpolate=False).get(name) or "").strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as exc:
        raise StackError(f"cannot read {path}: {exc}; mend it, or set {name} in the shell") from exc
