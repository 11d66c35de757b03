"""`cutover record` against a real service in a thread of its own: from the ticket to the recipe."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from services import cli
from services.migration import workload
from services.notes import app as notes_app
from services.recording.ticket import ticket_path
from services.settings import load
from tests.fakes.engine import free_port
from tests.service.scripted import TOKEN, ScriptedClient

WAITS_S = 60.0
BODY = {"text": "Mail ivo@tessel.de about the fan.", "max_tokens": 8}


class House:
    """A notes service that listens, and the command line in the same environment."""

    def __init__(self, home: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self.state = home / "state"
        self.url = f"http://127.0.0.1:{port}"
        self._capsys = capsys

    def cutover(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, the document of `--json`, what was said on standard error."""
        code = cli.main([*words, "--json"])
        said = self._capsys.readouterr()
        return code, json.loads(said.out or "{}"), said.err

    def asked_when(self, holds: Callable[[], bool], act: Callable[[], object]) -> threading.Thread:
        """Run `act` in a thread as soon as `holds`."""

        def run() -> None:
            while not holds():
                time.sleep(0.02)
            act()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def ask(self) -> None:
        url = f"{self.url}/v1/summarize"
        httpx2.post(url, json=BODY, trust_env=False, timeout=WAITS_S).raise_for_status()

    def is_recording(self) -> bool:
        """As the service itself says: its file is there some time before, on a disk that is busy for seconds."""
        told = httpx2.get(f"{self.url}/metrics", trust_env=False, timeout=WAITS_S).raise_for_status().text
        return 'recording_active{service="notes"} 1.0' in told


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {"CUTOVER_HOME": str(tmp_path), "ADMIN_TOKEN": TOKEN, "CUTOVER_NOTES_PORT": str(free_port())}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    for name in ("ANSWER_S", "BEGIN_S", "END_S"):  # ceilings for people; a busy machine needs more
        monkeypatch.setattr(cli.cli_record.recording, name, WAITS_S)
    return found


@pytest.fixture
def house(env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[House]:
    settings = load(env)
    app = notes_app.build(settings, client=ScriptedClient())
    server = uvicorn.Server(uvicorn.Config(app, port=settings.ports["notes"], log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "notes did not start"
        time.sleep(0.02)
    yield House(tmp_path, settings.ports["notes"], capsys)
    server.should_exit = True
    thread.join()


def test_from_the_ticket_to_the_recipe(house: House, tmp_path: Path) -> None:
    """Recorded, shown, reviewed, made a recipe of, deleted; the ticket is gone at the end."""
    asking = house.asked_when(house.is_recording, house.ask)
    code, document, _ = house.cutover("record", "notes", "--requests", "1", "--minutes", "10")
    asking.join()
    assert (code, document["account"]["recorded"]) == (0, 1)
    assert not ticket_path(house.state, "notes").exists()

    code, document, _ = house.cutover("record", "notes", "--show")
    assert (code, [r["body"]["text"] for r in document["first"]]) == (0, ["Mail <EMAIL_1> about the fan."])

    own, copy = tmp_path / "own.toml", tmp_path / "copy.jsonl"
    code, document, _ = house.cutover("record", "notes", "--review", str(copy))
    assert (code, document["requests"]) == (0, 1)
    code, document, _ = house.cutover("record", "notes", "--recipe", str(own), "--from", str(copy))
    assert (code, document["own_items"]) == (0, 1)
    assert workload.load(own, service="notes").items[-1].body["text"] == "Mail <EMAIL_1> about the fan."

    code, document, _ = house.cutover("record", "notes", "--delete")
    assert (code, len(document["deleted"])) == (0, 2)
    assert house.cutover("record", "notes", "--show")[0] == 2


def test_an_interrupt_keeps_what_there_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C falls into the command while it follows: 130, the ticket gone, the request kept."""
    house_ask = house.asked_when(house.is_recording, house.ask)

    def interrupted(account: Any) -> None:
        if account.recorded:
            raise KeyboardInterrupt

    follow = cli.cli_record.recording.follow
    monkeypatch.setattr(cli.cli_record.recording, "follow", lambda *a, on_progress: follow(*a, on_progress=interrupted))
    code, document, _ = house.cutover("record", "notes")
    house_ask.join()

    assert (code, document["account"]["recorded"], document["account"]["ended"]) == (130, 1, "stopped")
    assert not ticket_path(house.state, "notes").exists()


def test_a_stop_from_elsewhere_ends_it(house: House) -> None:
    """Nothing came, so nothing was recorded: 2."""
    stopping = house.asked_when(house.is_recording, lambda: ticket_path(house.state, "notes").unlink())
    code, document, _ = house.cutover("record", "notes")
    stopping.join()

    assert (code, document["account"]["ended"]) == (2, "stopped")
    assert house.cutover("record", "notes", "--stop")[1] == {"service": "notes", "stopped": False}


def test_two_state_folders_are_told_apart(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, and no ticket is left lying about."""
    monkeypatch.setenv("CUTOVER_STATE_DIR", str(tmp_path / "other"))
    monkeypatch.setattr(cli.cli_record.recording, "BEGIN_S", 0.5)
    code, _, said = house.cutover("record", "notes")

    assert code == 2
    assert str(tmp_path / "other") in said and str(house.state) in said
    assert not ticket_path(tmp_path / "other", "notes").exists()


def test_never_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here by the command's own environment; the service's is asked as well."""
    monkeypatch.setenv("NOTES_RECORD", "never")
    code, _, said = house.cutover("record", "notes")

    assert (code, "never" in said) == (2, True)
    assert not ticket_path(house.state, "notes").exists()


@pytest.mark.usefixtures("env")
def test_a_service_that_is_down_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["record", "notes"])

    assert (code, "cutover up" in capsys.readouterr().err) == (69, True)


def test_the_gate_takes_the_recipe_it_is_given() -> None:
    """And the shipped one else; verbs that have no such option too."""
    for words, name in (
        (["gate", "notes", "--recipe", "own.toml"], "own.toml"),
        (["migrate", "notes", "--recipe", "own.toml"], "own.toml"),
        (["gate", "notes"], "notes.toml"),
        (["doctor", "notes"], "notes.toml"),
    ):
        call = cli.commands.Call(arguments=cli.parser().parse_args(words), settings=load({}), display=None, env={})  # type: ignore[arg-type]
        assert cli.commands.chosen_recipe(call, "notes").name == name
