"""The fake world, fresh for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.migration.house import House, weights


@pytest.fixture
def house(tmp_path: Path) -> House:
    return weights(House(home=tmp_path))
