"""What our own programs show a service, and where a service looks for its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import load


@pytest.mark.parametrize(
    ("env", "token", "sent"),
    [
        ({}, "", {}),
        ({}, "t", {"X-Admin-Token": "t"}),
        ({"CUTOVER_API_KEY": "k"}, "", {"Authorization": "Bearer k"}),
        ({"CUTOVER_API_KEY": "k"}, "t", {"Authorization": "Bearer k", "X-Admin-Token": "t"}),
    ],
)
def test_the_key_and_the_token_have_a_header_each(env: dict[str, str], token: str, sent: dict[str, str]) -> None:
    """So that one request can show both, and none shows what it does not need."""
    assert load(env).api_keys.headers(token) == sent


def test_the_keys_are_in_the_state_unless_a_setting_says_where(tmp_path: Path) -> None:
    """Services and the command line share that folder, in containers as well. A named file is asked for."""
    usual, named = load({"CUTOVER_STATE_DIR": str(tmp_path)}), load({"CUTOVER_API_KEYS_FILE": str(tmp_path / "k")})

    assert (usual.api_keys.file, usual.api_keys.is_given) == (tmp_path / "api-keys.json", False)
    assert (named.api_keys.file, named.api_keys.is_given) == (tmp_path / "k", True)


def test_the_key_shows_in_no_repr() -> None:
    assert "hunter2" not in repr(load({"CUTOVER_API_KEY": "hunter2"}))
