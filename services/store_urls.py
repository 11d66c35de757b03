"""The settings of the stores, parsed: where each service keeps its data. `services.settings` reads them with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from services.secret_files import secret

SQLITE, POSTGRES = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The address of each service's store; it may hold a password."""

    urls: Mapping[str, str] = field(repr=False)

    def url(self, service: str) -> str:
        """`sqlite:////path/of/file`, or `postgresql://...`."""
        return self.urls[service]

    def file(self, service: str) -> Path | None:
        """The SQLite file of a service; None where its data is in PostgreSQL."""
        scheme, _, path = self.urls[service].partition(":///")
        return Path(path) if scheme == SQLITE else None

    @property
    def passwords(self) -> tuple[str, ...]:
        """What must never show in a log."""
        return tuple(found for url in self.urls.values() if (found := urlsplit(url).password))


def parse(values: Mapping[str, str], home: Path, services: Sequence[str], problems: list[str]) -> Stores:
    """From the values of every variable. What cannot be used is added to `problems`, a sentence each."""
    given = {s: secret(f"{s.upper()}_STORE_URL", values, problems) for s in services}
    problems += [_problem(f"{s.upper()}_STORE_URL") for s, url in given.items() if not _is_usable(url)]
    return Stores(urls={s: url or f"{SQLITE}:///{home / 'data' / f'{s}.db'}" for s, url in given.items()})


def _is_usable(url: str) -> bool:
    if url.startswith(f"{SQLITE}:"):
        return url.startswith(f"{SQLITE}:////") and len(url) > len(f"{SQLITE}:////")
    try:
        parts = urlsplit(url)
        return not url or (parts.scheme == POSTGRES and parts.path.strip("/") != "" and parts.port != 0)
    except ValueError:
        return False


def _problem(name: str) -> str:
    return (
        f"{name} is not the address of a store; write it like postgresql://user@host:5432/database "
        "or sqlite:////path/to/file.db (four slashes), and a password into its _FILE"
    )
