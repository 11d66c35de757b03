"""What we see and do with Docker's SDK, on small containers of a real engine: status, revive, switch, down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.stack import compose, compose_revive, compose_state
from services.stack.compose_revive import Bounds, Outcome, World
from tests.compose.images import Leftovers, Say
from tests.compose.running import Compose, clean_environment, said
from tests.compose.test_stack import until
from tests.conftest import REPO

pytestmark = pytest.mark.compose

KEY = "hunter2-hunter2"
QUICK = Bounds(deadline_s=2, looks=2, stop_s=1, start_s=0.0)
STOP_ENGINE = """
import os, pathlib, signal
for entry in pathlib.Path("/proc").glob("[0-9]*"):
    if (entry / "cmdline").read_bytes().startswith(b"VLLM::EngineCore"):
        os.kill(int(entry.name), signal.SIGSTOP)
        print("stopped")
"""
FILE = """
services:
  vllm:
    image: {base}
    init: true
    restart: unless-stopped
    command: [python3, /silent.py]
    volumes: ["{here}/silent.py:/silent.py:ro"]
    healthcheck:
      test: [CMD, python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8000))"]
      interval: 1s
  notes:
    image: {base}
    init: true
    command: [sleep, infinity]
    environment: {{NOTES_LLM_PROVIDER: "${{NOTES_LLM_PROVIDER:-auto}}"}}
  ner:
    image: {base}
    init: true
    command: [sleep, infinity]
  broken:
    image: {base}
    command: [sh, -c, "echo the key is $$ADMIN_TOKEN, and Bearer abcdefgh12345678; echo no room left; exit 3"]
    environment: {{ADMIN_TOKEN: {key}}}
  flaky:
    image: {base}
    init: true
    restart: unless-stopped
    command: [sh, -c, "[ -e /tmp/died ] && seq 20 && exec sleep infinity; touch /tmp/died; echo my last words; exit 0"]
