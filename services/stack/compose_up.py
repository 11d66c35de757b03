"""Brings the whole stack up or down in containers, and decides between that and processes of this machine."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.stack import compose, compose_env, compose_switch
from services.stack.compose import NoEngine, Place
from services.stack.compose_switch import STACK_S, Run
from services.stack.errors import StackError
from services.stack.job import PROJECT

FILE = "docker-compose-vllm.yml"
SECRETS = (".cutover", "secrets")
GUIDE = "docs/COMPOSE.md"


class Mode(enum.StrEnum):
    """Where a stack runs: as processes, in containers, or wherever it can."""

    LOCAL = "local"
    COMPOSE = "compose"
    AUTO = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is. `containers`: how many our project has, None where no engine answers."""

    containers: int | None
    has_secrets: bool
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Local or compose, and why, for people."""

    mode: Mode
    why: str


def find(where: Place | None, env: Mapping[str, str], processes: int, folder: Path = PROJECT) -> Found:
    """Ask the engine and look for the secrets, which docs/COMPOSE.md has somebody make who wants containers."""
    try:
        with compose.engine(where) as client:
            assert where is not None  # `engine` has refused that
            containers = len(compose.found(client, where.project))
    except NoEngine:
        containers = None
    named = compose_env.value("CUTOVER_SECRETS", env, folder)
    secrets = folder / named if named else folder.joinpath(*SECRETS)
    return Found(containers=containers, has_secrets=(secrets / "admin_token").is_file(), processes=processes)


def for_up(asked: Mode, found: Found) -> Choice:
    """What `up` uses. What runs already decides first: two stacks would want the same ports. Pure."""
    if asked is not Mode.AUTO:
        return Choice(mode=asked, why="as asked")
    if found.containers is None:
        return Choice(mode=Mode.LOCAL, why="no Docker engine answers")
    if found.containers:
        return Choice(mode=Mode.COMPOSE, why=f"its {found.containers} containers are there already")
    if found.processes:
        return Choice(mode=Mode.LOCAL, why="it runs as processes already")
    if not found.has_secrets:
        return Choice(mode=Mode.LOCAL, why=f"Docker answers, and no secrets are made for containers yet ({GUIDE})")
    return Choice(mode=Mode.COMPOSE, why="Docker answers, and the secrets are made")


def for_down(asked: Mode, found: Found) -> Choice:
    """What `down` ends: processes are ended in any case, containers where there are some of ours. Pure."""
    if asked is not Mode.AUTO:
        return Choice(mode=asked, why="as asked")
    if found.containers:
        return Choice(mode=Mode.COMPOSE, why=f"{found.containers} containers are there")
    return Choice(mode=Mode.LOCAL, why="no containers of ours are there")


def up(env: Mapping[str, str], folder: Path = PROJECT, run: Run = compose_switch.run) -> None:
    """`docker compose up --detach` with the stack after, or with the files that COMPOSE_FILE names, here or in `.env`.

    Comes back when Docker has made all containers and Ollama's model is there; nobody waits for vLLM.
    """
    named = compose_env.value("COMPOSE_FILE", env, folder)
    files = [] if named else ["--file", str(_stack_file(folder))]
    argv = ["docker", "compose", "--project-directory", str(folder), *files, "up", "--detach"]
    _done(argv, run(argv, env, STACK_S), f"see {GUIDE}, or `make up MODE=local`")


def down(where: Place | None, env: Mapping[str, str], run: Run = compose_switch.run) -> list[str]:
    """End the containers of our project, by the files that they were made of; volumes stay. The containers' names."""
    with compose.engine(where) as client:
        assert where is not None  # `engine` has refused that
        listed = [container.attrs for container in compose.found(client, where.project)]
    if not listed:
        return []
    argv = [*compose_switch.of(listed[0]).command("--profile", "*"), "down"]
    _done(argv, run(argv, env, STACK_S), "`docker compose ps` shows what is left")
    return [compose.name(attrs) for attrs in listed]


def _stack_file(folder: Path) -> Path:
    file = folder / FILE
    if not file.is_file():
        raise StackError(f"there is no {file}: containers are brought up from a clone of Cutover, not from an image")
    return file


def _done(argv: list[str], ended: tuple[int, str], then: str) -> None:
    code, said = ended
    if code != 0:
        raise StackError(f"`{' '.join(argv)}` ended with {code}; {then}. It said:\n{said[-1500:]}")
