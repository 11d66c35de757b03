"""Containers as Docker tells of them: states, last words without secrets, memory, and machines without Docker."""

from __future__ import annotations

import gc
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.stack import compose, compose_logs, compose_state
from services.stack.compose import NoEngine
from tests.unit.stack.recorded_containers import ENDED, STARTED, attrs

STARTED_S = 1795277740.123456


def test_a_running_container_is_read() -> None:
    found = compose.read(attrs())

    assert (found.name, found.container, found.image) == ("vllm", "cutover-vllm-1", "cutover/vllm:1")
    assert (found.status, found.health, found.restarts, found.exit_code) == ("running", "healthy", 0, None)
    assert (found.started_at, found.ended_at, found.failed) == (pytest.approx(STARTED_S), None, False)


@pytest.mark.parametrize(
    ("state", "restarts", "failed"),
    [
        ({"Status": "exited", "ExitCode": 0}, 0, False),
        ({"Status": "exited", "ExitCode": 137}, 0, True),
        ({"Status": "restarting", "ExitCode": 0}, 0, True),
        ({"Health": {"Status": "unhealthy", "Log": []}}, 0, True),
        ({"Health": {"Status": "starting"}}, 0, False),
        ({}, 1, True),
        ({"Status": "created", "ExitCode": 0}, 0, False),
    ],
)
def test_what_counts_as_failed(state: dict[str, Any], restarts: int, failed: bool) -> None:
    """Also code 0 again and again, which is how vLLM ends when its engine dies."""
    assert compose.read(attrs(**state) | {"RestartCount": restarts}).failed is failed


def test_a_health_check_that_fails_says_what_it_printed() -> None:
    log = [{"Output": "fine"}, {"Output": "Traceback\nConnectionRefusedError: refused\n"}]
    ill = compose.read(attrs(Health={"Status": "unhealthy", "Log": log}))

    assert ill.complaint == "ConnectionRefusedError: refused"
    assert compose.read(attrs(Health={"Status": "healthy", "Log": log})).complaint == ""


def test_a_replica_has_a_number() -> None:
    second = attrs()
    second["Config"]["Labels"]["com.docker.compose.container-number"] = "2"

    assert compose.name(second) == "vllm-2"


def test_no_docker_on_a_machine_is_told_by_its_sockets_alone(tmp_path: Path) -> None:
    """Nothing is imported and nobody is asked."""
    assert compose.place({}, lambda: [tmp_path / "docker.sock"]) is None
    assert compose_state.look(None, str) == {}


def test_docker_s_own_variables_win(tmp_path: Path) -> None:
    named = compose.place({"DOCKER_HOST": "tcp://other:2375", "COMPOSE_PROJECT_NAME": "mine"}, list)
    assert named is not None
    assert (named.environment["DOCKER_HOST"], named.project, named.named) == ("tcp://other:2375", "mine", True)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "d"))
        usual = compose.place({}, lambda: [tmp_path / "gone", tmp_path / "d"])
    assert usual is not None
    assert (usual.environment["DOCKER_HOST"], usual.project) == (f"unix://{tmp_path / 'd'}", "cutover")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK leaves its socket to Python
def test_a_socket_that_nobody_answers_is_like_none_unless_it_was_named(tmp_path: Path) -> None:
    """By the real SDK, at a socket whose owner is gone."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "d"))
    silent = compose.place({}, lambda: [tmp_path / "d"])
    named = compose.place({"DOCKER_HOST": f"unix://{tmp_path / 'd'}"}, list)

    assert compose_state.look(silent, str) == {}
    with pytest.raises(NoEngine, match="docker ps"):
        compose_state.look(named, str)
    gc.collect()


class Said:
    """A container with a log, as the SDK gives one; remembers how it was asked."""

    def __init__(self, text: str, container: dict[str, Any]) -> None:
        self.text, self.attrs, self.asked = text, container, {}

    def logs(self, **how: Any) -> bytes:
        self.asked = how
        return self.text.encode()


def test_last_words_are_of_the_life_that_failed() -> None:
    """By time where Docker has started it again: a tail would be of the present life. Nothing of one that is well."""
    reborn = attrs(FinishedAt=ENDED) | {"RestartCount": 2}
    for state, asked in (
        (reborn, {"since", "until"}),
        (attrs(Status="exited", ExitCode=1), {"tail"}),
        (attrs(), set()),
    ):
        said = Said("out of room\n", state)
        words = compose_logs.last_failure(said, compose.read(state), str)

        assert set(said.asked) == asked
        assert words == (["out of room"] if asked else [])
    assert compose.moment(STARTED) == pytest.approx(STARTED_S)


def test_last_words_have_no_secret(tmp_path: Path) -> None:
    """Neither the files that it was given, nor what its environment calls a secret, nor what `hide` finds."""
    (tmp_path / "key").write_text("s3cr3t-file\n")
    state = attrs(Status="exited", ExitCode=1)
    state["Config"]["Env"].append("ADMIN_TOKEN=s3cr3t-env")
    state["Mounts"] = [{"Destination": "/run/secrets/key", "Source": str(tmp_path / "key")}]
    said = Said("a s3cr3t-file b\n\nc s3cr3t-env d sk-1\n", state)
    words = compose_logs.last_failure(said, compose.read(state), lambda line: line.replace("sk-1", "*"))

    assert words == ["a <secret> b", "c <secret> d *"]


def test_last_words_are_few_and_short() -> None:
    words = compose_logs.shown("\n".join(f"{i} {'x' * 1000}" for i in range(100)), [], str)

    assert len(words) == compose_logs.LINES
    assert words[-1].startswith("99 ")
    assert max(map(len, words)) == compose_logs.LINE_CHARS


def counted(name: str, stats: Any) -> Any:
    return SimpleNamespace(id=name, client=SimpleNamespace(api=SimpleNamespace(stats=stats)))


def test_memory_is_asked_side_by_side_and_nobody_waits_for_the_slow() -> None:
    """Two that only answer together; one that never does; one that has just ended."""
    together, never = threading.Barrier(2, timeout=30), threading.Event()

    def meet(_id: str, **_how: Any) -> dict[str, Any]:
        together.wait()
        return {"memory_stats": {"usage": 900, "stats": {"inactive_file": 200}}}

    def hang(_id: str, **_how: Any) -> dict[str, Any]:
        never.wait()
        return {}

    def gone(_id: str, **_how: Any) -> dict[str, Any]:
        raise OSError("no such container")

    asked = [counted("a", meet), counted("b", meet), counted("slow", hang), counted("gone", gone)]
    try:
        assert compose_state.memory(asked, limit_s=1.0) == {"a": 700, "b": 700, "gone": None}
    finally:
        never.set()


def test_a_row_says_how_long_or_how_it_ended() -> None:
    up = compose_state.row(compose.read(attrs()), STARTED_S + 60, 5, [])
    ended = compose_state.row(compose.read(attrs(Status="exited", ExitCode=3)), STARTED_S + 60, None, ["x"])

    assert (up["uptime_s"], up["exit_code"], up["memory_bytes"]) == (60.0, None, 5)
    assert (ended["uptime_s"], ended["exit_code"], ended["last_failure"]) == (None, 3, ["x"])