"""


@pytest.fixture(scope="module")
def small(engine: None, tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[Compose]:
    """Containers of the local base image: a vLLM that can fall silent, two services, one dead, one risen."""
    folder = tmp_path_factory.mktemp("small")
    base = os.environ.get("BASE_IMAGE", "python:3.13.7-slim-trixie")
    (folder / "compose.yml").write_text(FILE.format(base=base, here=REPO / "tests/compose", key=KEY))
    env_file = folder / ".env"
    env_file.write_text("# who answers\n#NOTES_LLM_PROVIDER=\nOTHER=1 # kept\n")
    made = Compose(file=str(folder / "compose.yml"), project=f"d5-{uuid.uuid4().hex[:8]}", env_file=env_file)
    try:
        made("up", "--detach")
        until(lambda: rows(made)["vllm"]["health"] == "healthy", "it is healthy", 300)
        until(lambda: rows(made)["broken"]["status"] == "exited", "the broken one is dead", 300)
        until(lambda: "20" in made("logs", "--no-log-prefix", "flaky"), "the flaky one is up again", 300)
        yield made
    finally:
        made("down", "--volumes", "--timeout", "1", check=False)
    assert leftovers(made.project) == []


def environment(stack: Compose) -> dict[str, str]:
    return {**clean_environment(), "COMPOSE_PROJECT_NAME": stack.project}


def rows(stack: Compose) -> dict[str, dict[str, Any]]:
    return compose_state.look(compose.place(environment(stack)), str)


def cutover(stack: Compose, home: Path, *words: str, shell: Mapping[str, str] = {}) -> tuple[int, dict[str, Any]]:
    """Exit code and document of a verb, with `shell` as somebody's exported settings."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "services.cli", *words, "--json"],
        cwd=REPO, env={**environment(stack), **shell, "CUTOVER_HOME": str(home), "PYTHONPATH": str(REPO)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


class Book:
    """A ledger that says when its lines were written: before or after the act."""

    def __init__(self, before: Callable[[], object] = list) -> None:
        self.lines: list[tuple[str, Mapping[str, Any], object]] = []
        self.before = before
        self.times: list[float] = []

    def past(self) -> Sequence[float]:
        return self.times

    def write(self, reason: str, evidence: Mapping[str, Any]) -> None:
        self.lines.append((reason, evidence, self.before()))


def look(stack: Compose, book: Book) -> compose_revive.Looked:
    return compose_revive.revive(compose.place(environment(stack)), lambda _client: book, QUICK, world=World())


def touched(stack: Compose, file: str) -> None:
    stack("exec", "-T", "vllm", "touch", file)


def test_status_shows_each_container_with_its_memory(small: Compose, tmp_path: Path) -> None:
    """By its service's name; the one that died with its code and its last words, in which no secret is left."""
    told: list[tuple[int, dict[str, Any]]] = []

    def counted() -> bool:
        """Docker is given three seconds for its statistics; a busy machine needs more, now and then."""
        told.append(cutover(small, tmp_path, "status"))
        return bool(told[-1][1]["containers"].get("vllm", {}).get("memory_bytes"))

    until(counted, "Docker has counted", 300)
    code, document = told[-1]
    found = document["containers"]

    assert (code, set(found)) == (0, {"vllm", "notes", "ner", "broken", "flaky"})
    vllm, broken = found["vllm"], found["broken"]
    assert (vllm["status"], vllm["health"], vllm["restarts"], vllm["last_failure"]) == ("running", "healthy", 0, [])
    assert vllm["memory_bytes"] > 2**20
    assert vllm["uptime_s"] > 0
    assert (broken["status"], broken["exit_code"], broken["memory_bytes"]) == ("exited", 3, None)
    assert broken["last_failure"][-1] == "no room left"
    assert KEY not in json.dumps(document)
    assert "abcdefgh12345678" not in json.dumps(document)


def test_one_that_docker_started_again_shows_what_it_said_before(small: Compose) -> None:
    """However much it has said since."""
    flaky = rows(small)["flaky"]

    assert (flaky["status"], flaky["restarts"], flaky["last_failure"]) == ("running", 1, ["my last words"])


def test_a_project_that_is_not_there_has_no_containers(small: Compose) -> None:
    place = compose.place({**environment(small), "COMPOSE_PROJECT_NAME": "d5-nobody"})

    assert compose_state.look(place, str) == {}


def test_one_that_generates_is_left_alone(small: Compose) -> None:
    book = Book()

    assert look(small, book).outcome is Outcome.GENERATES
    assert book.lines == []


def test_one_that_is_busy_for_others_is_left_alone(small: Compose) -> None:
    """It gives no token to us, and its own count says that others get some."""
    touched(small, "/tmp/busy")
    touched(small, "/tmp/silent")
    try:
        assert look(small, Book()).outcome is Outcome.GENERATES
    finally:
        small("exec", "-T", "vllm", "rm", "/tmp/silent", "/tmp/busy")


def test_a_silent_one_is_restarted_after_it_is_written_down(small: Compose, tmp_path: Path) -> None:
    """Written first; it generates afterwards; the container is the same one, and no other was touched."""
    before = small.containers()
    touched(small, "/tmp/silent")
    book = Book(before=lambda: small.containers()["vllm"]["State"]["StartedAt"])

    looked = look(small, book)

    ((reason, evidence, started),) = book.lines
    after = small.containers()
    assert looked.outcome is Outcome.RESTARTED, looked
    assert "no token in 2 s" in reason
    assert evidence["health"] == "healthy"
    assert started == before["vllm"]["State"]["StartedAt"] != after["vllm"]["State"]["StartedAt"]
    same = {name: after[name]["State"]["StartedAt"] for name in ("notes", "ner")}
    assert same == {name: before[name]["State"]["StartedAt"] for name in ("notes", "ner")}
    until(lambda: look(small, book).outcome is Outcome.GENERATES, "it generates again", 300)


def test_the_verb_writes_its_restart_into_the_ledger(small: Compose, tmp_path: Path) -> None:
    """Of this machine, as no container here has one; the second look within the pause waits."""
    until(lambda: rows(small)["vllm"]["health"] == "healthy", "it is healthy", 300)
    touched(small, "/tmp/silent")

    code, document = cutover(small, tmp_path, "revive", "--deadline", "2")

    assert (code, document["outcome"]) == (0, "restarted"), document
    _, told = cutover(small, tmp_path, "history")
    (line,) = told["history"]
    assert (line["act"], line["service"], line["actor"]) == ("restart", "vllm", "revive")
    until(lambda: rows(small)["vllm"]["health"] == "healthy", "it is healthy", 300)
    touched(small, "/tmp/silent")
    code, document = cutover(small, tmp_path, "revive", "--deadline", "2")
    assert (code, document["outcome"]) == (2, "waits")
    assert "next try" in document["why"]
    small("exec", "-T", "vllm", "rm", "/tmp/silent")


def test_one_that_somebody_stopped_is_not_ours(small: Compose) -> None:
    small("stop", "--timeout", "1", "vllm")
    try:
        looked = look(small, Book())
        assert (looked.outcome, "somebody wanted" in looked.why) == (Outcome.WAITS, True)
    finally:
        small("start", "vllm")


def test_switch_makes_one_container_anew_and_keeps_the_rest_of_the_file(small: Compose, tmp_path: Path) -> None:
    before = {name: c["Id"] for name, c in small.containers().items()}

    code, document = cutover(small, tmp_path, "switch", "notes", "vllm")

    after = small.containers()
    assert (code, document["file"]) == (0, str(small.env_file))
    assert [name for name, c in after.items() if c["Id"] != before[name]] == ["notes"]
    assert "NOTES_LLM_PROVIDER=vllm" in after["notes"]["Config"]["Env"]
    text = "# who answers\n#NOTES_LLM_PROVIDER=\nNOTES_LLM_PROVIDER=vllm\nOTHER=1 # kept\n"
    assert small.env_file.read_text() == text


def test_a_real_vllm_whose_engine_hangs_is_revived(stack: Compose, tmp_path: Path, capfd_disabled: Say) -> None:
    """Its engine process is stopped: healthy for Docker, silent for all. The stack's own ledger says what was done."""
    until(lambda: rows(stack)["vllm"]["health"] == "healthy", "vLLM is healthy", 600)
    assert cutover(stack, tmp_path, "revive")[1]["outcome"] == "generates"
    assert stack("exec", "-T", "vllm", "python3", "-c", STOP_ENGINE) == "stopped\n"

    began = time.monotonic()
    code, document = cutover(stack, tmp_path, "revive", "--deadline", "10")

    assert (code, document["outcome"]) == (0, "restarted"), document
    history = json.loads(stack("run", "--rm", "-T", "cutover", "history", "--json"))["history"]
    assert [(line["act"], line["service"]) for line in history if "act" in line] == [("restart", "vllm")]
    until(lambda: rows(stack)["vllm"]["health"] == "healthy", "vLLM is healthy again", 600)
    until(lambda: stack.provider("notes") == "vllm", "the services are back on it", 600)
    capfd_disabled(f"a vLLM that hangs: revived, and services back on it, after {time.monotonic() - began:.0f} s")


def test_up_by_what_is_there_leaves_it_as_it_is(stack: Compose, tmp_path: Path) -> None:
    """`make up` where the containers run: Compose is asked with the same settings and has nothing to do."""
    before = {name: c["Id"] for name, c in stack.containers().items()}
    shell = dict(line.split("=", 1) for line in stack.env_file.read_text().splitlines())

    code, document = cutover(stack, tmp_path, "up", "--where", "auto", shell=shell)

    assert code == 0 and {"rag", "notes", "ner", "vllm", "ollama"} <= set(document["up"])
    assert {name: c["Id"] for name, c in stack.containers().items()} == before


def test_down_by_what_is_there_ends_the_containers_and_no_others(small: Compose, tmp_path: Path) -> None:
    """`make down`: of our project, by the files that it was made of."""
    project = f"{small.project}-down"
    second = Compose(file=small.file, project=project, env_file=small.env_file)
    second("up", "--detach", "notes")

    code, document = cutover(second, tmp_path, "down", "--where", "auto")

    assert (code, document["stopped"]) == (0, ["notes"])
    assert said(["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={project}"]) == ""
    assert rows(small)["notes"]["status"] == "running"
