"""The settings of documents that come into RAG, parsed. `services.settings` reads them with all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1024 * 1024

MOST_MB = 900
"""A document waits in one row of the store, and a value of SQLite or PostgreSQL ends at about 1,000 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    """How large one document may be in bytes, and whether addresses inside the house may be fetched from."""

    max_bytes: int = 50 * MIB
    may_reach_private: bool = False


def parse(values: Mapping[str, str], problems: list[str]) -> Uploads:
    """From the values of every variable. What cannot be used is added to `problems`, a sentence each."""
    size, private = values["RAG_UPLOAD_MB"], values["RAG_FETCH_PRIVATE"]
    is_size = size.isascii() and size.isdigit() and 1 <= int(size) <= MOST_MB
    if not is_size:
        problems.append(f"RAG_UPLOAD_MB={size!r} is not a size; use a whole number of megabytes from 1 to {MOST_MB}")
    if private not in ("on", "off"):
        problems.append(f"RAG_FETCH_PRIVATE={private!r} must be on or off")
    return Uploads(max_bytes=(int(size) if is_size else 1) * MIB, may_reach_private=private == "on")
