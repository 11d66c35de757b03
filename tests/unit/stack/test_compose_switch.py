"""One line of `.env`, what compose is asked, what happens when it does not come up; and containers or processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from services.stack import compose, compose_env, compose_switch, compose_up
from services.stack.compose_switch import of, with_line, write_aside
from services.stack.compose_up import Found, Mode, for_down, for_up
from services.stack.errors import StackError
from tests.unit.stack.recorded_containers import attrs

NAME = "NOTES_LLM_PROVIDER"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A=1\nNOTES_LLM_PROVIDER=auto\nB=2\n", "A=1\nNOTES_LLM_PROVIDER=vllm\nB=2\n"),
        ("# why\n#NOTES_LLM_PROVIDER=\nB=2", "# why\n#NOTES_LLM_PROVIDER=\nNOTES_LLM_PROVIDER=vllm\nB=2\n"),
        ("B=2", "B=2\nNOTES_LLM_PROVIDER=vllm\n"),
        ("", "NOTES_LLM_PROVIDER=vllm\n"),
        ("export NOTES_LLM_PROVIDER = x # mine\n", "NOTES_LLM_PROVIDER=vllm\n"),
        (f"{NAME}=a\n{NAME}=b\n", f"{NAME}=a\n{NAME}=vllm\n"),
        (f"X_{NAME}=a\n", f"X_{NAME}=a\n{NAME}=vllm\n"),
    ],
)
def test_one_line_changes_and_comments_stay(before: str, after: str) -> None:
    """The last of several counts for compose, so that one is changed."""
    assert with_line(before, NAME, "vllm") == after


def test_a_settings_file_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    """It holds secrets of some people; a link to it stays one."""
    real, link = tmp_path / "real.env", tmp_path / ".env"
    real.write_text("A=1\n")
    real.chmod(0o600)
    link.symlink_to(real)
    write_aside(link, "A=2\n")

    assert (real.read_text(), real.stat().st_mode & 0o777, link.is_symlink()) == ("A=2\n", 0o600, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".env", "real.env"]


def test_compose_is_asked_with_the_files_that_the_project_was_made_of() -> None:
    files = of(attrs("notes"))

    assert files.env_file == Path("/srv/cutover/.env")
    assert files.command("ps") == [
        *("docker", "compose", "--project-name", "cutover", "--project-directory", "/srv/cutover"),
        *("--file", "/srv/cutover/docker-compose-vllm.yml", "--env-file", "/srv/cutover/.env", "ps"),
    ]


def test_without_an_env_file_of_its_own_it_is_the_folder_s() -> None:
    plain = attrs("notes")
    del plain["Config"]["Labels"]["com.docker.compose.project.environment_file"]

    assert of(plain).env_file == Path("/srv/cutover/.env")
    assert "--env-file" not in of(plain).command("ps")


class Compose:
    """A `docker compose` that fails as often as it is told to; remembers what it saw."""

    def __init__(self, file: Path, failures: int) -> None:
        self.file, self.failures = file, failures
        self.seen: list[tuple[str, str, bool]] = []

    def __call__(self, argv: Sequence[str], env: Mapping[str, str], _limit_s: float) -> tuple[int, str]:
        self.seen.append((argv[-1], self.file.read_text(), NAME in env))
        self.failures -= 1
        return (1, "it is ill") if self.failures >= 0 else (0, "")


def switched(tmp_path: Path, failures: int) -> Compose:
    made = attrs("notes")
    made["Config"]["Labels"]["com.docker.compose.project.environment_file"] = str(tmp_path / ".env")
    (tmp_path / ".env").write_text(f"{NAME}=auto\n")
    run = Compose(tmp_path / ".env", failures)
    compose_switch.pin(of(made), "notes", "vllm", {NAME: "ollama", "PATH": "/bin"}, run)
    return run


def test_the_file_is_written_before_and_the_shell_does_not_win(tmp_path: Path) -> None:
    assert switched(tmp_path, 0).seen == [("notes", f"{NAME}=vllm\n", False)]


@pytest.mark.parametrize(("failures", "said"), [(1, "is back on the line it had"), (2, "could not be brought back")])
def test_one_that_does_not_come_up_is_taken_back(tmp_path: Path, failures: int, said: str) -> None:
    with pytest.raises(StackError, match=said) as caught:
        switched(tmp_path, failures)

    assert "it is ill" in str(caught.value)
    assert (tmp_path / ".env").read_text() == f"{NAME}=auto\n"


def test_a_command_is_told_line_by_line_and_its_end_is_kept() -> None:
    told: list[str] = []
    program = "import sys; print('a'); print('b', file=sys.stderr, flush=True); sys.exit(3)"

    code, said = compose_switch.run([sys.executable, "-c", program], {}, 60, tell=told.append)

    assert (code, sorted(told), sorted(said.split())) == (3, ["a", "b"], ["a", "b"])


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(StackError, match="did not end"):
        compose_switch.run([sys.executable, "-c", "import time; time.sleep(600)"], {}, 0.5)


def test_a_machine_without_the_docker_command_is_told_so() -> None:
    with pytest.raises(StackError, match="no `docker` command"):
        compose_switch.run(["/nowhere/docker"], {}, 5)


def found(containers: int | None, secrets: bool = True, processes: int = 0) -> Found:
    return Found(containers=containers, has_secrets=secrets, processes=processes)


@pytest.mark.parametrize(
    ("there", "mode"),
    [
        (found(None), Mode.LOCAL),
        (found(0), Mode.COMPOSE),
        (found(0, secrets=False), Mode.LOCAL),
        (found(0, processes=3), Mode.LOCAL),
        (found(4, processes=3), Mode.COMPOSE),
        (found(4, secrets=False), Mode.COMPOSE),
    ],
)
def test_up_goes_where_it_can_and_where_it_is_already(there: Found, mode: Mode) -> None:
    assert for_up(Mode.AUTO, there).mode is mode


@pytest.mark.parametrize("asked", [Mode.LOCAL, Mode.COMPOSE])
def test_whoever_says_where_is_obeyed(asked: Mode) -> None:
    for there in (found(None), found(4)):
        assert (for_up(asked, there).mode, for_down(asked, there).mode) == (asked, asked)


@pytest.mark.parametrize(("containers", "mode"), [(None, Mode.LOCAL), (0, Mode.LOCAL), (4, Mode.COMPOSE)])
def test_down_ends_containers_where_there_are_some(containers: int | None, mode: Mode) -> None:
    assert for_down(Mode.AUTO, found(containers)).mode is mode


def test_secrets_are_looked_for_where_compose_takes_them(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/admin_token").write_text("x")

    assert compose_up.find(None, {"CUTOVER_SECRETS": "mine"}, 0, tmp_path) == found(None)
    assert compose_up.find(None, {}, 0, tmp_path) == found(None, secrets=False)
    (tmp_path / ".env").write_text("# where\nCUTOVER_SECRETS='mine'\n")
    assert compose_up.find(None, {}, 0, tmp_path) == found(None)


def test_up_takes_the_stack_after_or_the_files_that_are_named(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], _env: Mapping[str, str], _limit_s: float) -> tuple[int, str]:
        asked.append(argv)
        return 0, ""

    with pytest.raises(StackError, match="clone of Cutover"):
        compose_up.up({}, tmp_path, run)
    (tmp_path / compose_up.FILE).touch()
    compose_up.up({}, tmp_path, run)
    compose_up.up({"COMPOSE_FILE": "docker-compose.yml"}, tmp_path, run)
    (tmp_path / ".env").write_text("COMPOSE_FILE=docker-compose-vllm.yml:compose/replicas.yml\n")
    compose_up.up({}, tmp_path, run)

    assert [("--file" in argv, argv[-2:]) for argv in asked] == [
        (True, ["up", "--detach"]),
        (False, ["up", "--detach"]),
        (False, ["up", "--detach"]),
    ]


def test_an_env_file_that_nobody_can_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"COMPOSE_FILE=\xff\xfe\n")
    with pytest.raises(StackError, match=r"cannot read .*\.env.*COMPOSE_FILE"):
        compose_env.value("COMPOSE_FILE", {}, tmp_path)
    assert compose_env.value("COMPOSE_FILE", {"COMPOSE_FILE": "a.yml"}, tmp_path) == "a.yml"


def test_a_stack_that_does_not_come_up_says_what_compose_said(tmp_path: Path) -> None:
    (tmp_path / compose_up.FILE).touch()
    with pytest.raises(StackError, match='could not select device driver "nvidia"'):
        compose_up.up({}, tmp_path, lambda *_: (1, 'could not select device driver "nvidia"'))


def test_switching_needs_docker() -> None:
    with pytest.raises(compose.NoEngine, match="no Docker on this machine"):
        compose_switch.switch(None, "notes", "vllm", {})
