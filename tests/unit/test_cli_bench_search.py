"""`cutover bench --search` by itself: what it refuses, and what it says where the peer cannot be installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import cli


def test_a_peer_that_cannot_be_installed_is_told_with_the_way_to_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any document is fetched or store filled; never skipped in silence."""
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    monkeypatch.setenv("CUTOVER_ENGINES_DIR", str(blocked))

    assert cli.main(["bench", "--search", "--chunks", "10"]) == 1
    told = capsys.readouterr().err
    assert "the peers cannot be installed" in told
    assert "--without-peers" in told


def test_no_chunks_are_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    try:
        code = cli.main(["bench", "--search", "--chunks", "0"])
    except SystemExit as exc:
        code = int(str(exc.code))

    assert code == 64
    assert "--chunks must be positive" in capsys.readouterr().err
