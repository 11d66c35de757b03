"""What is brought up once per run and stopped again: real vLLM and Ollama on free ports, and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from services import settings as settings_room
from services.settings import SERVICES, Settings
from services.stack import local
from tests import databases

REPO = Path(settings_room.__file__).resolve().parents[1]


def pytest_configure() -> None:
    """A shell starts background jobs with Ctrl-C ignored; tests of interrupts would then wait for ever.

    And no clock decides a property: an example that takes long on a busy machine is no failure.
    """
    hypothesis_settings.register_profile("cutover", deadline=None)
    hypothesis_settings.load_profile("cutover")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What ten thousand collected tests hold is never garbage.

    To look through it again stops everything for as long as the shortest limits that tests give their engines.
    """
    gc.collect()
    gc.freeze()


class Quiet:
    """A progress that nobody watches."""

    def begin(self, step: str, detail: str = "") -> None: ...
    def note(self, step: str, detail: str) -> None: ...
    def end(self, step: str, detail: str = "") -> None: ...


@pytest.fixture(scope="session")
def progress() -> local.Progress:
    return Quiet()


@pytest.fixture(scope="session")
def child_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What engines and services get: this environment without the developer's settings, own home, free ports."""
    names = [f"CUTOVER_{name}_PORT" for name in ("VLLM", "OLLAMA", *(s.upper() for s in SERVICES))]
    home = tmp_path_factory.mktemp("home")
    ours = {v.name for v in settings_room.VARIABLES} - {"CUTOVER_ENGINE_PYTHON", "CUTOVER_TORCH_INDEX"}
    yield {
        **{name: value for name, value in os.environ.items() if name not in ours},
        "CUTOVER_HOME": str(home),
        "CUTOVER_ENGINES_DIR": os.environ.get("CUTOVER_ENGINES_DIR") or str(REPO / ".cutover/engines"),
        **dict(zip(names, map(str, free_ports(len(names))), strict=True)),
    }
    shutil.rmtree(home / "ollama", ignore_errors=True)  # a copy of the model; the logs stay for who looks


@pytest.fixture(scope="session")
def engines(child_env: dict[str, str], progress: local.Progress) -> Iterator[Settings]:
    """Both engines, each has generated a token. A test that kills one starts it again."""
    settings = settings_room.load(child_env)
    local.up(settings, progress, env=child_env, services=())
    yield settings
    local.down(settings, progress)


@pytest.fixture(scope="session")
def stack(engines: Settings, child_env: dict[str, str], progress: local.Progress) -> Settings:
    """The engines and every service, ready."""
    local.up(engines, progress, env=child_env)
    return engines


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL with pgvector, started for this session."""
    with databases.postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store on each of the two databases: what a contract suite runs on."""
    if request.param == "sqlite":
        return databases.sqlite_file(tmp_path)
    return databases.own_database(request.getfixturevalue("postgres"))


@contextlib.contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Ports that nobody listens on, and that no other process is given as long as the context.

    They are bound and do not listen: a server, which sets SO_REUSEADDR, can listen there all the same.
    """
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", 0))
        yield [int(probe.getsockname()[1]) for probe in probes]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
