"""Which build of SQLite the stores run on, where there are two."""

from __future__ import annotations

import sqlite3
import sys
from types import ModuleType

import pytest

from services.store import sqlite

OLD, NEW = (3, 40, 1), (3, 51, 1)


class Loads:
    """A connection that loads extensions."""

    def enable_load_extension(self, on: bool) -> None: ...


@pytest.mark.parametrize(
    ("own", "does_load", "taken"),
    [(OLD, True, "other"), (NEW, True, "own"), (NEW, False, "other"), (OLD, False, "other")],
)
def test_the_newer_is_taken_of_those_that_load_extensions(
    own: tuple[int, ...], does_load: bool, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old one would make the whole index by words anew for each deletion."""
    python, other = ModuleType("sqlite3"), ModuleType("pysqlite3.dbapi2")
    monkeypatch.setattr(python, "Connection", Loads if does_load else object, raising=False)
    monkeypatch.setattr(python, "sqlite_version_info", own, raising=False)
    monkeypatch.setattr(other, "sqlite_version_info", (3, 45, 0), raising=False)
    monkeypatch.setattr(sqlite, "sqlite3", python)
    monkeypatch.setitem(sys.modules, "pysqlite3", ModuleType("pysqlite3"))
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", other)

    assert sqlite.driver.__wrapped__() is {"own": python, "other": other}[taken]


def test_without_pysqlite_pythons_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy compares vectors where it loads no extensions."""
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    assert sqlite.driver.__wrapped__() is sqlite3
