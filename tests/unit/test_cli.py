"""The command line by itself: usage errors, nothing running, one JSON object, honest exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from rich.console import Console

from services import cli
from services.cli_commands import Call, seams
from services.cli_run import may_be_shown
from services.cli_show import Display, verdict_table
from services.llm.rollout import FILE_NAME, Rollout, Stage, Standing, dump
from services.migration import simulated
from services.migration.simulated import World
from services.migration.verdict import Outcome
from services.settings import load
from tests.fakes.engine import free_port


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CUTOVER_HOME of its own, with ports where nobody listens."""
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    for name in ("VLLM", "OLLAMA", "RAG", "NOTES", "NER"):
        monkeypatch.setenv(f"CUTOVER_{name}_PORT", str(free_port()))
    for name in ("ADMIN_TOKEN", "VLLM_URL", "OLLAMA_URL", "CUTOVER_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*argv: str) -> int:
    """The exit code, also where argparse ends the process."""
    try:
        return cli.main(argv)
    except SystemExit as exc:
        assert isinstance(exc.code, int)
        return exc.code


@pytest.mark.parametrize(
    "argv", [("nonsense",), ("gate", "mail"), ("gate",), ("gate", "rag", "--rounds", "0"), ("up", "--no-such-flag")]
)
def test_usage_errors_say_what_and_exit_64(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong word is told with the next command."""
    assert run(*argv) == 64
    assert "cutover --help" in capsys.readouterr().err


def test_unknown_service_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to look the names up."""
    run("doctor", "mail")
    said = capsys.readouterr().err

    assert all(name in said for name in ("mail", "rag", "notes", "ner"))


def test_wrong_settings_are_all_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every problem of the environment at once, and where to read about it."""
    monkeypatch.setenv("CUTOVER_RAG_PORT", "web")
    monkeypatch.setenv("LLM_PROVIDER", "gpt")

    assert run("status") == 64
    said = capsys.readouterr().err
    assert "CUTOVER_RAG_PORT='web'" in said
    assert "LLM_PROVIDER='gpt'" in said
    assert ".env.example" in said


def test_sample_without_rag_names_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is half loaded where nobody listens."""
    assert run("sample") == 69
    assert "start it with `cutover up`" in capsys.readouterr().err


def test_status_with_nothing_running(capsys: pytest.CaptureFixture[str]) -> None:
    """Three services on Ollama, both engines down, one JSON object."""
    assert run("status", "--json") == 0
    document = json.loads(capsys.readouterr().out)

    assert {n: s["stage"] for n, s in document["services"].items()} == dict.fromkeys(("rag", "notes", "ner"), "ollama")
    keys = {"stage", "share", "provider", "verdict", "fallbacks_5m"}
    assert all(keys <= s.keys() for s in document["services"].values())
    assert {n: e["up"] for n, e in document["engines"].items()} == {"ollama": False, "vllm": False}


def test_status_shows_a_damaged_rollout_and_goes_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file edited into nonsense is named with the command that mends it."""
    (home / "state").mkdir()
    (home / "state" / FILE_NAME).write_text("{ nonsense")

    assert run("status", "--json") == 0
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any(FILE_NAME in p and "cutover rollback" in p for p in problems)


def test_status_fits_80_columns(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table for people does not wrap on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    (home / "state").mkdir()
    standing = Standing(stage=Stage.CANARY, share=0.25, demo=True)
    (home / "state" / FILE_NAME).write_text(dump(Rollout(services={"notes": standing})))

    assert run("status") == 0
    out = capsys.readouterr().out
    assert "canary (demo)" in out
    assert max(len(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize("verb", ["doctor", "gate", "migrate"])
def test_measuring_needs_something_that_runs(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without engines there is nothing to compare; the message says how to get them."""
    assert run(verb, "notes") == 69
    assert "cutover up" in capsys.readouterr().err


def test_rollback_needs_nobody_alive(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    """Going back works with no engine, no service and no controller, and says so twice in the same way."""
    (home / "state").mkdir()
    full = Standing(stage=Stage.FULL, share=1.0)
    (home / "state" / FILE_NAME).write_text(dump(Rollout(services={"rag": full})))

    assert run("rollback", "rag", "--reason", "drill", "--json") == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "rolled_back"
    assert run("history", "--json") == 0
    history = json.loads(capsys.readouterr().out)["history"]
    assert history[-1]["reasons"] == ["drill"]


def test_down_with_nothing_running_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Stopping twice is no error."""
    assert run("down") == 0
    assert "already stopped" in capsys.readouterr().out


def test_models_lists_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    """Each alias with its name on either engine."""
    assert run("models", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["models"]

    assert listed["smollm2-135m"]["context"] == 4096
    assert listed["smollm2-135m"]["space"] is None
    assert listed["smollm2-135m-embed"]["names"] == {"ollama": "smollm2-135m:latest"}
    assert listed["smollm2-135m-embed"]["space"] == "smollm2-135m-embed@q4_1:576:unit"


def test_models_shows_what_an_alias_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    """An engine without a name for it has a dash, and one that embeds says so."""
    assert run("models") == 0
    said = capsys.readouterr().out

    assert " - " in said
    assert "embed " in said


def test_judging_a_missing_raw_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named."""
    assert run("gate", "notes", "--from", "no-such.jsonl") == 2
    assert "no-such.jsonl" in capsys.readouterr().err


def test_a_raw_file_of_another_service_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its verdict would be read as one about the service that was asked about."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(simulated.raw(World(rounds=2)))

    assert run("gate", "notes", "--from", str(path)) == 2
    assert "not on" not in capsys.readouterr().err
    assert run("gate", "rag", "--from", str(path)) == 2
    told = capsys.readouterr().err
    assert "measured on notes, not on rag" in told and "cutover gate notes --from" in told


def test_a_raw_file_says_itself_what_it_was_measured_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So nobody has to name the service, and the verdict is the same."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(simulated.raw(World(rounds=2)))
    asked = (["gate"], ["gate", "notes"])
    told = [(run(*a, "--from", str(path), "--json"), capsys.readouterr().out) for a in asked]

    assert told[0] == told[1]
    assert json.loads(told[0][1])["service"] == "notes"


def test_every_verb_has_help_and_a_function() -> None:
    """The parser and the table of verbs cannot drift apart."""
    choices = cli.parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]

    assert set(choices or ()) == set(cli.VERBS)


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [(Outcome.PASS, True), (Outcome.INCONCLUSIVE, True), (Outcome.FAIL, False), (Outcome.INVALID, False)],
)
def test_a_demo_never_shows_what_the_gate_spoke_against(outcome: Outcome, shown: bool) -> None:
    """`make run` leaves a service on Ollama where vLLM was measured to be worse, or could not be measured."""
    assert may_be_shown(outcome) is shown


def test_the_final_table_fits_80_columns() -> None:
    """Each row on one line, intervals included."""
    effect = {"effect": 1.06, "low": 0.74, "high": 1.36, "baseline": 0.46, "candidate": 0.46}
    row = {"service": "notes", "stage": "full", "demo": True, "verdict": "inconclusive", "fallbacks": 0}
    console = Console(width=80, file=io.StringIO())
    console.print(verdict_table([{**row, "ratio": effect, "quality": effect}]))
    written = console.file.getvalue()  # type: ignore[attr-defined]

    assert "1.06 [0.74, 1.36]" in written
    assert "0.46 -> 0.46" in written


LISTEN = "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[-1]))); s.listen(); "
LISTEN += "print('ready', flush=True); time.sleep(300)"


def test_gate_and_migrate_know_how_the_engines_of_this_machine_were_started(home: Path) -> None:
    """The rooms do not know each other: here the stack's eyes are given to the judge's run."""
    settings = load({"CUTOVER_HOME": str(home), "CUTOVER_OLLAMA_PORT": str(free_port()), "VLLM_URL": "http://10.1.2.3"})
    call = Call(arguments=Namespace(), settings=settings, display=Display(Console(file=io.StringIO())), env={})
    argv = [sys.executable, "-c", LISTEN, "ollama", str(settings.ollama_port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seen = seams(call).started()
        process.kill()

    assert len(seen["ollama"]) == 64
    assert seen["vllm"] == ""
    assert all(card.memory_bytes > 0 for card in seams(call).gpus())
