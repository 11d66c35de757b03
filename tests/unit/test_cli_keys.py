"""`cutover keys`: a key is shown once, listed without its hash, and gone when it is revoked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services import cli
from services.web.key_file import read
from services.web.keys import holder

FILE = "state/api-keys.json"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    for name in ("CUTOVER_STATE_DIR", "CUTOVER_API_KEYS_FILE", "CUTOVER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """What the command printed for programs."""
    assert cli.main(["keys", *argv, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What it said to an act that it did not do."""
    assert cli.main(["keys", *argv]) == 1
    return capsys.readouterr().err


def test_the_key_that_is_shown_is_the_one_that_opens(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = told(capsys, "add", "ana", "--workspace", "team-a", "--service", "rag", "--requests-per-s", "2")
    key = holder(read(home / FILE), made["key"])

    assert key is not None
    assert (key.name, key.workspace, key.services, key.requests_per_s) == ("ana", "team-a", ("rag",), 2.0)


def test_the_list_shows_neither_keys_nor_hashes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = told(capsys, "add", "ana")
    listed = told(capsys, "list")
    [kept] = read(home / FILE)

    assert [k["name"] for k in listed["keys"]] == ["ana"]
    assert made["key"] not in str(listed)
    assert kept.digest not in str(listed)
    cli.main(["keys", "list"])
    assert kept.digest not in capsys.readouterr().out


def test_a_revoked_key_is_gone_and_the_others_stay(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ana", "bo"):
        told(capsys, "add", name)

    assert told(capsys, "revoke", "ana") == {"revoked": "ana"}
    assert [k.name for k in read(home / FILE)] == ["bo"]


def test_who_makes_the_first_key_is_told_what_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """From then on a request without one is refused, our own included."""
    cli.main(["keys", "add", "ana"])
    assert "CUTOVER_API_KEY" in capsys.readouterr().out
    cli.main(["keys", "add", "bo"])
    assert "CUTOVER_API_KEY" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("add", "ana"), "already a key 'ana'"),
        (("add", "a b"), "no name"),
        (("add", "bo", "--workspace", "../x"), "no name"),
        (("add", "bo", "--requests-per-s", "0"), "no limit"),
        (("add", "bo", "--burst", "0"), "no limit"),
        (("revoke", "bo"), "there are: ana"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], said: str
) -> None:
    told(capsys, "add", "ana")
    before = (home / FILE).read_text()

    assert said in refused(capsys, *argv)
    assert (home / FILE).read_text() == before


def test_without_a_file_the_list_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cutover keys add" in refused(capsys, "list")


def test_a_name_is_asked_for() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["keys", "add"])

    assert ended.value.code == 64
