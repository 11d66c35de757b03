"""Renders `.env.example` from the settings: `python -m tests.house.env_example --write` from the repository root."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from services.settings import VARIABLES, Variable

FILE = Path(__file__).parents[2] / ".env.example"
HEAD = """\
# Every setting of Cutover with its default. Export what you change; docker compose reads it from .env.
# Made from services/settings.py by `python -m tests.house.env_example --write`; edit there, not here.
"""


def render(variables: Iterable[Variable]) -> str:
    """One commented-out line per variable, below its meaning. A secret has no value here, as it has no default."""
    parts = [HEAD]
    for variable in variables:
        meaning = textwrap.fill(variable.meaning, 110, initial_indent="# ", subsequent_indent="# ")
        parts.append(f"{meaning}\n#{variable.name}={variable.default}\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    """Shows the file, or writes it."""
    if arguments == ["--write"]:
        FILE.write_text(render(VARIABLES), encoding="utf-8")
        return 0
    sys.stdout.write(render(VARIABLES))
    return 0 if not arguments else 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
