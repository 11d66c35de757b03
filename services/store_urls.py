"""The settings of the stores, parsed: where each service keeps its data. `services.settings` reads them with others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from services.secret_files import secret

SQLITE, POSTGRES = "sqlite", "postgresql"

SECRETS = frozenset(("password", "sslpassword", "oauth_client_secret"))
"""What libpq takes after the `?` as well: not from us, as it would show wherever the address does."""


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
        """What must never show in a log, as the address writes it and as it is."""
        written = [found for url in self.urls.values() if (found := urlsplit(url).password)]
        return tuple(dict.fromkeys(spelling for found in written for spelling in (found, unquote(found))))


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
        if SECRETS & {key for key, _ in parse_qsl(parts.query, keep_blank_values=True)}:
            return False
        is_plain = "@" not in parts.path and parts.netloc.count("@") <= 1  # else readers differ on the password
        named = parts.path.strip("/")
        return not url or (parts.scheme == POSTGRES and named != "" and parts.port != 0 and is_plain)
    except ValueError:
        return False


def _problem(name: str) -> str:
    return (
        f"{name} is not the address of a store; write it like postgresql://user@host:5432/database "
        "or sqlite:////path/to/file.db (four slashes); an address with a password goes into its _FILE, "
        "the password behind the user (user:password@), never after a ?, and @ in it as %40"
    )
