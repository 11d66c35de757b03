"""Containers on the command line: 80 columns, which ledger a restart goes to, a watch, up and down without Docker."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from services import cli_revive, cli_status_containers
from services.cli import main, parser
from services.cli_revive import Here, Inside, journal, watch
from services.migration import acts
from services.migration.errors import StateError, Superseded
from services.stack.compose import NoEngine
from services.stack.compose_revive import Looked, Outcome
from services.stack.compose_up import Mode

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Docker's SDK leaves the socket on which nobody answered to Python."""


@pytest.fixture
def no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A DOCKER_HOST where nobody is, so that a real engine of this machine is not asked."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody'}")
    monkeypatch.setenv("CUTOVER_HOME", str(tmp_path))
    yield
    gc.collect()


def row(**more: Any) -> dict[str, Any]:
    """The widest container there is."""
    return {
        "container": "cutover-alertmanager-1", "image": "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless",
        "status": "running", "health": "unhealthy", "restarts": 123, "uptime_s": 172799.0, "exit_code": None,
        "out_of_memory": False, "memory_bytes": 1023 * 2**20, "complaint": "", "last_failure": [], **more,
    }  # fmt: skip


def shown(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=80)
    for part in cli_status_containers.shown(rows):
        console.print(part)
    return out.getvalue().splitlines()


def test_containers_fit_80_columns_and_cut_no_number() -> None:
    died = row(
        status="exited", exit_code=137, uptime_s=None, memory_bytes=None, out_of_memory=True, last_failure=["x" * 99]
    )
    lines = shown({"ollama-models": row(), "alertmanager": died})

    assert max(map(len, lines)) <= 80
    for word in ("ollama-models", "unhealthy", "123", "48.0 h", "1023 MiB", "ended: 137", "out of memory"):
        assert word in "\n".join(lines)
    assert "".join(line.strip() for line in lines).count("x") >= 99


def test_no_containers_show_nothing() -> None:
    assert shown({}) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"health": None}, "running"),
        ({"health": "starting"}, "starting"),
        ({"status": "exited", "exit_code": 0}, "ended"),
        ({"status": "restarting"}, "restarting"),
    ],
)
def test_a_state_is_one_word(state: dict[str, Any], words: str) -> None:
    assert cli_status_containers.state(row(**state)).plain == words


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("postgresql://ada:" + "pa55word@db/x", "pa55word"),
        ("api_key=sk-" + "ABCDEFGHIJ1234567890", "ABCDEFGHIJ"),
        ("HF_TOKEN hf_AbCdEfGhIjKlMnOp12345", "AbCdEfGh"),
    ],
)
def test_secrets_of_known_shapes_are_hidden(line: str, hidden: str) -> None:
    assert hidden not in cli_status_containers.hider()(line)


def test_what_a_log_is_read_for_stays() -> None:
    line = "2026-11-21 16:15:40 ValueError: 172.18.0.3:8000 max_num_seqs=256 at /opt/vllm/lib/python3.11/engine.py:88"

    assert cli_status_containers.hider()(line) == line


def container(*, mounts: list[dict[str, Any]], status: str = "running", says: tuple[int, str] = (0, "[]")) -> Any:
    asked: list[list[str]] = []
    labels = {"com.docker.compose.service": "notes"}

    def exec_run(argv: list[str]) -> tuple[int, bytes]:
        asked.append(argv)
        return says[0], says[1].encode()

    attrs = {"Config": {"Labels": labels}, "Mounts": mounts}
    return SimpleNamespace(name="notes-1", status=status, attrs=attrs, exec_run=exec_run, asked=asked)


def client(*listed: Any) -> Any:
    return SimpleNamespace(containers=SimpleNamespace(list=lambda **_: list(listed)))


STATE = {"Destination": cli_revive.STATE, "RW": True}


@pytest.mark.parametrize(
    ("mounts", "status", "kind"),
    [
        ([STATE], "running", Inside),
        ([STATE], "exited", Here),
        ([{**STATE, "RW": False}], "running", Here),
        ([], "running", Here),
    ],
)
def test_a_restart_is_written_where_the_stack_s_ledger_is(
    mounts: list[dict[str, Any]], status: str, kind: type, tmp_path: Path
) -> None:
    """The exporter may only read it, and a container that has ended writes nothing."""
    book = journal(client(container(mounts=mounts, status=status)), "cutover", "vllm", tmp_path)

    assert isinstance(book, kind)


def test_the_ledger_here_counts_restarts_and_lets_one_act(tmp_path: Path) -> None:
    book, other = (Here(state_dir=tmp_path, engine="vllm") for _ in range(2))
    assert (book.past(), other.past()) == ([], [])
    book.write("silent", {"up_s": 9})

    with pytest.raises(Superseded):
        other.write("silent", {})
    assert len(other.past()) == len(acts.past(tmp_path, "vllm")) == 1


def test_the_ledger_inside_is_asked_for_all_and_given_one_line() -> None:
    line = {"act": "restart", "at": "2026-11-21T16:00:00+00:00", "seq": 7}
    inside = container(mounts=[STATE], says=(0, f"a warning\n{json.dumps([line])}"))
    book = Inside(container=inside, engine="vllm")
    assert book.past() == [1795276800.0]

    book.write("silent", {"up_s": 9})
    assert inside.asked[0] == ["python", "-P", "-m", "services.migration", "vllm"]
    assert json.loads(inside.asked[1][-1])["expected"] == 7


def test_a_ledger_that_cannot_be_written_stops_the_restart() -> None:
    book = Inside(container=container(mounts=[STATE], says=(2, "disk full")), engine="vllm")
    with pytest.raises(StateError, match="nothing is restarted: disk full"):
        book.write("silent", {})


def test_a_watch_tells_changes_only_and_outlives_docker_s_absence() -> None:
    looks: list[Looked | Exception] = [
        Looked(outcome=Outcome.GENERATES, why="a"),
        Looked(outcome=Outcome.GENERATES, why="a"),
        NoEngine("away"),
        Looked(outcome=Outcome.RESTARTED, why="b"),
    ]
    told: list[str] = []

    def look() -> Looked:
        found = looks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def sleep(_seconds: float) -> None:
        if not looks:
            raise KeyboardInterrupt

    watch(look, lambda looked: told.append(looked.why), 60, sleep=sleep)

    assert told == ["a", "away", "b"]


@pytest.mark.parametrize("argv", [("revive",), ("switch", "notes", "vllm"), ("up", "--where", "compose")])
def test_without_docker_a_verb_about_containers_says_so(
    no_docker: None, argv: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(argv) == (69 if argv[0] != "up" else 1)
    assert "ocker" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--watch", "--deadline", "--per-hour"])
@pytest.mark.parametrize("number", ["0", "-1", "1.5", "often", "3601"])
def test_revive_refuses_numbers_that_mean_nothing(option: str, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["revive", f"{option}={number}"])

    assert ended.value.code == 64
    assert "from 1 to 3600" in capsys.readouterr().err


def test_down_by_what_is_there_ends_processes_without_docker(
    no_docker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make down` does on a machine without Docker: as ever."""
    assert main(["down", "--where", "auto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"stopped": []}


def test_a_docker_that_was_named_and_is_silent_is_a_problem_and_no_failure(
    no_docker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert document["containers"] == {}
    assert any("docker ps" in problem for problem in document["problems"])


def test_up_stays_with_processes_unless_it_is_told() -> None:
    """The Makefile says `auto`; tests and scripts that say `cutover up` mean what it always did."""
    assert (parser().parse_args(["up"]).where, parser().parse_args(["down"]).where) == (Mode.LOCAL, Mode.LOCAL)
