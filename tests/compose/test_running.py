"""What the tests of this folder start Compose with."""

from __future__ import annotations

from services.settings import VARIABLES
from tests.compose.running import clean_environment


def test_the_tests_own_environment_has_no_settings() -> None:
    """Else a developer's .env would decide what is tested."""
    assert not {v.name for v in VARIABLES} & clean_environment().keys()
